"""Monitors that tell progress from collapse: the loss alone cannot (arXiv 2507.01028)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.frontends.frontend import frame_rate_hz
from probe_bench.encoders.pretraining.jepa import MaskedBatch, StepOutput
from probe_bench.encoders.pretraining.losses.rdmreg import RdmReg
from probe_bench.encoders.pretraining.masking.masks import mask_of
from probe_bench.encoders.pretraining.masking.statistics import mask_statistics
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = [
    "HEALTHY",
    "FeatureHealth",
    "Row",
    "collapse_verdict",
    "collapsed_since",
    "effective_rank",
    "feature_health",
    "mean_cosine",
    "monitor",
]

Row = dict[str, int | float | str]
HEALTHY = "healthy"

_ROWS = 4096  # enough rows for the spectrum of the widest encoder, cheap at every size


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureHealth:
    """Spread of one layer's features over a batch.

    Attributes:
        scale: Root mean square of the features.
        std_batch: Standard deviation between clips of the clip's mean, averaged over dimensions.
        std_time: Standard deviation over a clip's tokens, averaged over clips and dimensions.
        std_place: Standard deviation between clips of the token at one place, averaged over places
            and dimensions.
        std_lowest: Standard deviation over all tokens of the weakest tenth of the dimensions.
        rank: Effective rank of the centred token matrix.
        dim: Number of dimensions.
    """

    scale: float
    std_batch: float
    std_time: float
    std_place: float
    std_lowest: float
    rank: float
    dim: int


def monitor(
    recipe: Recipe,
    batch: MaskedBatch | ViewBatch,
    output: StepOutput,
    *,
    stem: Float[Tensor, "batch tokens dim"],
    encoder: Float[Tensor, "batch tokens dim"],
) -> Row:
    """Measure a step.

    Args:
        recipe: What is trained.
        batch: What the step saw.
        output: What it made.
        stem: Tokens of whole clips before positions were added.
        encoder: The last block's outputs of whole clips, normed where the targets are.
    """
    health, front = feature_health(encoder), feature_health(stem)
    row: Row = {
        "scale": health.scale,
        "std_batch": health.std_batch,
        "std_time": health.std_time,
        "std_place": health.std_place,
        "std_lowest": health.std_lowest,
        "rank_encoder": health.rank,
        "rank_stem": front.rank,
    }
    if recipe.projector is not None:
        row["rank_projected"] = effective_rank(_thinned(output.embeddings))
        row["nonzero_projected"] = (output.embeddings != 0).float().mean().item()
    if isinstance(recipe.regulariser, RdmReg):
        row["nonzero_target"] = recipe.regulariser.nonzero_fraction
    if recipe.teacher is not None and output.targets is not None:
        row["rank_teacher"] = feature_health(output.targets).rank
        row["teacher_cosine"] = mean_cosine(encoder, output.targets)
    if isinstance(batch, MaskedBatch):
        targets = mask_of(batch.targets, batch.visible.shape[-1])
        rate_hz = float(frame_rate_hz(recipe.frontend, recipe.sample_rate_hz))
        drawn = mask_statistics(batch.visible.cpu(), targets.cpu(), recipe.grid, rate_hz)
        row["visible_fraction"] = drawn.visible_fraction
        row["target_fraction"] = drawn.target_fraction
        row["hidden_run_ms"] = drawn.hidden_run_ms
    return row | {"verdict": collapse_verdict(health, front)}


def feature_health(features: Float[Tensor, "batch tokens dim"]) -> FeatureHealth:
    """Measure one layer's features."""
    rows = features.flatten(0, 1)
    spread = rows.std(0).sort().values
    return FeatureHealth(
        scale=features.square().mean().sqrt().item(),
        std_batch=features.mean(1).std(0).mean().item(),
        std_time=features.std(1).mean().item(),
        std_place=features.std(0).mean().item(),
        std_lowest=spread[: max(1, len(spread) // 10)].mean().item(),
        rank=effective_rank(_thinned(rows)),
        dim=features.shape[-1],
    )


def _thinned(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "thinned dim"]:
    return rows[:: max(1, len(rows) // _ROWS)]


def effective_rank(rows: Float[Tensor, "rows dim"]) -> float:
    """Exponential of the entropy of the singular values (RankMe, arXiv 2210.02885), centred."""
    centred = (rows - rows.mean(0)).double()
    # Singular values from the Gram matrix: dim x dim, however many rows there are.
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp_min(0).sqrt()
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total + 1e-7
    return float((-(shares * shares.log()).sum()).exp())


def mean_cosine(
    a: Float[Tensor, "batch tokens dim"], b: Float[Tensor, "batch tokens dim"]
) -> float:
    """Cosine between matching tokens of two encoders, averaged."""
    return F.cosine_similarity(a, b, dim=-1).mean().item()


def collapse_verdict(encoder: FeatureHealth, stem: FeatureHealth) -> str:
    """Name the kind of collapse, or return `healthy`.

    `stem`: the front end no longer tells tokens apart. `constant`: one output for every input, be it
    one vector or one course over time that is the same for every clip (a code of positions).
    `over-time`: clips differ, tokens of a clip do not. `dimensional`: few directions carry all
    variance. In the collapse study (docs/studies/collapse) the spread fell to .02 to .09 of the
    features' scale in dying encoders and stayed above .36 in others, a code of positions left .15 to
    .33 of it between clips. Untrained encoders have .23 and .82 at least, trained ones .18 and more;
    the views of lejepa and lpjepa, whose mean no loss sees, .15 and .98.
    """
    if stem.std_time < 0.01 * stem.scale:
        return "stem"
    spread = math.hypot(encoder.std_time, encoder.std_batch)
    if spread < 0.12 * encoder.scale or encoder.std_place < 0.35 * spread:
        return "constant"
    if encoder.std_time < 0.1 * encoder.std_batch:
        return "over-time"
    if encoder.rank < max(2.0, 0.03 * encoder.dim):
        return "dimensional"
    return HEALTHY


def collapsed_since(verdicts: Sequence[str], patience: int) -> str | None:
    """Name the collapse that the last `patience` verdicts agree to be one, or None.

    One bad row is no alarm: a large step can flatten the features for a moment.
    """
    last = verdicts[-patience:]
    return last[-1] if len(last) == patience and HEALTHY not in last else None
