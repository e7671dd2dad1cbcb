"""The sentence on speed, in every case."""

import math
from dataclasses import replace

import pytest

from probe_bench.reports.metrics import Score
from probe_bench.reports.speed_facts import Reading, SpeedFacts
from probe_bench.reports.speed_wording import amount, speed_line

NONE = Score(value=math.nan)
PLAIN = str.maketrans("\u202f\u00a0", "  ")
ALL_PASS = Score(value=40.0, low=37.7, censored=True)
REFUSED = "a linear readout explains R² = -0.017 of log-mel, at least 0.05 needed"


def reading(hz: float, layer: str = "L6") -> Reading:
    return Reading(score=Score(value=hz, low=hz / 1.08, high=hz * 1.08), layer=layer)


FULL = SpeedFacts(
    name="mine",
    support=reading(11.8),
    span=(reading(30.0, "in"), reading(10.1, "out_norm")),
    phones=reading(7.0),
    emphasis=reading(4.0),
    twin=Reading(score=ALL_PASS, layer="L6"),
    logmel=reading(11.5, "in"),
    logmel_rate_hz=25.0,
)
ALONE = SpeedFacts(name="mine", support=reading(11.8))


def said(facts: SpeedFacts) -> str:
    line = speed_line(facts)
    return (line.lead + line.rest).translate(PLAIN)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (Score(value=13.7, low=11.3, high=16.5), "13.7 ± 2.8 Hz"),
        (Score(value=2.01, low=1.9, high=2.13), "2.01 ± 0.12 Hz"),
        (Score(value=16.5, low=13.5, high=21.9), "16.5 Hz (13.5 to 21.9)"),
        (Score(value=30.0, low=25.0), "30.0 Hz (at least 25.0)"),
        (Score(value=3.0, high=3.4), "3.00 Hz (at most 3.40)"),
        (Score(value=3.0), "3.00 Hz"),
        (ALL_PASS, "at least 40 Hz"),
        (Score(value=0.8, censored=True, below=True), "at most 0.80 Hz"),
        (Score(value=0.61, high=11.0, censored=True, below=True), "at most 11.0 Hz"),
        (Score(value=6.0, low=2.0, high=20.0), "somewhere between 2.0 and 20.0 Hz"),
    ],
)
def test_a_cutoff_has_its_uncertainty(score: Score, expected: str) -> None:
    assert amount(score).translate(PLAIN) == expected


def test_everything_stands_in_one_sentence() -> None:
    assert speed_line(FULL).lead.endswith("follows modulations up to 11.8\u00a0±\u00a00.9\u202fHz")
    assert said(FULL) == (
        "L6 of mine follows modulations up to 11.8 ± 0.9 Hz, its layers from 30.0 Hz at the input to "
        "10.1 Hz at out_norm; phone classes up to 7.0 ± 0.6 Hz; most of its variance responds up to "
        "4.0 ± 0.3 Hz; its random twin is all-pass (> 40 Hz); log-mel at 25 frames/s follows up to "
        "11.5 ± 0.9 Hz."
    )


def test_what_was_not_asked_for_is_not_spoken_of() -> None:
    assert said(ALONE) == "L6 of mine follows modulations up to 11.8 ± 0.9 Hz."
    bare = replace(ALONE, support=reading(11.8, ""), corpus="emodb")
    assert said(bare) == "mine follows modulations on emodb up to 11.8 ± 0.9 Hz."


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"support": Reading(score=ALL_PASS, layer="L6")}, "modulations up to at least 40 Hz."),
        (
            {"support": Reading(score=NONE, layer="L6", reason=REFUSED)},
            f"How fast L6 of mine follows is not measurable ({REFUSED}).",
        ),
        ({"support": Reading(score=NONE, layer="L6")}, "L6 of mine follows is not measurable."),
        (
            {"support": Reading(score=NONE, layer="L6"), "measured": reading(9.0, "in")},
            "is not measurable; the input follows up to 9.0 ± 0.7 Hz.",
        ),
        ({"span": (reading(30.0, "cnn"), reading(11.8))}, ", down from 30.0 Hz at the front end."),
        ({"span": (reading(8.0, "L1"), reading(11.8))}, ", up from 8.0 Hz at L1."),
        (
            {"phones": Reading(score=NONE, reason="short")},
            "; phone classes: not measurable (short).",
        ),
        ({"phones": Reading(score=ALL_PASS)}, "; phone classes up to at least 40 Hz."),
        (
            {"emphasis": Reading(score=ALL_PASS)},
            "; most of its variance responds up to at least 40 Hz.",
        ),
        (
            {"emphasis": Reading(score=NONE, reason="irregular")},
            "; up to which rate most of its variance responds is not measurable (irregular).",
        ),
        (
            {"twin": reading(19.0), "twin_is": "faster"},
            "; its random twin, clearly faster, follows up to 19.0 ± 1.5 Hz.",
        ),
        ({"twin": reading(11.0)}, "; its random twin follows up to 11.0 ± 0.9 Hz."),
        (
            {"twin": Reading(score=NONE, reason=REFUSED)},
            f"; its random twin: not measurable ({REFUSED}).",
        ),
        (
            {"logmel": Reading(score=ALL_PASS), "logmel_rate_hz": 100.0},
            "; log-mel at 100 frames/s is all-pass (> 40 Hz).",
        ),
        (
            {"logmel": Reading(score=Score(value=1.0, censored=True, below=True))},
            "; log-mel follows up to at most 1.0 Hz.",
        ),
    ],
)
def test_each_case_has_its_words(change: dict[str, object], expected: str) -> None:
    assert said(replace(ALONE, **change)).endswith(expected)  # type: ignore[arg-type]
