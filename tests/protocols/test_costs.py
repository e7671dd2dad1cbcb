"""What protocols cost: nothing where they have no task, and more where they do more."""

from collections.abc import Callable
from typing import Any

import pytest

from probe_bench import registry
from probe_bench.corpus import Corpus
from probe_bench.jobs import Job
from probe_bench.protocols.costs import protocol_operations
from probe_bench.splits import Fold

N = 40


@pytest.fixture
def cost(
    make_clips: Callable[..., Corpus],
    make_folds: Callable[[int, int], tuple[Fold, ...]],
    planted: Any,
) -> Callable[..., float]:
    """Operations of a protocol on a task of 40 clips and some folds."""

    def cost(protocol: str, *, task: str = "tagging", folds: int = 1) -> float:
        label = "tags" if task == "tagging" else "speaker"
        job = Job(
            task=registry.tasks()[task],
            corpus=make_clips(N, label),
            clips=tuple(range(N)),
            folds=make_folds(N, folds),
        )
        return protocol_operations(registry.protocols()[protocol], job, planted([0] * N).layers)

    return cost


def test_a_task_that_a_protocol_does_not_have_costs_nothing(cost: Callable[..., float]) -> None:
    assert cost("evar", task="verification") == 0
    assert cost("hear", task="phoneme") == 0
    assert cost("superb", task="phoneme") > 0


def test_verification_costs_what_its_frames_and_folds_are(cost: Callable[..., float]) -> None:
    """2,500 steps of 50 clips of 1 s at 50 Hz, 6 operations a weight; looks at 8 valid clips; 8 test clips."""
    weights = 3_917_276 + 12 * 512 + 512  # over time, and the projection of 12 numbers
    frames = 2_500 * 50 * 50 * 6 + (10 * 8 + 8) * 50 * 2
    assert cost("superb", task="verification") == pytest.approx(weights * frames)
    assert cost("superb", task="verification", folds=5) == pytest.approx(5 * weights * frames)


def test_what_does_more_costs_more(cost: Callable[..., float]) -> None:
    assert cost("hear") > cost("evar") > cost("xares") > 0
    # With folds an honest variant comes beside it, and every fold is trained anew.
    assert cost("evar", folds=5) == pytest.approx(10 * cost("evar"))
    assert cost("hear", folds=5) < 5 * cost("hear"), "one variant chooses once for all folds"
