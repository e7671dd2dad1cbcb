from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from probe_bench.agenda import Agenda, make_agenda
from probe_bench.config import RunConfig
from probe_bench.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Write a corpus of four clips with the given columns and name it for the command line."""

    def make(name: str, **columns: str) -> str:
        root = tmp_path / name
        root.mkdir()
        lines = [",".join(["path", *columns])]
        for i in range(4):
            noise = np.random.default_rng(i).standard_normal(1600)
            soundfile.write(root / f"{i}.wav", 0.1 * noise, 16000)
            lines.append(",".join([f"{i}.wav", *columns.values()]))
        (root / "manifest.csv").write_text("\n".join(lines) + "\n")
        return f"{name}={root}"

    return make


def pairs(agenda: Agenda) -> list[tuple[str, str]]:
    return [(task.name, corpus) for task, corpus in agenda.tasks]


def test_every_task_reads_every_corpus_that_has_its_label(
    folder: Callable[..., str], tmp_path: Path
) -> None:
    corpora = (folder("a", speaker="x", emotion="calm"), folder("b", speaker="y"))
    config = RunConfig(task=("emotion", "speaker"), corpus=corpora)
    agenda = make_agenda(config, tmp_path)
    assert pairs(agenda) == [("emotion", "a"), ("speaker", "a"), ("speaker", "b")]
    assert agenda.analyses == tuple(
        (analysis, corpus) for analysis in ("modulation", "geometry") for corpus in ("a", "b")
    )
    assert agenda.analysed("geometry") == ["a", "b"]
    assert agenda.needs_frames("a")


def test_pooled_statistics_are_enough_where_nothing_reads_frames(
    folder: Callable[..., str], tmp_path: Path
) -> None:
    config = RunConfig(
        task=("speaker",), analysis=("none",), corpus=(folder("a", speaker="x"),), limit=2
    )
    agenda = make_agenda(config, tmp_path)
    assert not agenda.needs_frames("a")
    assert [len(corpus) for corpus in agenda.corpora] == [2]


def test_a_protocol_that_verifies_reads_frames(folder: Callable[..., str], tmp_path: Path) -> None:
    config = RunConfig(
        task=("verification",), analysis=("none",), corpus=(folder("a", speaker="x"),)
    )
    assert not make_agenda(config, tmp_path).needs_frames("a")
    assert make_agenda(replace(config, protocol=("superb",)), tmp_path).needs_frames("a")
    assert not make_agenda(replace(config, protocol=("hear",)), tmp_path).needs_frames("a")


def test_a_task_without_its_label_is_refused(folder: Callable[..., str], tmp_path: Path) -> None:
    config = RunConfig(task=("emotion",), corpus=(folder("a", speaker="x"),))
    with pytest.raises(UserError, match="needs the label 'emotion'"):
        make_agenda(config, tmp_path)


def test_tasks_that_nobody_named_are_left_out_where_no_corpus_has_their_label(
    folder: Callable[..., str], tmp_path: Path
) -> None:
    agenda = make_agenda(RunConfig(corpus=(folder("a", speaker="x"),)), tmp_path)
    assert pairs(agenda) == [("speaker", "a")]
    assert [note.split()[1] for note in agenda.notes] == ["phoneme", "emotion", "tagging"]
    unlabelled = make_agenda(RunConfig(corpus=(folder("b"),)), tmp_path)
    assert not unlabelled.tasks
    assert len(unlabelled.notes) == 4
    with pytest.raises(UserError, match="needs the label 'speaker'"):
        make_agenda(RunConfig(corpus=(folder("c"),), analysis=("none",)), tmp_path)


def test_an_unknown_probe_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown probe 'logistc'; did you mean 'logistic'"):
        make_agenda(RunConfig(probe=("logistc",)), tmp_path)
