"""A cutoff study in words: the console's table and `NAME.md`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from probe_bench.reports.cutoff_data import CUTOFFS, TASKS, StudyTables, of_layer, read_study

__all__ = ["console_table", "write_report"]

_HEAD = "`probe-bench study {name}`: {arms} arms, {seeds} seeds, {encoders} encoders. All numbers: `{name}.csv`."
_MEANS = """\
Geometric means of cutoffs and means of accuracies over seeds, with their range; `>`, `<`: beyond what can be \
measured in some trainings.
"""
_RULE = """\
The rule was fixed before the trainings; the first that holds is the decision. **Law**: the 95 % interval of the slope b of log cutoff over log span lies \
within -1 ± 0.25, and the cutoff times 2 T within 2/3 to 3/2. **No effect**: it lies within 0 ± 0.25. **Different \
law**: it excludes 0, and -1 or the constant. **Undecided**: anything else, and whatever a single seed shows, which is evidence \
for nothing. A seed is a block, cutoffs beyond what can be measured are censored and not left out.
"""

_DOUBLING = "Percentage points of accuracy for each doubling of the mask span, a seed a block."
_PAIRS = """\
Trainings of one seed start from the same weights and see the same crops, so arms are compared in pairs: the \
ratio of cutoffs and the difference of accuracies, with the 95 % interval of t over seeds. Where the interval of a ratio \
lies within 0.8 to 1.25, cutoffs are called the same, or slightly higher or lower if it leaves 1 out.
"""

_SCREEN = "Collapsed at the end of training, so their cutoffs say nothing of the knob: {}."
_HEALTHY = "No training collapsed."
_MISSES = """\
Left out in turn, spans are missed by a factor of {predictable:.2f} by predictability (one level of R² across gaps, \
{rho2:.2f}), {law:.2f} by c / T, and {constant:.2f} by one cutoff for all.
"""


def console_table(folder: Path, name: str) -> Table:
    """Return one line an arm: cutoffs and scores of the last block."""
    tables = read_study(folder, name)
    shown = Table(
        title=f"{name}: last block, mean over seeds", title_justify="left", box=None, pad_edge=False
    )
    header, *rows = _arm_rows(tables)
    for column in header:
        shown.add_column(column, justify="left" if column == "arm" else "right")
    for row in rows:
        shown.add_row(*row)
    return shown


def write_report(folder: Path, name: str, question: str) -> Path:
    """Write the report beside the figure.

    Args:
        folder: Of the study.
        name: Its name.
        question: What it asks.

    Raises:
        UserError: If a table is missing.
    """
    tables = read_study(folder, name)
    rows = tables.rows
    parts = [
        f"# {question}",
        _HEAD.format(
            name=name,
            arms=len(tables.arms),
            seeds=rows["seed"].nunique(),
            encoders=len(rows[["arm", "seed"]].drop_duplicates()),
        ),
        f"![The study as a figure]({name}.png)",
        _collapsed(rows),
        f"## The last block, {tables.layer}",
        _markdown(_arm_rows(tables)),
        _MEANS,
    ]
    if tables.lines is not None:
        lines = tables.lines[tables.lines["layer"] == tables.layer]
        parts += ["## Cutoff against mask span", _RULE, _markdown(_line_rows(lines))]
        parts.append(f"Every layer: `{name}-lines.csv`.")
    if tables.rivals is not None:
        parts.append(_MISSES.format(**_factors(tables.rivals)))
    if tables.scores is not None:
        scores = tables.scores[tables.scores["layer"] == tables.layer]
        parts += ["## Scores against mask span", _DOUBLING, _markdown(_score_rows(scores))]
    if tables.contrasts is not None:
        contrasts = tables.contrasts[tables.contrasts["layer"] == tables.layer]
        parts += ["## Against the base", _PAIRS, _markdown(_contrast_rows(contrasts))]
        parts.append(f"Every layer: `{name}-contrasts.csv`.")
    parts += [
        "## What the masks hid",
        _markdown(_gap_rows(tables.gaps)),
    ]
    path = folder / f"{name}.md"
    path.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return path


def _collapsed(rows: pd.DataFrame) -> str:
    verdicts = rows[rows["metric"] == "verdict"]
    sick = verdicts[verdicts["reason"] != "healthy"]
    columns = zip(sick["arm"], sick["seed"], sick["reason"], strict=True)
    named = [f"{arm}, seed {seed} ({reason})" for arm, seed, reason in columns]
    return _SCREEN.format("; ".join(named)) if named else _HEALTHY


def _arm_rows(tables: StudyTables) -> list[list[str]]:
    """Header and one row an arm: cutoffs and accuracies of the last block."""
    header = ["arm", *(f"{text} (Hz)" for text in CUTOFFS.values()), *(f"{t} (%)" for t in TASKS)]
    found = [header]
    for arm in tables.arms:
        mine = tables.rows[tables.rows["arm"] == arm]
        cutoffs = [_hz(of_layer(mine, "modulation", metric, tables.layer)) for metric in CUTOFFS]
        scores = [_percent(of_layer(mine, task, "accuracy", tables.layer)) for task in TASKS]
        found.append([arm, *cutoffs, *scores])
    return found


def _hz(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "-"
    sign = "".join(
        s for s, bound in ((">", "at least"), ("<", "at most")) if (rows["bound"] == bound).any()
    )
    mean = np.exp(np.log(rows["value"]).mean())
    return f"{sign} {mean:.3g}{_range(rows['value'])}".strip()


def _percent(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "-"
    return f"{100 * rows['value'].mean():.1f}{_range(100 * rows['value'])}"


def _range(values: "pd.Series[float]") -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return "" if low == high else f" ({low} to {high})"


def _line_rows(lines: pd.DataFrame) -> list[list[str]]:
    header = (
        "cutoff",
        "arms",
        "slope b",
        "95 %",
        "cutoff x 2 T",
        "n",
        "censored",
        "decision",
    )
    return [list(header), *(_line_row(row) for row in lines.to_dict("records"))]


def _line_row(row: Mapping[Any, Any]) -> list[str]:
    return [
        CUTOFFS[row["metric"]],
        row["group"],
        _number(row["slope"], ".2f"),
        _interval(row, ".2f"),
        _number(row["constant"], ".2f"),
        str(row["n"]),
        str(row["n_censored"]),
        row["decision"] if isinstance(row["decision"], str) else "",
    ]


def _score_rows(scores: pd.DataFrame) -> list[list[str]]:
    found = [["task", "arms", "change", "95 %", "n", "verdict"]]
    for row in scores.to_dict("records"):
        change, interval = _number(row["change"], "+.2f"), _interval(row, "+.2f")
        found.append([row["task"], row["group"], change, interval, str(row["n"]), row["verdict"]])
    return found


def _contrast_rows(contrasts: pd.DataFrame) -> list[list[str]]:
    found = [["what", "arm", "change", "95 %", "pairs", "verdict"]]
    for row in contrasts.to_dict("records"):
        scored = row["metric"] == "accuracy"
        if scored:
            what, factor, form = f"{row['task']} accuracy (points)", 100, "+.1f"
        else:
            what, factor, form = f"{CUTOFFS[row['metric']]} (ratio)", 1, ".3f"
        scaled = {name: factor * row[name] for name in ("change", "low", "high")}
        change, interval = _number(scaled["change"], form), _interval(scaled, form)
        found.append([what, row["arm"], change, interval, str(row["n"]), row["verdict"]])
    return found


def _interval(row: Mapping[Any, Any], form: str) -> str:
    ends = [_number(row[name], form) for name in ("low", "high")]
    return " to ".join(ends) if all(ends) else ""


def _gap_rows(gaps: pd.DataFrame) -> list[list[str]]:
    found = [["arm", "hidden stretches by length"]]
    for arm, mine in gaps.groupby("arm", sort=False):
        pairs = zip(mine["hidden_ms"], mine["share"], strict=True)
        lengths = (f"{length:g} ms {share:.0%}" for length, share in pairs)
        found.append([str(arm), ", ".join(lengths)])
    return found


def _factors(rivals: pd.DataFrame) -> dict[str, float]:
    """Root mean square errors of logs as factors."""
    row = rivals.iloc[0]
    factors = {name: float(np.exp(row[name])) for name in ("predictable", "law", "constant")}
    return factors | {"rho2": float(row["rho2"])}


def _number(value: float, form: str) -> str:
    return "" if pd.isna(value) else f"{value:{form}}"


def _markdown(rows: Sequence[Iterable[str]]) -> str:
    header, *body = (list(row) for row in rows)
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
