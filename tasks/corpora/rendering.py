"""Render an embedded corpus into a folder once, and read it back.

`folder/REVISION/` appears by one rename when every clip is written, so whatever stands there is
whole; a lock lets one process render while the others wait.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.folders import make_cached
from probe_bench.tasks.corpora.recording import RATE_HZ

__all__ = ["Sound", "load_or_render"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A clip, its path relative to the corpus folder, and its samples at `RATE_HZ`."""

    clip: Clip
    samples: NDArray[np.int16]


def load_or_render(
    folder: Path,
    *,
    name: str,
    licence: str,
    revision: str,
    sounds: Callable[[], Iterable[Sound]],
) -> Corpus:
    """Read the corpus of this revision in `folder`, rendering it first if it is not whole.

    Args:
        folder: Belongs to this corpus alone; revisions stand in it side by side.
        name: Name of the corpus.
        licence: Licence of the audio.
        revision: A folder name; must change whenever `sounds` would give anything else.
        sounds: Makes the corpus.

    Raises:
        UserError: If the folder cannot be made.
    """
    target = folder / revision
    clips = _read(target)
    if clips is None:
        make_cached(folder)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the system if we are killed
            clips = _read(target) or _render(target, sounds())
    return Corpus(name=name, clips=clips, licence=licence, revision=revision)


def _render(target: Path, sounds: Iterable[Sound]) -> tuple[Clip, ...]:
    """Write everything beside `target`, then move it there; call under the lock."""
    partial = target.with_name(f"{target.name}.partial")
    for leftover in (partial, target):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    entries = [_write(partial, sound) for sound in sounds]
    (partial / _MANIFEST).write_text(json.dumps(entries, separators=(",", ":")), "utf-8")
    partial.rename(target)
    return tuple(_clip(target, entry["clip"]) for entry in entries)


def _write(folder: Path, sound: Sound) -> dict[str, Any]:
    path = folder / sound.clip.path
    path.parent.mkdir(exist_ok=True)
    # Level 0 predicts with integers only: better compression estimates in floating point, which
    # differs between processors, and with it the bytes that a corpus is identified by.
    soundfile.write(
        path, sound.samples, RATE_HZ, subtype="PCM_16", format="FLAC", compression_level=0.0
    )
    clip = asdict(replace(sound.clip, path=Path()))
    clip["path"] = sound.clip.path.as_posix()
    return {"clip": clip, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _read(folder: Path) -> tuple[Clip, ...] | None:
    """Return the clips of a whole corpus, None if anything is missing or damaged."""
    try:
        entries = json.loads((folder / _MANIFEST).read_text("utf-8"))
        whole = all(
            hashlib.sha256((folder / e["clip"]["path"]).read_bytes()).hexdigest() == e["sha256"]
            for e in entries
        )
    except (OSError, ValueError):
        return None
    return tuple(_clip(folder, entry["clip"]) for entry in entries) if whole else None


def _clip(folder: Path, entry: dict[str, Any]) -> Clip:
    phones, tags = entry["phones"], entry["tags"]
    return Clip(
        id=entry["id"],
        path=folder / entry["path"],
        duration_s=entry["duration_s"],
        labels=entry["labels"],
        tags=None if tags is None else tuple(tags),
        phones=None if phones is None else tuple(Segment(**phone) for phone in phones),
        splits=entry["splits"],
    )
