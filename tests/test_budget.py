"""What a run is expected to cost: every part of it counts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from probe_bench import budget
from probe_bench.budget import probing_seconds
from probe_bench.corpus import Corpus
from probe_bench.jobs import Job, divide
from probe_bench.lineup import Contestant, line_up
from probe_bench.probes.config import ProbeConfig
from probe_bench.task import Measure, ProbeName, Task

SPEAKER = Task(
    name="speaker",
    summary="-",
    label="speaker",
    unit="clip",
    disjoint=("recording",),
    cluster="speaker",
    measures=(Measure(probe="logistic", metrics=("accuracy",)),),
    corpus="noise",
)


@pytest.fixture
def expect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """Expected seconds at a million operations a second."""
    monkeypatch.setattr(budget, "_product_speed", lambda *_: 1e6)

    def seconds(
        jobs: list[Job],
        analyses: list[tuple[str, Corpus]],
        n_diagnostics: int,
        n_degradations: int = 0,
    ) -> float:
        contestants: list[Contestant] = line_up(
            ["logmel:25"], seed=0, baselines=False, trust_code=False
        )
        names = ("v-information", "code-length")[:n_diagnostics]
        return probing_seconds(
            *(jobs, analyses, contestants, torch.device("cpu"), ProbeConfig(), names),
            n_degradations=n_degradations,
        )

    return seconds


def test_every_task_diagnostic_and_analysis_adds_its_part(
    expect: Callable[..., float], make_corpus: Callable[..., Corpus]
) -> None:
    corpus = make_corpus([0.1] * 36)
    job = divide(SPEAKER, corpus, seed=0)
    probed = expect([job], [], 0)
    assert 0 < probed < expect([job], [], 1) < expect([job], [], 2)
    assert expect([job, job], [], 0) == pytest.approx(2 * probed)
    analysed = [expect([], [(name, corpus)], 0) for name in ("modulation", "geometry")]
    together = expect([job], [("modulation", corpus), ("geometry", corpus)], 0)
    assert together == pytest.approx(probed + sum(analysed))
    assert min(analysed) > 0


@pytest.mark.parametrize("probe", ["knn", "attentive"])
def test_every_degradation_is_one_more_reading(
    expect: Callable[..., float], make_corpus: Callable[..., Corpus], probe: ProbeName
) -> None:
    own = Measure(probe=probe, metrics=("accuracy",))
    job = divide(replace(SPEAKER, measures=(own,)), make_corpus([0.1] * 36), seed=0)
    clean, one, three = (expect([job], [], 0, n) for n in (0, 1, 3))
    assert clean < one
    assert three - clean == pytest.approx(3 * (one - clean))


def test_analyses_read_no_more_of_a_long_corpus(
    expect: Callable[..., float], make_corpus: Callable[..., Corpus]
) -> None:
    corpus = make_corpus([0.1] * 36)
    hours = [
        replace(corpus, clips=tuple(replace(clip, duration_s=n * 100.0) for clip in corpus))
        for n in (1, 10)
    ]
    for name in ("modulation", "geometry"):
        assert expect([], [(name, hours[0])], 0) == expect([], [(name, hours[1])], 0)


def test_a_product_takes_time() -> None:
    assert 0 < budget._product_speed(torch.device("cpu"), 1) < 1e16
