"""Numbers are written with the digits their interval supports."""

import math

import pytest

from probe_bench.reports.metrics import Score, metric_text


@pytest.mark.parametrize(
    ("metric", "score", "expected"),
    [
        ("accuracy", Score(value=0.6234, low=0.58, high=0.66), "62.3\u202f% [58.0, 66.0]"),
        ("accuracy", Score(value=0.6234, low=0.6229, high=0.6241), "62.34\u202f% [62.29, 62.41]"),
        ("map", Score(value=0.6234), "62.3\u202f%"),
        ("support_hz", Score(value=12.34, low=11.2, high=13.1), "12.3\u202fHz [11.2, 13.1]"),
        ("support_hz", Score(value=40.0, low=36.2, censored=True), "> 40\u202fHz [36, ∞]"),
        ("support_low_hz", Score(value=0.4, censored=True), "< 0.40\u202fHz"),
        ("support_hz", Score(value=math.nan), "not measurable"),
        ("support_r2", Score(value=0.6, low=0.57, high=0.63), "0.60 [0.57, 0.63]"),
        ("hidden_thing", Score(value=0.0), "0.0"),
    ],
)
def test_a_score_is_written_with_the_digits_it_supports(
    metric: str, score: Score, expected: str
) -> None:
    assert metric_text(metric).full(score) == expected


def test_errors_say_that_lower_is_better() -> None:
    assert metric_text("eer").axis == "EER (%), lower is better"
    assert metric_text("mindcf").axis == "minDCF, lower is better"
    assert metric_text("accuracy").axis == "accuracy (%)"
