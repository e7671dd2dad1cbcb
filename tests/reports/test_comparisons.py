"""What the report makes of paired tests."""

from pathlib import Path

import pandas as pd
import pytest

from probe_bench.reports.comparisons import basis, told
from probe_bench.reports.html import render
from probe_bench.reports.metrics import Score
from probe_bench.reports.tables import join_comparisons, join_runs
from probe_bench.reports.terminal import summary
from probe_bench.reports.views import headline_groups
from probe_bench.reports.wording import findings, verdict
from probe_bench.rows import Comparison, Question, write_comparisons

from .test_terminal import printed


def _test(question: Question, other: str, difference: float, p: float, **fields: str) -> Comparison:
    given = {"encoder": "wavjepa", "layer": "best", "other_layer": "best"} | fields
    return Comparison(
        run_id="5f0c2e9a71d3",
        question=question,
        other=other,
        corpus="speech",
        task="phoneme",
        probe="logistic",
        metric="accuracy",
        difference=difference,
        ci_low=difference - 0.01,
        ci_high=difference + 0.01,
        p=p / 2,
        p_holm=p,
        p_max_t=p,
        n_groups=40,
        seed=0,
        **given,  # type: ignore[arg-type]
    )


TESTS = [
    _test("twin", "random:wavjepa", 0.2, 0.2),
    _test("logmel", "logmel:50", 0.01, 0.001),
    _test("encoder", "audio-jepa", -0.1, 0.01),
    _test("layer", "wavjepa", -0.1, 0.01, layer="L1"),
    _test("layer", "wavjepa", -0.01, 0.6, layer="L2"),
    _test("layer", "wavjepa", 0.01, 0.9, layer="L4"),
]


@pytest.fixture
def tested(run: Path) -> Path:
    write_comparisons(TESTS, run / "comparisons.csv")
    return run


def test_tests_overrule_intervals() -> None:
    low, high = Score(value=0.3, low=0.2, high=0.4), Score(value=0.5, low=0.45, high=0.55)
    assert verdict(high, low, "accuracy", 0.06) == "cannot be told from"
    assert verdict(high, low, "accuracy", 0.04) == "beats"
    assert verdict(high, low, "per", 0.04) == "is below"
    assert verdict(low, high, "per", 0.04) == "beats"
    assert verdict(low, high, "accuracy", 0.04) == "is below"
    assert verdict(low, high, "support_hz", 0.04) is None


def test_what_is_told_of_an_encoder(tested: Path) -> None:
    tests = join_comparisons([tested])
    mine = told(tests, "wavjepa", "accuracy")
    assert mine.p == {"random": 0.2, "logmel": 0.001}
    assert mine.alike == ("L2", "L4")
    assert mine.among_best is False
    assert told(tests, "wavjepa", "per").among_best is True  # lower would be better
    assert told(tests, "audio-jepa", "accuracy").among_best is True
    assert told(tests.iloc[:1], "wavjepa", "accuracy").among_best is None


def test_the_summary_speaks_by_the_tests(tested: Path) -> None:
    table, tests = join_runs([tested]), join_comparisons([tested])
    tested_tasks = findings(table, tests)[0].against["random"][0].tasks
    assert findings(table)[0].against["random"][0].tasks == ["speaker", "phoneme"]
    assert tested_tasks == ["speaker"]
    lines = {
        (group.task, line.name): line
        for group in headline_groups(table, tests)
        for line in group.lines
    }
    bold = [key for key, line in lines.items() if line.among_best]
    assert bold == [("phoneme", "audio-jepa")]  # the one pair that was tested
    assert (lines["phoneme", "wavjepa"].layer, lines["phoneme", "wavjepa"].alike) == ("L4", ("L2",))
    assert lines["speaker", "wavjepa"].alike == ()


def test_legends_say_what_verdicts_rest_on(tested: Path, tmp_path: Path) -> None:
    tests = join_comparisons([tested])
    assert "paired test at 5 %" in printed(summary(join_runs([tested]), tests), width=120)
    assert "intervals overlap" in printed(summary(join_runs([tested])), width=120)
    assert basis(pd.DataFrame()) == basis(None)
    page = render([tested], tmp_path / "page").read_text()
    assert "(paired test)" in page
    assert "comparisons.csv" in page
    assert "intervals overlap" not in page
    (tested / "comparisons.csv").unlink()
    page = render([tested], tmp_path / "page").read_text()
    assert "the intervals overlap" in page
    assert "comparisons.csv" not in page
