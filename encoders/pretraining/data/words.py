"""Training audio by the words of a command line: folders, manifests, audio files and tars."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from probe_bench.encoders.pretraining.data.decoding import SUFFIXES
from probe_bench.encoders.pretraining.data.files import AudioFiles, find_files
from probe_bench.encoders.pretraining.data.shards import Shards
from probe_bench.encoders.pretraining.data.sources import Source, join
from probe_bench.errors import CorpusError
from probe_bench.manifest import manifest_paths

__all__ = ["find_audio", "open_sources"]

_TAR = frozenset({".tar"})
_ALTERNATIVES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


def open_sources(
    words: Sequence[str], sample_rate_hz: int, cache: Path, *, skip_bad: bool = False
) -> Source:
    """Open training audio by the words of a command line.

    Args:
        words: Audio files, CSV manifests with a column `path`, tars, or folders: with a
            `manifest.csv`, or with audio or tars in it or below. Braces stand for several words:
            `shards-{000..009}.tar`, `{train,other}.csv`.
        sample_rate_hz: Rate of training.
        cache: Folder for what is found out about shards.
        skip_bad: Leave recordings out whose header is not usable; `left_out` lists them. Damage
            that only decoding shows is always an error.

    Returns:
        All audio files as one source, all tars as one, or both joined.

    Raises:
        CorpusError: If a word names nothing, a folder has no audio, or a tar is unreadable.
        AudioError: If a header is not usable.
    """
    found, name = find_audio(words), ", ".join(words)
    files = [path for path in found if path.suffix.lower() not in _TAR]
    tars = [path for path in found if path.suffix.lower() in _TAR]
    sources: list[Source] = []
    if files:
        sources.append(AudioFiles.open(files, sample_rate_hz, skip_bad=skip_bad, name=name))
    if tars:
        index = cache / "shards"
        sources.append(Shards.open(tars, sample_rate_hz, index, skip_bad=skip_bad, name=name))
    return join(sources)


def find_audio(words: Sequence[str]) -> list[Path]:
    """List the audio files and tars that words stand for, in order.

    Raises:
        CorpusError: If there are no words, one names nothing, or a folder has no audio.
    """
    found = [path for word in words for one in _expand(word) for path in _find(Path(one))]
    if not found:
        raise CorpusError("training audio: no words given; expected folders, manifests or tars")
    return found


def _expand(word: str) -> list[str]:
    """Expand braces as shells do: `{08..11}` keeps leading zeros, `{a,b}` lists alternatives."""
    parts = _ALTERNATIVES.split(word)
    fixed, options = parts[::4], []
    for first, last, listed in zip(parts[1::4], parts[2::4], parts[3::4], strict=True):
        if listed is not None:
            options.append(listed.split(","))
        else:
            low, high = sorted((int(first), int(last)))
            numbers = range(low, high + 1)
            options.append([f"{number:0{len(first)}d}" for number in numbers])
    return [
        fixed[0] + "".join(map("".join, zip(chosen, fixed[1:], strict=True)))
        for chosen in product(*options)
    ]


def _find(path: Path) -> list[Path]:
    """List the audio files or tars that a path stands for."""
    if path.is_dir():
        return _find_in(path)
    if not path.is_file():
        raise CorpusError(
            f"{path}: not found; expected a folder of audio, a manifest .csv or a .tar; correct "
            "the path"
        )
    if path.suffix.lower() == ".csv":
        return manifest_paths(path)
    if path.suffix.lower() in SUFFIXES | _TAR:
        return [path]
    raise CorpusError(
        f"{path}: neither audio, .csv nor plain .tar by its name; expected one of these; "
        "decompress or convert it"
    )


def _find_in(folder: Path) -> list[Path]:
    if (folder / "manifest.csv").is_file():
        return manifest_paths(folder / "manifest.csv")
    found = find_files(folder, SUFFIXES | _TAR)
    if not found:
        raise CorpusError(
            f"{folder}: no audio found in it or below; expected files named .wav, .flac, .ogg, "
            ".mp3 ..., a manifest.csv, or tars; correct the path"
        )
    return found
