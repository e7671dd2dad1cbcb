"""Which probes read a task: its own, or those named, as far as they fit."""

from typing import get_args

import pytest

from probe_bench.errors import UserError
from probe_bench.evaluate import _READERS
from probe_bench.probes.kinds import KINDS, OWN, Family, kind_of, with_probes
from probe_bench.registry import tasks
from probe_bench.task import ProbeName, Task


def probes(task: Task) -> list[str]:
    return [measure.probe for measure in task.measures]


def test_every_probe_name_has_one_kind_and_every_family_a_reader() -> None:
    assert [kind.name for kind in KINDS] == list(get_args(ProbeName))
    assert set(_READERS) == set(get_args(Family)) == {kind.family for kind in KINDS}


def test_own_stands_for_what_the_task_names() -> None:
    for task in tasks().values():
        assert with_probes(task, [OWN]) == task


def test_named_probes_come_in_order_once_and_only_where_they_fit() -> None:
    speaker, phoneme = tasks()["speaker"], tasks()["phoneme"]
    assert probes(with_probes(speaker, ["ridge", "ctc", "ridge", "logistic"])) == [
        "ridge",
        "logistic",
    ]
    assert probes(with_probes(phoneme, ["ridge", OWN, "cosine"])) == ["ridge", "logistic", "ctc"]


def test_metrics_are_the_tasks_own_or_its_headline() -> None:
    tagging = with_probes(tasks()["tagging"], ["ridge"])
    assert tagging.measures[0].metrics == ("map", "macro_auc")
    assert with_probes(tasks()["speaker"], ["cosine"]).headline == "eer"
    assert kind_of("ctc").frames


def test_classes_that_training_must_not_share_are_only_paired() -> None:
    verification = tasks()["verification"]
    assert probes(verification) == ["plda", "cosine", "as-norm"]
    assert probes(with_probes(verification, ["knn", "logistic", "cosine"])) == ["cosine"]
    assert probes(with_probes(tasks()["speaker"], ["knn", "plda"])) == ["knn", "plda"]


def test_a_task_that_nothing_named_can_read_is_refused() -> None:
    with pytest.raises(UserError, match="none of the probes ctc can read it; name one of logistic"):
        with_probes(tasks()["emotion"], ["ctc"])
