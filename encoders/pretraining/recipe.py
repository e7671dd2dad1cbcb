"""A recipe: everything that decides a pretraining, as one frozen value that travels as JSON."""

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from probe_bench.encoders.pretraining.blocks.predictor import PredictorShape
from probe_bench.encoders.pretraining.blocks.projector import ProjectorShape
from probe_bench.encoders.pretraining.blocks.stack import BlockStack
from probe_bench.encoders.pretraining.data.augment import Augment
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.frontends.frontend import FrontendShape, grid
from probe_bench.encoders.pretraining.losses.objective import Objective
from probe_bench.encoders.pretraining.losses.rdmreg import RdmReg
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.losses.views import ViewRule
from probe_bench.encoders.pretraining.masking.masks import Grid, MaskSampler
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.ranges import Count, NotNegative, Ranged
from probe_bench.encoders.pretraining.teacher import EmaRule
from probe_bench.errors import UserError

__all__ = ["EncoderShape", "Hiding", "Recipe", "from_json", "to_json"]

Hiding = Literal["drop", "mask_token", "after_encoder"]


@runtime_checkable
class EncoderShape(Protocol):
    """Geometry of a stack of blocks; the module returns every block's output."""

    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def in_order(self) -> bool:
        """Whether blocks read a token by its place in the sequence, frame after frame."""

    def build(self) -> BlockStack:
        """Make the module."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe(Ranged):
    """One pretraining, part by part; schedules are fractions of `steps`.

    There are two pretexts. With `masks`, tokens of one clip are predicted from others of the same
    clip; with `views`, embeddings of several pieces of a clip are made to agree. Everything else
    combines freely.

    Attributes:
        system: Name of the system.
        preset: Name of the preset or recipe file.
        sample_rate_hz: Rate of the audio.
        crop_samples: Length of a training crop, and of the windows at inference.
        batch_size: Crops in a step, over all processes.
        crops_per_clip: Crops from each drawn clip; they stand side by side in the batch.
        excerpt_samples: Stretch of the clip that its crops come from; the whole clip if None.
        steps: Length of the training.
        augment: What is done to the waveform; None for nothing.
        frontend: Waveform to tokens.
        encoder: Of student and teacher.
        position_scale: Amplitude of the encoder's positions. What they add runs through every
            block's output into the targets, where it is predicted for nothing.
        masks: Sampler of context and targets.
        hiding: How hidden tokens are kept from the encoder: they are dropped, replaced by a mask
            token, or not at all: then the predictor alone misses them.
        views: Pieces of a clip that must agree, in place of `masks`.
        predictor: From the context to the targets; None where the encoder itself fills its mask
            tokens in.
        projector: Head between encoder and loss.
        targets: From teacher outputs to targets.
        objective: Distance between prediction and target; where targets are no outputs of the encoder,
            a linear head maps to their space.
        objective_weight: Of that distance in the loss.
        regulariser: Of the student's embeddings: of all tokens where it sees the whole crop, else
            of those that it sees; of every view.
        teacher: Moving average of the encoder; None where the encoder makes its own targets.
        stop_gradient: No gradient flows into the targets. Views have none: it says nothing there.
        optimiser: AdamW and its schedules.
        precision: Of the forward pass; weights and losses are float32.
        export: Whose weights inference uses.
        pool_bands: Average the tokens of a time step at inference; else they stand side by side.
    """

    system: str
    preset: str
    sample_rate_hz: Count = 16_000
    crop_samples: Count
    batch_size: Count
    crops_per_clip: Count = 1
    excerpt_samples: Count | None = None
    steps: Count
    augment: Augment | None = None
    frontend: FrontendShape
    encoder: EncoderShape
    position_scale: NotNegative = 1.0
    masks: MaskSampler | None = None
    hiding: Hiding = "drop"
    views: ViewRule | None = None
    predictor: PredictorShape | None = None
    projector: ProjectorShape | None = None
    targets: TargetRule = field(default_factory=TargetRule)
    objective: Objective = "mse"
    objective_weight: NotNegative = 1.0
    regulariser: SigReg | RdmReg | None = None
    teacher: EmaRule | None = None
    stop_gradient: bool = True
    optimiser: OptimiserRule
    precision: Literal["float32", "bfloat16"] = "float32"
    export: Literal["student", "teacher"] = "student"
    pool_bands: bool = False

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise UserError(f"recipe {self.system} {self.preset}: {error}") from None
        for broken, problem in self._problems():
            if broken:
                raise UserError(f"recipe {self.system} {self.preset}: {problem}")

    def _problems(self) -> list[tuple[bool, str]]:
        """Combinations that mean nothing, each with what to do."""
        sines = 4 if self.grid.bands > 1 else 2  # sine and cosine, of time and of frequency
        return [
            (
                (self.masks is None) == (self.views is None),
                f"{'no masks and no' if self.masks is None else 'masks and'} views; expected one of them",
            ),
            (
                self.views is not None and (self.predictor or self.teacher) is not None,
                "views have no predictor and no teacher; remove them, or give masks",
            ),
            (
                self.masks is not None and self.hiding != "mask_token" and self.predictor is None,
                f"hiding {self.hiding!r} needs a predictor; add one, or hide by mask_token",
            ),
            (
                self.teacher is not None and not self.stop_gradient,
                "a teacher's outputs have no gradient to keep; set teacher to none as well",
            ),
            *self._target_problems(),
            (
                self.teacher is None and self.export == "teacher",
                "there is no teacher to export; set export to student",
            ),
            (
                not 1 <= self.targets.top_k <= self.encoder.depth,
                f"targets.top_k is {self.targets.top_k}; expected 1 to {self.encoder.depth} blocks",
            ),
            (
                self._shortest_samples < self.frontend.min_samples,
                f"crops or views of {self._shortest_samples} samples give no token; take longer ones",
            ),
            (
                any(dim % sines for dim in self._widths),
                f"encoder and predictor {self._widths} wide; positions need multiples of {sines}",
            ),
            (
                self.masks is not None and self.hiding == "drop" and self.encoder.in_order,
                "a Conformer needs every frame; hide by mask_token or after_encoder",
            ),
            (
                self.encoder.in_order and self.grid.bands > 1,
                f"a Conformer over {self.grid.bands} patches a frame; set patch_bands to bands",
            ),
            (
                self.augment is not None
                and self.augment.microphones not in {1, getattr(self.frontend, "microphones", 1)},
                "the rooms have more microphones than the front end; change one of them",
            ),
        ]

    def _target_problems(self) -> list[tuple[bool, str]]:
        """The same of targets that are no outputs of an encoder."""
        return [
            (
                self.reads_input and (self.views or self.teacher or self.projector) is not None,
                'targets from the input have no views, teacher or projector; set these to "none"',
            ),
            (
                self.reads_input and self.patch_pixels is None,
                "a front end that learns could make its own targets constant; use MelPatchesShape",
            ),
            (
                (self.objective == "cross_entropy") != bool(self.targets.codes),
                "the objective cross_entropy and targets.codes go together; set both or neither",
            ),
            (
                self.targets.codes > 0 and (self.views or self.projector) is not None,
                "classes have no views and no projector; leave these out",
            ),
            (
                self.reads_input and self.targets.top_k > 1,
                f"targets.top_k is {self.targets.top_k}, and the input has no blocks; set it to 1",
            ),
            (
                self.targets.codes == 1,
                "targets.codes is 1; expected two classes or more, or 0 for none",
            ),
        ]

    @property
    def reads_input(self) -> bool:
        """Whether targets come from the front end's patches and not from an encoder."""
        return self.targets.source == "input"

    @property
    def patch_pixels(self) -> int | None:
        """Width of the front end's patches; None where they are learnt."""
        return getattr(self.frontend, "patch_pixels", None)

    @property
    def _widths(self) -> list[int]:
        """Widths that carry positions; a predictor without a width has none."""
        widths = [self.encoder.dim, getattr(self.predictor, "dim", None)]
        return [dim for dim in widths if dim is not None]

    @property
    def _shortest_samples(self) -> int:
        """Length of the shortest waveform that the encoder sees."""
        crop = self.crop_samples
        return crop if self.views is None else min(self.views.lengths(crop))

    @property
    def crops(self) -> CropRule:
        """How a batch is cut from clips."""
        return CropRule(
            batch=self.batch_size,
            crop_samples=self.crop_samples,
            crops_per_clip=self.crops_per_clip,
            excerpt_samples=self.excerpt_samples,
        )

    @property
    def grid(self) -> Grid:
        """Token grid of one crop."""
        return grid(self.frontend, self.crop_samples)

    @property
    def inference(self) -> dict[str, Any]:
        """The fields that decide what the encoder computes from given weights."""
        names = (
            "sample_rate_hz",
            "crop_samples",
            "frontend",
            "encoder",
            "position_scale",
            "pool_bands",
        )
        return {name: to_json(getattr(self, name)) for name in names}


_ROOT = "probe_bench.encoders."


def to_json(value: Any) -> Any:
    """Turn a recipe or a part of one into JSON values; a part's `kind` is `module:Class`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = f"{type(value).__module__.removeprefix(_ROOT)}:{type(value).__name__}"
        return {"kind": kind, **fields}
    return [to_json(item) for item in value] if isinstance(value, tuple) else value


def from_json(value: Any) -> Any:
    """Turn the JSON values of `to_json` back.

    Raises:
        KeyError: If a kind is unknown.
        TypeError: If the fields are not those of the kind.
        UserError: If the parts don't go together.
    """
    if isinstance(value, Mapping):
        fields = {name: from_json(field) for name, field in value.items() if name != "kind"}
        return part(value["kind"])(**fields)
    return tuple(from_json(item) for item in value) if isinstance(value, list) else value


def part(kind: str) -> type[Any]:
    """Find a part's class by its `kind`; nothing outside `probe_bench.encoders` is imported.

    Raises:
        KeyError: If there is no such part.
        UserError: If its module cannot be imported, or it is no dataclass.
    """
    module, _, name = kind.partition(":")
    try:
        found = getattr(importlib.import_module(_ROOT + module), name)
    except ImportError as error:
        if f"{_ROOT}{module}.".startswith(f"{error.name}."):
            raise KeyError(kind) from error
        raise UserError(f"{kind}: its module cannot be imported ({error}); mend it") from error
    except AttributeError as error:
        raise KeyError(kind) from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(
            f"{kind}: not a dataclass; expected a frozen dataclass of the part's fields"
        )
    return found
