"""Cut a sheet's SVG into panels that stand inside a page: small, themed and with unique ids."""

import re
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from matplotlib.markers import MarkerStyle

from probe_bench.reports.canvas import Cell, Sheet
from probe_bench.reports.style import GRID, INK, PAPER, Look

__all__ = ["inline_panels", "save_sheet", "swatch"]

REFERENCE = re.compile(r"#([\w-]+)")
LONG_NUMBER = re.compile(r"\d+\.\d{3,}")
FONT_FAMILY = re.compile(r"font-family: [^;]*;? ?")

# What follows the page from light to dark; everything else keeps the colours of the paper figure.
THEME = {INK: "currentColor", PAPER: "var(--paper)", GRID: "var(--grid)"}


def save_sheet(sheet: Sheet, folder: Path) -> str:
    """Write a sheet as SVG, PDF and PNG; equal sheets give equal bytes.

    Returns:
        The text of the SVG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sheet.name}.svg"
    with warnings.catch_warnings():
        # A name in a script that the font lacks is boxes in PNG and PDF, but text in the page.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        sheet.figure.savefig(path, metadata={"Date": None, "Creator": None})
        sheet.figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
        sheet.figure.savefig(path.with_suffix(".png"), metadata={"Software": None})
    return path.read_text(encoding="utf-8")


def inline_panels(svg: str, sheet: Sheet) -> list[str]:
    """Cut the SVG of a sheet into one element a panel.

    Args:
        svg: What `save_sheet` gave.
        sheet: The sheet that it was rendered from.

    Returns:
        `<svg>` elements to stand in HTML: text escaped, ids unique in the page, sized by CSS.
    """
    root = ET.fromstring(svg)  # noqa: S314  matplotlib wrote this text a moment ago
    groups = {group.get("id"): group for group in root.iter() if _local(group.tag) == "g"}
    shared = {part.get("id", ""): part for part in _definitions(root)}
    return [
        _panel(groups[f"cell-{index}"], shared, cell, alt, f"{sheet.name}-{index}")
        for index, (cell, alt) in enumerate(zip(sheet.cells, sheet.alts, strict=True))
    ]


def _panel(
    group: ET.Element,
    shared: Mapping[str, ET.Element],
    cell: Cell,
    alt: tuple[str, str],
    prefix: str,
) -> str:
    """Build one element around the group of one axes and the definitions that it refers to."""
    body = _clean(group, prefix)
    definitions = ET.Element("defs")
    for name in _referred(group):
        part = _clean(shared[name], prefix)
        part.set("id", f"{prefix}-{name}")
        definitions.append(part)
    element = ET.Element(
        "svg",
        {
            "viewBox": " ".join(f"{length:g}" for length in cell.box_pt),
            "role": "img",
            "aria-labelledby": f"{prefix}-title {prefix}-desc",
        },
    )
    for tag, text in zip(("title", "desc"), alt, strict=True):
        ET.SubElement(element, tag, {"id": f"{prefix}-{tag}"}).text = text
    element.extend([definitions, body])
    return ET.tostring(element, encoding="unicode", short_empty_elements=False)


def _definitions(root: ET.Element) -> Iterator[ET.Element]:
    """Markers and clip paths; a marker is defined where it is first used, maybe in another panel."""
    for block in root.iter():
        if _local(block.tag) == "defs":
            yield from (part for part in block if part.get("id"))


def _referred(group: ET.Element) -> list[str]:
    """Ids that a group refers to, in the order of first use."""
    found: dict[str, None] = {}
    for part in group.iter():
        for key, value in part.attrib.items():
            if _local(key) in ("href", "clip-path"):
                found.update(dict.fromkeys(REFERENCE.findall(value)))
    return list(found)


def _clean(element: ET.Element, prefix: str) -> ET.Element:
    """Copy without namespaces, definitions and ids; references get the prefix."""
    copy = deepcopy(element)
    for parent in copy.iter():
        for child in [child for child in parent if _local(child.tag) == "defs"]:
            parent.remove(child)
    for part in copy.iter():
        part.tag = _local(part.tag)
        if part.tag != "text":
            part.text = None
        part.tail = None
        attributes = {_local(key): value for key, value in part.attrib.items() if key != "id"}
        part.attrib.clear()
        part.attrib.update({key: _value(key, text, prefix) for key, text in attributes.items()})
    return copy


def _value(key: str, text: str, prefix: str) -> str:
    """Rewrite one attribute: references, colours that follow the theme, digits no eye can see."""
    if key in ("href", "clip-path"):
        return REFERENCE.sub(rf"#{prefix}-\1", text)
    if key == "style":
        text = FONT_FAMILY.sub("", text)
        for colour, themed in THEME.items():
            text = text.replace(colour, themed)
    rounded = LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", text)
    return " ".join(rounded.split())


def swatch(look: Look) -> str:
    """Draw a sample of a look for a legend in the page."""
    element = ET.Element("svg", {"class": "swatch", "viewBox": "0 0 34 12", "aria-hidden": "true"})
    colour = THEME.get(look.colour, look.colour)
    if look.width:
        line = {"x1": "1", "y1": "6", "x2": "33", "y2": "6", "stroke": colour}
        dashes = " ".join(f"{length * look.width:g}" for length in look.dashes)
        dashed = {"stroke-dasharray": dashes} if dashes else {}
        ET.SubElement(element, "line", {**line, "stroke-width": f"{look.width:g}", **dashed})
    if look.marker:
        fill = "var(--paper)" if look.hollow else colour
        edge = THEME.get(look.edge, look.edge)
        path = {
            "d": _outline(look.marker, look.size),
            "fill": fill,
            "fill-opacity": f"{look.opacity:g}",
            "stroke": edge,
        }
        ET.SubElement(element, "path", path)
    return ET.tostring(element, encoding="unicode", short_empty_elements=False)


def _outline(marker: str, size_pt: float) -> str:
    """Path of a marker in the middle of a swatch, of which a point is 1.6 units."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    corners = [
        np.asarray(polygon, float) * (1.6 * size_pt, -1.6 * size_pt) + (17, 6)
        for polygon in path.to_polygons(closed_only=False)
    ]
    return " ".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in polygon) + "Z" for polygon in corners
    )


def _local(name: str) -> str:
    return name.rpartition("}")[2]
