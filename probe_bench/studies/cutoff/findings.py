"""What a study's table says: slopes over mask span, and contrasts with the base arm."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from probe_bench.reports.cutoff_data import CUTOFFS
from probe_bench.reports.layers import last_block
from probe_bench.studies.cutoff.law import Line, Points, decide, fit_line
from probe_bench.studies.cutoff.plans import BASE, PATCHES

__all__ = ["contrast_table", "cutoff_by_span", "line_table", "score_table"]

_SAME = (0.8, 1.25)  # ratios of cutoffs that the instrument hardly tells from 1 on patch tokens


def line_table(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the line through log cutoff against log span, by cutoff, objective and layer.

    The group `JEPA / MAE` has the ratio of the two at the same span and seed: its slope is what latent prediction
    adds to masking.
    """
    rows = table[table["metric"].isin(CUTOFFS) & table["trained"] & table["layer"].notna()]
    return pd.DataFrame(
        {"metric": metric, "group": group, "layer": layer, **_line_row(line, ratio=ratio)}
        for (metric, layer), mine in rows.groupby(["metric", "layer"], sort=False)
        for group, line, ratio in _lines(mine)
    )


def _lines(rows: pd.DataFrame) -> Iterator[tuple[str, Line, bool]]:
    for group, mine in rows.groupby("group", sort=False):
        yield str(group), fit_line(_points(mine)), False
    by_pair = [
        rows[(rows["group"] == group) & rows["value"].notna() & ~_is_censored(rows)].set_index(
            ["span_ms", "seed"]
        )["value"]
        for group in (BASE, PATCHES)
    ]
    ratio = (by_pair[0] / by_pair[1]).dropna()
    if len(ratio):
        span_ms, seed = (np.array(place) for place in zip(*ratio.index, strict=True))
        none = np.zeros(len(ratio), dtype=bool)
        points = Points(
            span_s=span_ms / 1000, hz=ratio.to_numpy(), above=none, below=none, seed=seed
        )
        yield f"{BASE} / {PATCHES}", fit_line(points), True


def _points(rows: pd.DataFrame) -> Points:
    told = rows[rows["value"].notna()]
    return Points(
        span_s=told["span_ms"].to_numpy(float) / 1000,
        hz=told["value"].to_numpy(float),
        above=(told["bound"] == "at least").to_numpy(),
        below=(told["bound"] == "at most").to_numpy(),
        seed=told["seed"].to_numpy(),
    )


def _is_censored(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["bound"].isin(["at least", "at most"])


def _line_row(line: Line, *, ratio: bool) -> dict[str, object]:
    """A fit as columns; the law says nothing of ratios."""
    return {
        "slope": line.slope,
        "low": line.low,
        "high": line.high,
        "constant": None if ratio else line.constant,
        "centre_ms": None if line.centre_s is None else 1000 * line.centre_s,
        "sigma": line.sigma,
        "n": line.n,
        "n_censored": line.n_censored,
        "decision": "" if ratio else decide(line),
    }


def score_table(table: pd.DataFrame) -> pd.DataFrame:
    """Fit accuracies over log2 of the span, a seed a block: percentage points for each doubling."""
    rows = table[(table["metric"] == "accuracy") & table["trained"] & table["depth"].notna()]
    return pd.DataFrame(
        {"task": task, "group": group, "layer": layer, **_score_row(mine)}
        for (task, layer), each in rows.groupby(["task", "layer"], sort=False)
        for group, mine in each.groupby("group", sort=False)
    )


def _score_row(rows: pd.DataFrame) -> dict[str, object]:
    """The line's slope is that of a logarithm over ln T; a score stands where the logarithm would."""
    line = fit_line(_points(rows.assign(value=np.exp(rows["value"]), bound="")))
    change, low, high = (
        np.nan if slope is None else 100 * np.log(2) * slope
        for slope in (line.slope, line.low, line.high)
    )
    told = np.isfinite([low, high]).all()
    verdict = _verdict(low, high, ratio=False) if told else "undecided"
    return {"change": change, "low": low, "high": high, "n": line.n, "verdict": verdict}


def contrast_table(table: pd.DataFrame) -> pd.DataFrame:
    """Compare every arm with the base: cutoffs by their ratio, accuracies by their difference.

    Trainings of one seed are pairs; intervals are those of t over seeds. Censored readings of a pair
    leave it out.
    """
    rows = table[table["layer"].notna() & table["value"].notna()]
    kinds = [("modulation", metric) for metric in CUTOFFS]
    kinds += [(task, "accuracy") for task in ("speaker", "phoneme")]
    found = []
    for (task, metric), layer in product(kinds, rows["layer"].unique()):
        mine = rows[(rows["task"] == task) & (rows["metric"] == metric) & (rows["layer"] == layer)]
        told = mine[~_is_censored(mine)]
        base = told[told["arm"] == BASE].set_index("seed")["value"]
        for arm in mine["arm"].unique():
            if arm != BASE:
                own = told[told["arm"] == arm].set_index("seed")["value"]
                about = {"task": task, "metric": metric, "layer": layer, "arm": arm}
                found.append(about | _contrast(own, base, ratio=metric != "accuracy"))
    return pd.DataFrame(found)


def _contrast(
    own: "pd.Series[float]", base: "pd.Series[float]", *, ratio: bool
) -> dict[str, object]:
    """Mean difference of pairs with its interval; of logs, and turned back, for a ratio."""
    both = pd.concat([own, base], axis=1, join="inner").to_numpy(float)
    pairs = np.diff(-np.log(both) if ratio else -both)[:, 0]
    n = len(pairs)
    if not n:
        return {"change": None, "low": None, "high": None, "n": 0, "verdict": "not measured"}
    mean = pairs.mean()
    half = np.inf
    if n > 1:
        half = stats.t.ppf(0.975, n - 1) * pairs.std(ddof=1) / np.sqrt(n)
    change, low, high = (float(np.exp(x) if ratio else x) for x in (mean, mean - half, mean + half))
    told: dict[str, object] = {
        "change": change,
        "low": None,
        "high": None,
        "n": n,
        "verdict": "undecided",
    }
    if n > 1:
        told |= {"low": low, "high": high, "verdict": _verdict(low, high, ratio=ratio)}
    return told


def _verdict(low: float, high: float, *, ratio: bool) -> str:
    none = 1.0 if ratio else 0.0
    small = ratio and _SAME[0] <= low and high <= _SAME[1]
    if low > none or high < none:
        return f"{'slightly ' if small else ''}{'higher' if low > none else 'lower'}"
    return "the same" if small else "undecided"


def cutoff_by_span(table: pd.DataFrame, metric: str) -> dict[float, float]:
    """Geometric mean over seeds of the base's measured cutoffs at its last block, by mask span in seconds."""
    rows = table[
        (table["metric"] == metric)
        & (table["group"] == BASE)
        & (table["layer"] == last_block(table["layer"].dropna().unique()))
        & table["value"].notna()
        & ~_is_censored(table)
    ]
    means = np.exp(np.log(rows["value"]).groupby(rows["span_ms"]).mean())
    return dict(zip((means.index.to_numpy() / 1000).tolist(), means.tolist(), strict=True))
