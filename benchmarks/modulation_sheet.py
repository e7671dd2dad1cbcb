"""Tables of the data sheet, from the measurements that `modulation_validation.py` wrote.

    python benchmarks/modulation_sheet.py docs/modulation_sheet.csv

Markdown goes to the screen and the figure beside the file. Bold: a number that the stated systematic
terms do not cover (an error beyond them; total intervals that hold the truth in less than 90 %).
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from sheet_figure import draw
from sheet_lines import Line, read_lines

__all__ = ["report"]

POINT, COARSE = 0.06, 0.20
OUTCOMES = ("read", "beyond", "below", "refused")
LEAST_COVERAGE = 0.9


def report(path: Path) -> None:
    """Print all tables and draw the figure."""
    lines = read_lines(path)
    told = [line for line in lines if not line.is_above_nyquist]
    for kind in ("support", "emphasis"):
        mine = [line for line in told if line.kind == kind]
        most = [line for line in mine if line.minutes == max(map(_usual_min, mine))]
        _table(f"{kind}, by family", most, "family", lambda line: line.family)
        _table(f"{kind}, with a cutoff", _finite(most), "tokens/s", _rate)
        _table(f"{kind}, one filter", _filtered(most), "true Hz", lambda line: f"{line.true_hz:g}")
    at_50 = [line for line in told if line.kind == "support" and line.frame_rate_hz == 50]
    at_50.sort(key=lambda line: line.minutes)
    _table("support at 50 tokens/s, with a cutoff", _finite(at_50), "min", _minutes)
    above = [line for line in lines if line.is_above_nyquist]
    _table("above half the token rate, linear", above, "what", lambda x: f"{x.kind}, {_rate(x)}/s")
    draw(told, path.with_suffix(".png"))


def _rate(line: Line) -> str:
    return f"{line.frame_rate_hz:g}"


def _minutes(line: Line) -> str:
    return f"{line.minutes:g}"


def _usual_min(line: Line) -> float:
    """Minutes, where more than five count least: intervals are judged at five."""
    return line.minutes if line.minutes <= 5 else 0.0


def _finite(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if math.isfinite(line.true_hz)]


def _filtered(lines: Sequence[Line]) -> list[Line]:
    others = {"mean-pool", "90/10 mixture"}
    return [line for line in _finite(lines) if line.family not in others]


def _table(title: str, lines: Sequence[Line], head: str, key: Callable[[Line], str]) -> None:
    if not lines:
        return
    names = ("n", *OUTCOMES, "median bias %", "median %", "p90 %", "worst %", "interval", "total")
    print(f"\n{title[0].upper()}{title[1:]}\n")
    print("|", " | ".join((head, *names)), "|")
    print("|" + "---|" * (len(names) + 1))
    order = list(dict.fromkeys(key(line) for line in lines))
    for value, group in groupby(sorted(lines, key=lambda x: order.index(key(x))), key):
        print("|", value, "|", " | ".join(_cells(list(group))), "|")


def _cells(lines: Sequence[Line]) -> Iterator[str]:
    yield str(len(lines))
    for outcome in OUTCOMES:
        n = sum(line.outcome == outcome for line in lines)
        false = outcome == "beyond" and any(math.isfinite(line.true_hz) for line in lines)
        yield _bold(str(n), where=bool(n) and false)
    yield from _errors([line for line in lines if not math.isnan(line.error)])
    yield _coverage([line.holds for line in lines], least=0)
    yield _coverage([line.total_holds for line in lines], least=LEAST_COVERAGE)


def _errors(lines: Sequence[Line]) -> Iterator[str]:
    """Format median bias, and size of errors: bold where it is beyond the term stated for them."""
    if not lines:
        yield from ["-"] * 4
        return
    errors = np.array([line.error for line in lines])
    size, excess = abs(errors), abs(errors) / np.array([_stated(line) for line in lines])
    yield f"{100 * np.median(errors):+.1f}"
    for level in (0.5, 0.9):
        text = f"{100 * np.quantile(size, level):.1f}"
        yield _bold(text, where=bool(np.quantile(excess, level) > 1))
    yield _bold(f"{100 * errors[size.argmax()]:+.1f}", where=bool(excess.max() > 1))


def _stated(line: Line) -> float:
    """Return the systematic term: larger for the support of tokens of four or more reference rows and of codes."""
    coarse = line.frame_rate_hz <= 25 or line.family == "hard codes"
    return COARSE if line.kind == "support" and coarse else POINT


def _coverage(held: Sequence[bool | None], *, least: float) -> str:
    """Format a share and its Monte Carlo standard error (Agresti and Coull 1998)."""
    known = [h for h in held if h is not None]
    if not known:
        return "-"
    n = len(known) + 4
    share, near = np.mean(known), (sum(known) + 2) / n
    text = f"{100 * share:.0f} ± {100 * math.sqrt(near * (1 - near) / n):.0f}"
    return _bold(text, where=share < least)


def _bold(text: str, *, where: bool) -> str:
    return f"**{text}**" if where else text


if __name__ == "__main__":
    report(Path(sys.argv[1]))
