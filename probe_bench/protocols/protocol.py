"""What a protocol is: the heads it tries, how it trains them, what it validates on, and its faults."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from probe_bench.protocols.training import Candidate, Regime

__all__ = ["Heads", "Protocol", "Sizes", "Validation", "Variant"]

Validation = Literal["own", "test", "random"]
"""Which clips choose epochs and settings: the fold's own valid part, its test part (a fault), or a random
share of train and valid together, whoever speaks (a fault where speakers or recordings tell)."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What decides the shape of a head."""

    layers: int
    dim: int
    classes: int


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What is tried, and how it is trained."""

    candidates: Callable[[Sizes], Sequence[Candidate]]
    regime: Regime


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to run a protocol.

    Attributes:
        name: In the column `probe`.
        heads: What is trained; None for nearest neighbours.
        validation: Clips that choose.
        valid_share: Share of the clips that is drawn for a `random` validation.
        grid_once: Whether the first fold chooses the setting for all others.
        fault: What is wrong with it; empty for what is honest.
    """

    name: str
    heads: Heads | None = None
    validation: Validation = "own"
    valid_share: float = 0.0
    grid_once: bool = False
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A published protocol.

    Attributes:
        name: On the command line.
        summary: One line for `probe-bench list protocols`.
        source: Paper, and the repository and commit whose code it follows.
        sums_layers: Whether heads read a softmax-weighted sum of all layers, else the last layer.
        standardises: Whether features are standardised on the training clips.
        clips: Variants for labels of clips, given whether there are official folds and whether labels
            are sets of tags.
        phones: Variants for phone transcripts; none where the protocol has no such task.
        pairs: Variants for verification trials; none where the protocol has no such task.
        departures: In what we do not follow it, and why.
    """

    name: str
    summary: str
    source: str
    sums_layers: bool
    standardises: bool = False
    clips: Callable[[bool, bool], tuple[Variant, ...]]
    phones: tuple[Variant, ...] = ()
    pairs: tuple[Variant, ...] = ()
    departures: tuple[str, ...] = ()

    def faults(self) -> dict[str, str]:
        """What is wrong with each variant that has a fault, by its name."""
        variants = [v for folds in (False, True) for v in self.clips(folds, False)]
        return {v.name: v.fault for v in (*variants, *self.phones, *self.pairs) if v.fault}
