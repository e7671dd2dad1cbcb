"""What was measured of every training, as one tidy table: a row a number, a column a knob."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
import pandas as pd

from probe_bench.encoders.pretraining.frontends.frontend import frame_rate_hz
from probe_bench.encoders.pretraining.masking.statistics import mask_statistics
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.reports.cutoff_data import CUTOFFS
from probe_bench.rows import read_rows
from probe_bench.studies.cutoff.plans import Arm
from probe_bench.studies.cutoff.training import TASKS, Training

__all__ = ["gap_table", "study_table"]

_MODULATION = (*CUTOFFS, "emphasis_whitened_hz", "speed_hz", "support_r2")
_MONITORS = ("loss", "rank_encoder", "std_time", "teacher_cosine", "verdict")
_KEPT = ("layer", "depth", "frame_rate_hz", "task", "metric", "value", "ci_low", "ci_high")
_MASKS_DRAWN = 256


def study_table(trainings: Mapping[Training, Arm]) -> pd.DataFrame:
    """Collect cutoffs and probe scores of every layer, and the monitors at the end of training.

    Returns:
        Columns `arm`, `group`, one a knob, `seed`, `layer`, `depth`, `frame_rate_hz`, `task`, `metric`,
        `value`, `ci_low`, `ci_high`, `bound` (`at least` or `at most` where a cutoff lies beyond what can be
        measured) and `reason` (why there is no number).
    """
    tables = []
    for training, arm in trainings.items():
        about = {"arm": arm.name, "group": arm.group}
        about |= dataclasses.asdict(training.knobs) | {"seed": training.seed}
        found = pd.concat([_measured(training), _monitored(training)], ignore_index=True)
        tables.append(pd.DataFrame(about, index=found.index).join(found))
    return pd.concat(tables, ignore_index=True)


def gap_table(trainings: Mapping[Training, Arm]) -> pd.DataFrame:
    """Draw masks of every trained arm and count hidden stretches: `arm`, `hidden_ms`, `share`."""
    rows = []
    trained = {arm: each.recipe for each, arm in trainings.items() if each.knobs.trained}
    for arm, recipe in trained.items():
        counts = _gaps(recipe)
        total = sum(counts.values())
        rows += [
            {"arm": arm.name, "hidden_ms": length, "share": count / total}
            for length, count in counts.items()
        ]
    return pd.DataFrame(rows)


@cache
def _gaps(recipe: Recipe) -> dict[float, int]:
    assert recipe.masks is not None
    masks = recipe.masks.sample(_MASKS_DRAWN, recipe.grid, np.random.default_rng(0))
    rate_hz = float(frame_rate_hz(recipe.frontend, recipe.sample_rate_hz))
    return mask_statistics(masks.context, masks.targets, recipe.grid, rate_hz).histogram_ms


def _measured(training: Training) -> pd.DataFrame:
    rows = read_rows(training.results)
    cutoffs = rows["metric"].isin(_MODULATION) & (rows["task"] == "modulation")
    heads = rows["task"].isin(TASKS) & (rows["metric"] == "accuracy") & (rows["split"] == "test")
    chosen = rows[cutoffs | (heads & (rows["probe"] == "logistic"))]
    open_above = chosen["ci_high"].isna()
    bound = np.where(open_above, "at least", "at most")
    missing = chosen["value"].isna()
    return chosen[list(_KEPT)].assign(
        bound=np.where(chosen["censored"], bound, ""),
        reason=chosen["setting"].where(missing, ""),
    )


def _monitored(training: Training) -> pd.DataFrame:
    """The last row of the log; an encoder that was not trained has none."""
    if not training.knobs.trained:
        return pd.DataFrame()
    log = pd.read_csv(training.folder / "log.csv")
    return pd.DataFrame(list(_last(log))).assign(task="training")


def _last(log: pd.DataFrame) -> Iterator[dict[str, object]]:
    for name in _MONITORS:
        if name in log.columns:
            value = log[name].iloc[-1]
            numeric = isinstance(value, (int, float, np.number))
            yield {
                "metric": name,
                "value": float(value) if numeric else np.nan,
                "reason": "" if numeric else str(value),
            }
