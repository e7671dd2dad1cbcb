"""The studies: which knob each one turns, and how far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from probe_bench.reports.cutoff_data import BASE, PATCHES, UNTRAINED
from probe_bench.studies.cutoff.knobs import AUDIO, Knobs
from probe_bench.studies.cutoff.scales import Scale

__all__ = ["BASE", "PATCHES", "PLANS", "UNTRAINED", "Arm", "Plan"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One setting, trained with every seed.

    Attributes:
        name: In tables and figures.
        group: Arms that are one line of a figure.
        knobs: Where the knobs stand.
    """

    name: str
    group: str
    knobs: Knobs


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study.

    Attributes:
        name: On the command line.
        question: What it asks.
        arms: Its arms, by scale.
        turns_span: Whether its knob is the mask span, so that a line can be drawn through its cutoffs.
    """

    name: str
    question: str
    arms: Callable[[Scale], tuple[Arm, ...]]
    turns_span: bool = False


_BASE = Knobs()
_UNTRAINED = Arm(name=UNTRAINED, group=UNTRAINED, knobs=Knobs(trained=False))


def _mask_span(scale: Scale) -> tuple[Arm, ...]:
    spans = [
        Arm(
            name=f"{group} {span_ms:g} ms",
            group=group,
            knobs=Knobs(span_ms=span_ms, objective="patches" if group == PATCHES else "latent"),
        )
        for group in (BASE, PATCHES)
        for span_ms in scale.spans_ms
    ]
    return (*spans, _UNTRAINED)


def _varied(*arms: tuple[str, Knobs], base: Knobs = _BASE) -> tuple[Arm, ...]:
    """The base and the controls, and between them arms that differ from the base by a knob or two."""
    named = ((BASE, base), *arms, (PATCHES, replace(base, objective="patches")))
    turned = (Arm(name=name, group=name, knobs=knobs) for name, knobs in named)
    return (*turned, _UNTRAINED)


def _teacher(_: Scale) -> tuple[Arm, ...]:
    return _varied(
        ("EMA .99", Knobs(teacher=0.99)),
        ("EMA .9999", Knobs(teacher=0.9999)),
        ("no teacher, SIGReg", Knobs(teacher=None)),
    )


def _targets(scale: Scale) -> tuple[Arm, ...]:
    every = scale.depth
    return _varied(
        ("by channel", Knobs(normalisation="channel")),
        ("as they are", Knobs(normalisation="none")),
        ("all blocks", Knobs(top_k=every)),
        ("all blocks by channel", Knobs(top_k=every, normalisation="channel")),
        ("all blocks as they are", Knobs(top_k=every, normalisation="none")),
    )


def _objective(_: Scale) -> tuple[Arm, ...]:
    return _varied(("codes", Knobs(objective="codes")))


def _frame_rate(scale: Scale) -> tuple[Arm, ...]:
    base = Knobs(span_ms=400.0)  # a whole number of every token
    others = ((f"{ms:g} ms", replace(base, token_ms=ms)) for ms in scale.tokens_ms[1:])
    return _varied(*others, base=base)


def _corpus(_: Scale) -> tuple[Arm, ...]:
    return _varied(*((audio, Knobs(audio=audio)) for audio in AUDIO[1:]))


PLANS: Mapping[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            name="mask-span",
            question="Does a longer mask span lower the cutoff, as 1 / (2 T) would have it?",
            arms=_mask_span,
            turns_span=True,
        ),
        Plan(
            name="teacher",
            question="Does a slower teacher lower the cutoff?",
            arms=_teacher,
        ),
        Plan(
            name="targets",
            question="Do targets from several blocks raise the cutoff, and is it their normalisation?",
            arms=_targets,
        ),
        Plan(
            name="objective",
            question="Is it the prediction of latents that sets the cutoff, or that of anything hidden?",
            arms=_objective,
        ),
        Plan(
            name="frame-rate",
            question="Does the token rate set the cutoff?",
            arms=_frame_rate,
        ),
        Plan(
            name="corpus",
            question="Does the cutoff move with how fast the training audio changes?",
            arms=_corpus,
        ),
    )
}
