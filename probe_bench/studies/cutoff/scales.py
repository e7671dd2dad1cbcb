"""Sizes of the cutoff studies, and a training written as a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from probe_bench.encoders.audio_jepa.presets import LOG_MEL
from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.exact import ExactSpans
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule
from probe_bench.errors import UserError
from probe_bench.studies.cutoff.knobs import Knobs

__all__ = ["RATE_HZ", "SCALES", "Scale", "recipe_of"]

RATE_HZ = 16_000
_WINDOW = 400  # samples, 25 ms
_SHARE = 0.5  # of every crop is hidden
_CODES = 256
_SIGREG = SigReg(weight=0.05, directions=256)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Size of a study.

    Attributes:
        spans_ms: Mask spans of `mask-span`.
        tokens_ms: Token periods of `frame-rate`; the first is every other study's.
        seeds: Trainings of every arm.
        steps: Of a training.
        batch_size: Crops in a step.
        crop_s: Length of a crop.
        hop_ms: Between spectrogram frames.
        dim: Width of the encoder.
        depth: Its blocks.
        heads: Its attention heads.
        lr: Peak learning rate.
        clips: Limit of clips that are measured; None for all.
        train_frames: Frames that phoneme probes train on.
    """

    spans_ms: tuple[float, ...]
    tokens_ms: tuple[float, ...]
    seeds: int
    steps: int
    batch_size: int
    crop_s: float
    hop_ms: float
    dim: int
    depth: int
    heads: int
    lr: float = 1e-3
    clips: int | None = None
    train_frames: int = 16_000


SCALES: Mapping[Literal["smoke", "small", "full"], Scale] = {
    "smoke": Scale(
        spans_ms=(50.0, 100.0, 200.0),
        tokens_ms=(25.0, 50.0),
        seeds=2,
        steps=4,
        batch_size=4,
        crop_s=1.0,
        hop_ms=12.5,
        dim=32,
        depth=2,
        heads=2,
        clips=48,
        train_frames=400,
    ),
    "small": Scale(
        spans_ms=(50.0, 100.0, 200.0, 400.0, 1000.0),
        tokens_ms=(25.0, 12.5, 50.0, 100.0),
        seeds=3,
        steps=1200,
        batch_size=12,
        crop_s=4.0,
        hop_ms=12.5,
        dim=128,
        depth=4,
        heads=4,
        clips=432,
        train_frames=8000,
    ),
    "full": Scale(
        spans_ms=(50.0, 100.0, 200.0, 400.0, 1000.0),
        tokens_ms=(10.0, 40.0, 80.0),
        seeds=5,
        steps=100_000,
        batch_size=128,
        crop_s=8.0,
        hop_ms=10.0,
        dim=768,
        depth=12,
        heads=12,
        lr=5e-4,
    ),
}


def recipe_of(knobs: Knobs, scale: Scale) -> Recipe:
    """Write a training as a recipe: log-mel tokens of all bands, a transformer, exact spans.

    Raises:
        UserError: If tokens or spans are no whole number of frames.
    """
    token_ms = knobs.token_ms or scale.tokens_ms[0]
    frames = _whole(token_ms / scale.hop_ms, f"tokens of {token_ms:g} ms", scale.hop_ms)
    span = _whole(knobs.span_ms / token_ms, f"spans of {knobs.span_ms:g} ms", token_ms)
    hop = round(scale.hop_ms * RATE_HZ / 1000)
    latent = knobs.objective == "latent"
    rate = knobs.teacher if latent else None
    coded = knobs.objective == "codes"
    return Recipe(
        system="audio-jepa",
        preset=f"cutoff study: {knobs.slug}",
        crop_samples=round(scale.crop_s * RATE_HZ) - hop + _WINDOW,
        batch_size=scale.batch_size,
        steps=scale.steps,
        frontend=MelPatchesShape(
            bands=64,
            hop_samples=hop,
            window_samples=_WINDOW,
            patch_frames=frames,
            patch_bands=64,
            **LOG_MEL,
        ),
        encoder=TransformerShape(dim=scale.dim, depth=scale.depth, heads=scale.heads),
        position_scale=0.25,
        masks=ExactSpans(span=span, share=_SHARE),
        predictor=TransformerPredictor(
            dim=scale.dim // 2, depth=max(1, scale.depth // 2), heads=max(1, scale.heads // 2)
        ),
        targets=TargetRule(
            source="encoder" if latent else "input",
            top_k=knobs.top_k,
            normalisation=knobs.normalisation,
            codes=_CODES if coded else 0,
        ),
        objective="cross_entropy" if coded else "mse",
        regulariser=_SIGREG if latent and rate is None else None,
        teacher=None if rate is None else EmaRule(start=rate, end=rate),
        optimiser=OptimiserRule(lr=scale.lr, warmup_fraction=0.1, clip_norm=5.0),
        precision="bfloat16",
    )


def _whole(ratio: float, what: str, unit_ms: float) -> int:
    if ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
        raise UserError(f"{what}: expected a multiple of {unit_ms:g} ms")
    return round(ratio)
