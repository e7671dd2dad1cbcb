"""Arms of the collapse study: one base and what differs from it by named switches."""

import dataclasses
import re
from dataclasses import dataclass, replace

from probe_bench.encoders.audio_jepa.presets import LOG_MEL
from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.losses.targets import Normalisation, TargetRule
from probe_bench.encoders.pretraining.masking.samplers import PatchMasks
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Hiding, Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule

__all__ = ["ARMS", "SCALES", "Arm", "Scale", "Switches", "recipe_of"]

_LR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What may differ between two arms.

    The base's loss is the one of arXiv 2507.01028: squared error to the plain outputs of the last
    block, so that nothing but the switches stands between training and collapse.

    Attributes:
        teacher: EMA rate; None where the encoder makes its own targets.
        stop_gradient: No gradient flows into the targets.
        hiding: Hidden tokens are dropped, or replaced by a mask token.
        predictor: Whether there is one.
        sigreg: Whether SIGReg is added.
        targets: Normalisation of the targets.
        lr: Peak learning rate over the base's.
        warmup: Share of the training spent warming up.
    """

    teacher: float | None = 0.99
    stop_gradient: bool = True
    hiding: Hiding = "drop"
    predictor: bool = True
    sigreg: bool = False
    targets: Normalisation = "none"
    lr: float = 1.0
    warmup: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One training of the study.

    Attributes:
        name: On figures and in tables.
        group: Question that it belongs to.
        parent: Name of the arm that it differs from by one switch; empty for the base.
        switches: Where all switches stand.
    """

    name: str
    group: str
    parent: str
    switches: Switches

    @property
    def folder(self) -> str:
        """Name of its training's folder."""
        return re.sub(r"[^\w.]+", "-", self.name).strip("-")

    @property
    def switch(self) -> str:
        """The switch that differs from the parent, as `name=value`; empty for the base."""
        if not self.parent:
            return ""
        before = next(arm for arm in ARMS if arm.name == self.parent).switches
        changed = [
            f"{field.name}={getattr(self.switches, field.name)}"
            for field in dataclasses.fields(Switches)
            if getattr(self.switches, field.name) != getattr(before, field.name)
        ]
        return ", ".join(changed)


def _arms() -> tuple[Arm, ...]:
    """Every arm, each made from its parent by exactly one switch."""
    made = {"base": Arm(name="base", group="teacher", parent="", switches=Switches())}

    def add(group: str, name: str, parent: str, **switch: object) -> None:
        switches = replace(made[parent].switches, **switch)  # type: ignore[arg-type]
        made[name] = Arm(name=name, group=group, parent=parent, switches=switches)

    for rate in (0.0, 0.9, 0.996, 0.9999):
        add("teacher", f"EMA {rate:g}", "base", teacher=rate)
    add("teacher", "no teacher", "base", teacher=None)
    add("teacher", "no stop-gradient", "no teacher", stop_gradient=False)
    add("predictor", "mask token", "base", hiding="mask_token")
    add("predictor", "no predictor", "mask token", predictor=False)
    add("predictor", "no predictor, no teacher", "no predictor", teacher=None)
    add(
        "predictor",
        "no predictor, no stop-gradient",
        "no predictor, no teacher",
        stop_gradient=False,
    )
    for parent in ("base", "no teacher", "no stop-gradient", *(n for n in made if "no pred" in n)):
        name = "SIGReg" if parent == "base" else f"{parent}, SIGReg"
        add("SIGReg", name, parent, sigreg=True)
    for normalisation in ("layer", "channel"):
        add("targets", f"targets by {normalisation}", "base", targets=normalisation)
        name = f"no stop-gradient, targets by {normalisation}"
        add("targets", name, "no stop-gradient", targets=normalisation)
    faster = "learning rate × 10"  # noqa: RUF001  a sign of multiplication
    add("learning rate", faster, "base", lr=10.0)
    add("learning rate", "no warm-up", "base", warmup=0.0)
    add("learning rate", f"{faster}, no warm-up", faster, warmup=0.0)
    return tuple(made.values())


ARMS = _arms()


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Size of the study.

    Attributes:
        steps: Of every training.
        monitor_every: Steps between rows of the logs.
        batch_size: Crops in a step.
        crop_frames: Spectrogram frames in a crop, 10 ms apart.
        dim: Width of the encoder.
        depth: Blocks of the encoder.
        seeds: Trainings of every arm.
        arms: Names of the arms; all if empty.
        clips: Limit of clips for the final probes; 0 for no probes.
    """

    steps: int
    monitor_every: int
    batch_size: int
    crop_frames: int
    dim: int
    depth: int
    seeds: int
    arms: tuple[str, ...] = ()
    clips: int = 0

    @property
    def chosen(self) -> tuple[Arm, ...]:
        """The arms themselves."""
        return tuple(arm for arm in ARMS if not self.arms or arm.name in self.arms)


SCALES = {
    "smoke": Scale(
        steps=80,
        monitor_every=4,
        batch_size=6,
        crop_frames=40,
        dim=32,
        depth=1,
        seeds=1,
        arms=("base", "EMA 0", "no teacher", "no stop-gradient", "no stop-gradient, SIGReg"),
    ),
    "small": Scale(
        steps=400,
        monitor_every=10,
        batch_size=12,
        crop_frames=100,
        dim=48,
        depth=2,
        seeds=2,
        clips=96,
    ),
    "full": Scale(
        steps=20_000,
        monitor_every=100,
        batch_size=128,
        crop_frames=200,
        dim=384,
        depth=8,
        seeds=3,
        clips=864,
    ),
}


def recipe_of(arm: Arm, scale: Scale) -> Recipe:
    """Write an arm as a recipe."""
    switches = arm.switches
    rate = switches.teacher
    width = 3 * scale.dim // 4
    predictor = TransformerPredictor(dim=width, depth=scale.depth, heads=2)
    lr = _LR * switches.lr
    return Recipe(
        system="audio-jepa",
        preset=f"collapse study: {arm.name}",
        crop_samples=(scale.crop_frames - 1) * 160 + 400,
        batch_size=scale.batch_size,
        steps=scale.steps,
        frontend=MelPatchesShape(
            bands=64, hop_samples=160, window_samples=400, patch_frames=4, patch_bands=16, **LOG_MEL
        ),
        encoder=TransformerShape(dim=scale.dim, depth=scale.depth, heads=2),
        position_scale=0.25,
        masks=PatchMasks(),
        hiding=switches.hiding,
        predictor=predictor if switches.predictor else None,
        targets=TargetRule(normalisation=switches.targets),
        regulariser=SigReg(weight=0.05, directions=128) if switches.sigreg else None,
        teacher=None if rate is None else EmaRule(start=rate, end=rate),
        stop_gradient=switches.stop_gradient,
        optimiser=OptimiserRule(
            lr=lr, lr_start=1e-6 if switches.warmup else lr, warmup_fraction=switches.warmup
        ),
    )
