"""What stands on the two sides of a comparison, by the words of a command line.

A word is the name of a corpus as in `run`, a folder, manifest, audio file or tar as in `pretrain
--audio`, or a checkpoint (or its `pretrain.json`, or their folder), which stands for the audio that
its record names.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe_bench import registry
from probe_bench.corpora import load_corpora
from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.data.shard_index import audio_members
from probe_bench.encoders.pretraining.data.words import find_audio
from probe_bench.encoders.pretraining.pretrain import CHECKPOINT
from probe_bench.errors import CheckpointError, CorpusError
from probe_bench.leaks.recordings import Recording
from probe_bench.manifest import manifest_labels

__all__ = ["Side", "open_side"]

_RECORD = "pretrain.json"


@dataclass(frozen=True, kw_only=True)
class Side:
    """Recordings that are listed when they are needed: a tar's members are never all in memory.

    Attributes:
        corpora: With labels.
        files: Recordings and tars without.
        labelled: Recordings that a manifest lists.
        qualified: Put the corpus before the names of its clips.
    """

    corpora: tuple[Corpus, ...]
    files: tuple[Path, ...] = ()
    labelled: tuple[Recording, ...] = ()
    qualified: bool = True

    @property
    def n_bytes(self) -> int:
        """Size of all files: which side is the smaller one?"""
        clips = (clip.path for corpus in self.corpora for clip in corpus)
        listed = (recording.path for recording in self.labelled)
        return sum(path.stat().st_size for path in (*clips, *self.files, *listed))

    def __iter__(self) -> Iterator[Recording]:
        for corpus in self.corpora:
            for clip in corpus:
                name = f"{corpus.name}/{clip.id}" if self.qualified else clip.id
                yield Recording(name=name, path=clip.path, labels=clip.labels)
        yield from self.labelled
        for path in self.files:
            yield from _members(path) if path.suffix.lower() == ".tar" else [_file(path)]


def open_side(words: Sequence[str], cache_root: Path) -> Side:
    """Find what some words stand for.

    Args:
        words: See above.
        cache_root: Embedded corpora are synthesised below it at first use.

    Raises:
        UserError: If a word names nothing, or a record names audio that no other word gives.
    """
    records = {word: _recorded(Path(word)) for word in words if not _is_corpus(word)}
    named = [word for word in words if _is_corpus(word)]
    paths = [word for word, names in records.items() if names is None]
    given = {word.partition("=")[0] for word in named} | {Path(path).name for path in paths}
    for word, names in records.items():
        for name in names or ():
            if name in given:
                continue
            if not _is_corpus(name):
                raise CorpusError(
                    f"{word}: was trained on {name!r}, and its record does not say where that is; "
                    f"expected it too; add {name}=FOLDER, or the path that ends in {name}"
                )
            named.append(name)
    manifests = [path for path in map(_manifest, paths) if path]
    plain = [path for path in paths if not _manifest(path)]
    return Side(
        corpora=tuple(load_corpora(named, cache_root)),
        files=tuple(find_audio(plain)) if plain else (),
        labelled=tuple(
            Recording(name=str(path), path=path, labels=labels)
            for manifest in manifests
            for path, labels in manifest_labels(manifest)
        ),
    )


def _is_corpus(word: str) -> bool:
    """Say whether a word is the name of a corpus, alone or with a folder."""
    known = registry.corpora()
    return bool(re.fullmatch(r"[\w.-]+=.+", word)) or (word in known and known[word].embedded)


def _manifest(word: str) -> Path | None:
    """Return the manifest that a word stands for, if it does."""
    path = Path(word)
    if path.is_dir():
        path /= "manifest.csv"
    return path if path.suffix.lower() == ".csv" and path.is_file() else None


def _recorded(path: Path) -> tuple[str, ...] | None:
    """Return the names of the audio that a checkpoint was trained on; None for anything else."""
    if path.is_dir():
        found = [path / name for name in (_RECORD, CHECKPOINT) if (path / name).is_file()]
        return _recorded(found[0]) if found else None
    if path.suffix == ".safetensors":
        return tuple(checkpoints.read(path).corpora)
    if path.suffix != ".json":
        return None
    try:
        corpora = json.loads(path.read_text(encoding="utf-8"))["corpora"]
        return tuple(str(name) for name in corpora)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: no list of corpora in it ({error!r}); expected the {_RECORD} that `pretrain` "
            "wrote"
        ) from error


def _file(path: Path) -> Recording:
    return Recording(name=str(path), path=path)


def _members(path: Path) -> Iterator[Recording]:
    """List the recordings of a tar."""
    for member in audio_members(path):
        yield Recording(
            name=f"{path}/{member.name}", path=path, offset=member.offset_data, size=member.size
        )
