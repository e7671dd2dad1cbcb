"""Audio that train and test share is found, counted and refused; what may be shared is told."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from probe_bench.config import RunConfig
from probe_bench.corpus import Clip, Corpus
from probe_bench.errors import CorpusError
from probe_bench.jobs import Job
from probe_bench.leaks.parts import PartLeaks, find_part_leaks, refuse_leaks
from probe_bench.leaks.table import Leak, write_leaks
from probe_bench.reports import html
from probe_bench.reports.record import Record
from probe_bench.run import run
from probe_bench.splits import Fold
from probe_bench.survey import survey
from probe_bench.task import Measure, Task

RATE_HZ = 16000
Takes = dict[tuple[int, int], np.ndarray]
Changes = Mapping[str, Callable[[np.ndarray], tuple[np.ndarray, int]]]
TASK = Task(
    name="digit",
    summary="-",
    label="digit",
    unit="clip",
    disjoint=("recording",),
    cluster="speaker",
    measures=(Measure(probe="logistic", metrics=("accuracy",)),),
    corpus="mine",
)


@pytest.fixture
def look(write: Callable[..., Path]) -> Callable[..., PartLeaks]:
    """Write clips of some parts and look for what they share; speakers go by turns of three."""

    def find(sounds: Sequence[np.ndarray], parts: Sequence[str], order: Sequence[int]) -> PartLeaks:
        clips = []
        for i, samples in enumerate(sounds):
            path = write(f"{i:02}.wav", samples)
            labels = {"digit": str(i % 2), "speaker": f"s{i % 3}", "recording": f"r{i}"}
            clips.append(Clip(id=f"{i:02}", path=path, duration_s=1.0, labels=labels))
        corpus = Corpus(
            name="mine", clips=tuple(clips[i] for i in order), licence="-", revision="-"
        )
        where = {p: tuple(k for k, i in enumerate(order) if parts[i] == p) for p in set(parts)}
        folds = (Fold(train=where["train"], valid=where["valid"], test=where["test"]),)
        job = Job(task=TASK, corpus=corpus, clips=tuple(range(len(clips))), folds=folds)
        looked = survey(corpus, skip_bad=False, fingerprints=True, threads=1 + order[0] % 3)
        return find_part_leaks([job], {"mine": looked})

    return find


def planted(takes: Takes, changes: Changes) -> tuple[list[np.ndarray], list[str]]:
    """Test 6 copies train 0, valid 5 copies train 1; train 2 and 3 are copies; the rest is new."""
    sounds = [takes[k, 0] for k in range(6)]
    sounds[3] = changes["noise"](sounds[2])[0]
    sounds[5] = changes["vorbis"](sounds[1])[0][: len(sounds[1])]
    sounds += [changes["trimmed"](sounds[0])[0], takes[0, 1], takes[4, 1]]
    return sounds, ["train"] * 4 + ["valid"] * 2 + ["test"] * 3


def test_copies_across_parts_are_rows_and_those_within_are_counted(
    look: Callable[..., PartLeaks], takes: Takes, changes: Changes
) -> None:
    found = look(*planted(takes, changes), range(9))
    audio = [leak for leak in found.leaks if leak.is_audio]
    assert [(a.clip, a.part, a.other_clip, a.other_part) for a in audio] == [
        ("06", "test", "00", "train"),
        ("05", "valid", "01", "train"),
    ]
    assert {a.kind for a in audio} == {"near"}
    record = found.record()["tasks"][0]
    assert record["clips"] == {"test in train": 1, "valid in train": 1}
    assert record["within_a_part"] == 2
    assert "1 of 3 test clips are also in train; 06 is in 00" in found.lines[0]
    with pytest.raises(CorpusError, match=r"digit on mine: 1 of 3 test clips.*--refuse-leaks"):
        refuse_leaks(found)


def test_shared_speakers_are_told_but_not_what_the_task_keeps_apart(
    look: Callable[..., PartLeaks], takes: Takes, changes: Changes
) -> None:
    found = look(*planted(takes, changes), range(9))
    labels = [leak for leak in found.leaks if not leak.is_audio]
    assert {leak.kind for leak in labels} == {"speaker"}
    assert "3 of 3 speakers of test are also in train" in {leak.note for leak in labels}


def test_clip_order_and_threads_change_nothing(
    look: Callable[..., PartLeaks], takes: Takes, changes: Changes, tmp_path: Path
) -> None:
    tables = []
    for order in (list(range(9)), [8, 3, 5, 0, 1, 7, 2, 6, 4]):
        found = look(*planted(takes, changes), order)
        audio = [leak for leak in found.leaks if leak.is_audio]
        write_leaks(audio, tmp_path / "leaks.csv")
        tables.append((tmp_path / "leaks.csv").read_bytes())
    assert tables[0] == tables[1]


def test_the_same_samples_are_exact_even_if_too_short_to_judge(
    look: Callable[..., PartLeaks], takes: Takes
) -> None:
    sounds = [takes[k, 0][5000:9000] for k in range(6)]
    sounds[5] = sounds[0]
    found = look(sounds, ["train", "train", "valid", "valid", "test", "test"], range(6))
    (leak,) = [leak for leak in found.leaks if leak.is_audio]
    assert (leak.kind, leak.clip, leak.other_clip, leak.similarity) == ("exact", "05", "00", 1.0)
    assert found.coverage == "0 of 6 clips of mine judged, 6 too short"


def test_nothing_shared_is_not_refused(look: Callable[..., PartLeaks], takes: Takes) -> None:
    sounds = [takes[k, 0] for k in range(6)]
    found = look(sounds, ["train", "train", "valid", "valid", "test", "test"], range(6))
    refuse_leaks(found)
    assert not found.lines
    assert found.coverage == "6 of 6 clips of mine judged"


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_leaks([], tmp_path / "leaks.csv")
    assert tuple(pd.read_csv(tmp_path / "leaks.csv").columns) == Leak.__slots__


@pytest.fixture
def leaky(tmp_path: Path, takes: Takes) -> Path:
    """A folder of four speakers whose official test part holds a train clip at another gain."""
    rows = []
    for i, ((sentence, take), samples) in enumerate(takes.items()):
        sound = 0.5 * takes[0, 0] if i == 23 else samples
        soundfile.write(tmp_path / f"{i:02}.wav", sound, RATE_HZ)
        part = "test" if i % 4 == 3 else "valid" if i % 4 == 2 else "train"
        rows.append(f"{i:02}.wav,{sentence % 2},s{take},{part}")
    (tmp_path / "manifest.csv").write_text("\n".join(["path,emotion,speaker,split", *rows]) + "\n")
    return tmp_path


def test_a_run_says_writes_and_refuses_leaks(leaky: Path) -> None:
    said = Console(record=True, width=500)
    config = RunConfig(
        encoder=("logmel",),
        task=("emotion",),
        analysis=("none",),
        degrade=("none",),
        corpus=(f"mine={leaky}",),
        cache=leaky / "cache",
        out=leaky / "out",
    )
    with pytest.raises(CorpusError, match=r"1 of 6 test clips.*--refuse-leaks"):
        run(replace(config, refuse_leaks=True), said)
    assert not (leaky / "out" / "leaks.csv").exists()
    run(config, said)
    line = "emotion on mine: 1 of 6 test clips are also in train; 23.wav is in 00.wav"
    assert f"LEAK {line}" in said.export_text()
    table = pd.read_csv(leaky / "out" / "leaks.csv")
    assert table.loc[table["kind"] == "near", "clip"].tolist() == ["23.wav"]
    record = json.loads((leaky / "out" / "run.json").read_text())
    assert record["leaks"]["tasks"][0]["clips"] == {"test in train": 1}
    page = Record(label="out", run_ids=(), found=True, content=record)
    templates = html._environment()
    assert line in templates.get_template("warnings.html.jinja").render(records=[page])
    assert "1 clip of test in train" in templates.get_template("leaks.html.jinja").render(
        run=record
    )
