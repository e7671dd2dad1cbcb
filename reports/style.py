"""Colours, markers and line styles: the same encoder looks the same in every figure.

Colours are Okabe and Ito's (2008), without the yellow, which cannot be seen on white; the markers
and dashes tell encoders apart without any colour.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, cast

import matplotlib as mpl
import seaborn as sns

__all__ = [
    "ALIKE",
    "CHANCE",
    "COLOURS",
    "FEW",
    "GRID",
    "INK",
    "LOGMEL",
    "NOTE_PT",
    "PAPER",
    "PICKED",
    "TWINS",
    "Look",
    "depth_colours",
    "house_style",
    "looks",
]

INK, PAPER, GRID = "#1b1c20", "#fefefe", "#dcdde1"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6d46")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")
DASHES: tuple[tuple[float, ...], ...] = ((), (7.0, 1.2), (4.0, 1.0, 1.0, 1.0), (2.5, 0.9))

# No run of the figures may depend on a user's matplotlibrc, on the clock or on random ids.
RC: Mapping[str, object] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.edgecolor": "none",
    "legend.facecolor": PAPER,
    "legend.framealpha": 1.0,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.2,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "probe-bench",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": 7,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.7,
    "ytick.color": INK,
    "ytick.labelsize": 7,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.7,
}


NOTE_PT = 6.5
"""Size of the smallest text: names and notes inside a panel."""

FEW = 4
"""Up to so many encoders are drawn with bands, each with its own twin; more would only blur."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How one series is drawn.

    Attributes:
        colour: Line and marker, `#rrggbb`.
        marker: Matplotlib marker; empty for none.
        dashes: On and off lengths in line widths; empty for a solid line.
        width: Line width in points; 0 for no line.
        size: Marker size in points.
        hollow: Whether the markers are empty.
        outline: Width in points of an outline of ink around the markers; 0 for none.
        opacity: Of the markers' filling.
    """

    colour: str
    marker: str = ""
    dashes: tuple[float, ...] = ()
    width: float = 1.6
    size: float = 4.2
    hollow: bool = False
    outline: float = 0.0
    opacity: float = 1.0

    @property
    def linestyle(self) -> str | tuple[float, tuple[float, ...]]:
        """The dashes as matplotlib takes them."""
        if not self.width:
            return ""
        return (0.0, self.dashes) if self.dashes else "-"

    @property
    def edge(self) -> str:
        """Colour around the markers."""
        return INK if self.outline else self.colour

    @property
    def twin(self) -> "Look":
        """How the random twin of this encoder is drawn: thin, dotted and hollow."""
        return replace(self, dashes=(1.0, 1.6), width=0.9, size=3.4, hollow=True)


LOGMEL = Look(colour="#7b7d85", dashes=(5.0, 2.0), width=1.1)
TWINS = Look(colour="#9a9ca4", dashes=(1.0, 1.6), width=0.8)
CHANCE = Look(colour="#7b7d85", dashes=(1.0, 2.0), width=0.9)
PICKED = Look(colour="#9a9ca4", marker="o", width=0.0, size=7.0, outline=1.0)
ALIKE = Look(colour="#9a9ca4", marker="o", width=0.0, outline=0.8)


def house_style() -> AbstractContextManager[None]:
    """Draw and save figures inside this: sizes, colours and fonts, whatever the user's are."""
    return mpl.rc_context(cast("Any", dict(RC)))


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Give every encoder its own look, by its place in the list; many of them are drawn thinner."""
    few = len(names) <= FEW
    return {
        name: Look(
            colour=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            dashes=DASHES[index % len(DASHES)],
            width=1.6 if few else 1.0,
            size=4.2 if few else 2.8,
        )
        for index, name in enumerate(names)
    }


def depth_colours(places: Sequence[float]) -> list[tuple[float, float, float]]:
    """Colours from blue (first layer) to amber (last one), rising in lightness.

    Both ends can be seen on white and on black; in grey, deeper is lighter.
    """
    blend = sns.blend_palette(("#235391", "#2f8c95", "#86a94f", "#e3a138"), as_cmap=True)
    low, high = min(places, default=0.0), max(places, default=1.0)
    return [blend((place - low) / ((high - low) or 1.0))[:3] for place in places]
