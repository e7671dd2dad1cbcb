"""Any task of the HEAR 2021 benchmark in its prepared folder.

Layout: `task_metadata.json`, `labelvocabulary.csv`, one JSON of labels for each part (`train.json`,
    `valid.json`, `test.json`, or `fold00.json` ...) and the audio in `RATE/PART/`.
Labels: of a scene task, the label indices or names of a file; of an event task, the labels of the
    events in the file, whose times are left aside.
Splits: the benchmark's, for `tagging` and for a task of the HEAR task's own name (so HEAR's
    `emotion` is read by the task emotion). A clip with one label carries it under that name, too.
"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe_bench.alignments import decode
from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.errors import CorpusError
from probe_bench.recordings import find_recordings, make_clip

__all__ = ["CORPORA"]

_LAYOUT = "one unpacked HEAR task with task_metadata.json, labelvocabulary.csv and audio by rate"
_METADATA = tuple(f"{depth}task_metadata.json" for depth in ("", "*/", "*/*/", "*/*/*/"))


def _load(folder: Path) -> Corpus:
    found = find_recordings(folder, _METADATA, _LAYOUT)
    if len(found) > 1:
        names = ", ".join(file.parent.name for file in found)
        raise CorpusError(f"{folder}: several HEAR tasks ({names}); expected the folder of one")
    task = found[0].parent
    metadata = _json(found[0])
    audio = _audio_folder(task)
    vocabulary = _vocabulary(task)
    clips = [
        _clip(audio / part / file, labels, vocabulary, metadata)
        for part in _parts(task, metadata)
        for file, labels in sorted(_json(task / f"{part}.json").items())
    ]
    return Corpus(
        name="hear",
        clips=tuple(sorted(clips, key=lambda clip: clip.id)),
        licence="that of the data set the task is made from",
        revision=f"{metadata.get('task_name', task.name)}-{metadata.get('version', 'unknown')}",
    )


def _clip(
    path: Path, labels: list[Any], vocabulary: Mapping[str, str], metadata: Mapping[str, Any]
) -> Clip:
    part = path.parent.name
    if not path.is_file():
        raise CorpusError(f"{path}: missing, but listed in {part}.json; unpack the archive again")
    names = [str(item["label"]) if isinstance(item, dict) else str(item) for item in labels]
    tags = tuple(sorted({vocabulary.get(name, name) for name in names}))
    task = str(metadata.get("task_name", "class"))
    split = f"fold:{part.removeprefix('fold')}" if part.startswith("fold") else part
    return make_clip(
        path.parents[1],
        path,
        labels={task: tags[0]} if metadata.get("prediction_type") == "multiclass" else {},
        tags=tags,
        splits={"tagging": split, task: split},
    )


def _parts(task: Path, metadata: Mapping[str, Any]) -> list[str]:
    """Name the parts that the metadata lists, or that have a file."""
    parts = metadata.get("splits") or ["train", "valid", "test"]
    missing = [part for part in parts if not (task / f"{part}.json").is_file()]
    if missing:
        raise CorpusError(f"{task}: {missing[0]}.json is missing; expected {_LAYOUT}")
    return [str(part) for part in parts]


def _audio_folder(task: Path) -> Path:
    """Pick the folder of the highest sample rate."""
    rates = [entry for entry in task.iterdir() if entry.is_dir() and entry.name.isdigit()]
    if not rates:
        raise CorpusError(f"{task}: no audio folder such as 48000 or 16000; expected {_LAYOUT}")
    return max(rates, key=lambda entry: int(entry.name))


def _vocabulary(task: Path) -> dict[str, str]:
    """Read label names by index."""
    (file,) = find_recordings(task, ("labelvocabulary.csv",), _LAYOUT)
    rows = list(csv.DictReader(decode(file.read_bytes()).splitlines()))
    if not rows or not {"idx", "label"} <= set(rows[0]):
        raise CorpusError(f"{file}: expected the columns idx and label")
    return {row["idx"]: row["label"] for row in rows}


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(decode(file.read_bytes()))
    except ValueError as error:
        raise CorpusError(f"{file}: not readable as JSON ({error}); unpack it again") from error
    if not isinstance(content, dict):
        raise CorpusError(
            f"{file}: a JSON {type(content).__name__}; expected an object by file name"
        )
    return content


CORPORA = (
    CorpusSpec(
        name="hear",
        summary="any prepared task folder of the HEAR 2021 benchmark",
        source="Turian et al. 2022, HEAR: Holistic Evaluation of Audio Representations",
        licence="that of the data set the task is made from",
        load=_load,
    ),
)
