"""Who stands in a run: the encoders asked for, and the baselines every table carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from probe_bench.encoder import Encoder, Layer
from probe_bench.errors import UserError
from probe_bench.exported import fingerprint_of, read_layers
from probe_bench.resolve import resolve
from probe_bench.rows import Role

__all__ = ["Contestant", "control", "line_up", "twin_of"]

_EXPORTED = "features:"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One encoder, or one folder of features that something else computed, and its role.

    Attributes:
        name: As on the command line.
        role: What its rows are in a comparison.
        layers: Its layers.
        fingerprint: Decides its features.
        encoder: None for a folder of features.
        folder: None for an encoder.
        has_frames: False if there is one vector a clip only.
    """

    name: str
    role: Role
    layers: tuple[Layer, ...]
    fingerprint: str
    encoder: Encoder | None = None
    folder: Path | None = None
    has_frames: bool = True

    @property
    def has_twin(self) -> bool:
        """Say whether it has weights that could be drawn at random instead."""
        return bool(self.encoder and self.encoder.n_parameters and self.role == "subject")

    @property
    def frameless(self) -> str:
        """Say why frames of it cannot be read."""
        return f"{self.name} left out, it has one vector a clip and no frames"


def line_up(
    references: Sequence[str], *, seed: int, baselines: bool, trust_code: bool
) -> list[Contestant]:
    """Load the encoders asked for and, with `baselines`, log-mel and untrained twins.

    Each subject brings log-mel at the frame rate of its fastest layer and itself at random
    initialisation; baselines that several subjects share stand once. What could be a baseline is a
    subject itself where it is asked for beside nothing that it could be a baseline of.

    Raises:
        UserError: If an encoder cannot be loaded, or two would go by one name in the tables.
    """
    if not references:
        raise UserError("no encoder given; name one with --encoder, e.g. --encoder wavjepa")
    found = {name: _contestant(name, seed, trust_code) for name in dict.fromkeys(references)}
    for name, contestant in list(found.items()) if baselines else []:
        rate_hz = max(layer.frame_rate_hz for layer in contestant.layers)
        wanted = [] if contestant.role == "logmel" or not rate_hz else [f"logmel:{rate_hz}"]
        wanted += [twin_of(name)] if contestant.has_twin else []
        for baseline in wanted:
            if baseline not in found:
                found[baseline] = _contestant(baseline, seed, trust_code)
    _refuse_namesakes(found)
    return [_judged(name, one, found, references) for name, one in found.items()]


def twin_of(name: str) -> str:
    """Name an encoder's architecture at random initialisation."""
    return f"random:{name}"


def control(name: str) -> Contestant:
    """Load an encoder of known answer as a control."""
    return replace(_contestant(name, seed=0, trust_code=False), role="control")


def _judged(
    name: str, one: Contestant, found: Mapping[str, Contestant], references: Sequence[str]
) -> Contestant:
    """Make a baseline that was asked for a subject where it is nobody's baseline."""
    if name not in references or one.role == "subject":
        return one
    if one.role == "random":
        needed = any(twin_of(other) == name for other in found)
    else:
        needed = any(other.role == "subject" for other in found.values())
    return one if needed else replace(one, role="subject")


def _refuse_namesakes(found: Mapping[str, Contestant]) -> None:
    """Refuse two references that stand for encoders of one name."""
    owners: dict[str, str] = {}
    for reference, contestant in found.items():
        other = owners.setdefault(contestant.name, reference)
        if other != reference:
            raise UserError(
                f"{other} and {reference} would both be called {contestant.name!r} in the tables; "
                "rename one of them"
            )


def _contestant(name: str, seed: int, trust_code: bool) -> Contestant:
    """Load one."""
    if name.startswith(_EXPORTED):
        folder = Path(name.removeprefix(_EXPORTED)).expanduser()
        layers, pool = read_layers(folder)
        return Contestant(
            name=f"{_EXPORTED}{folder.name}",
            role="subject",
            layers=layers,
            fingerprint=fingerprint_of(folder),
            folder=folder,
            has_frames=pool == "none",
        )
    encoder = resolve(name, seed=seed, trust_code=trust_code)
    return Contestant(
        name=encoder.name,
        role=_role(name),
        layers=encoder.layers,
        fingerprint=encoder.fingerprint,
        encoder=encoder,
    )


def _role(name: str) -> Role:
    """Return the role that an encoder's name gives it."""
    if name.partition(":")[0] == "logmel":
        return "logmel"
    return "random" if name.startswith("random:") else "subject"
