"""Audio of any length from files and tars, fingerprinted piece by piece in bounded memory."""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile

from probe_bench.encoders.pretraining.data.shard_index import Member
from probe_bench.errors import AudioError
from probe_bench.leaks.fingerprint import Fingerprint, fingerprint

__all__ = ["Heard", "Piece", "Recording", "listen"]

_PIECE_S = 120
_OVERLAP_S = 10  # what two recordings share up to this length lies whole within one piece
_BATCH = 16  # recordings whose fingerprints are held at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Where one recording lies.

    Attributes:
        name: For tables and messages.
        path: Audio file, or the tar that holds it.
        offset: First byte within the tar; None for a file of its own.
        size: Bytes within the tar.
        labels: What is known of it.
    """

    name: str
    path: Path
    offset: int | None = None
    size: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """The fingerprint of up to two minutes of a recording."""

    start_s: float
    print: Fingerprint


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A recording with its pieces, or with what is wrong with it."""

    recording: Recording
    pieces: tuple[Piece, ...] = ()
    error: AudioError | None = None


def listen(recordings: Iterable[Recording], *, threads: int = 4) -> Iterator[Heard]:
    """Fingerprint recordings, several at a time, in order; few are held at once.

    Args:
        recordings: Any number.
        threads: Recordings decoded at once; changes nothing but the speed.
    """
    waiting = iter(recordings)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(waiting, _BATCH)):
            yield from pool.map(_hear, batch)


def _hear(recording: Recording) -> Heard:
    """Fingerprint one recording."""
    try:
        return Heard(recording=recording, pieces=tuple(_pieces(recording)))
    except AudioError as error:
        return Heard(recording=recording, error=error)
    except (OSError, soundfile.SoundFileError) as error:
        wrong = f"{recording.name}: not readable as audio ({error}); re-encode or remove it"
        return Heard(recording=recording, error=AudioError(wrong))


def _pieces(recording: Recording) -> Iterator[Piece]:
    """Decode and fingerprint a recording, two minutes at a time."""
    with recording.path.open("rb", buffering=0) as file:
        whole = os.fstat(file.fileno()).st_size
        offset, size = (
            (0, whole) if recording.offset is None else (recording.offset, recording.size)
        )
        with soundfile.SoundFile(Member(file.fileno(), offset, size)) as sound:
            rate_hz = int(sound.samplerate)
            blocks = sound.blocks(
                _PIECE_S * rate_hz,
                overlap=_OVERLAP_S * rate_hz,
                dtype="float32",
                always_2d=True,
            )
            for number, block in enumerate(blocks):
                mono = block.mean(axis=1)
                if not np.isfinite(mono).all():
                    raise AudioError(
                        f"{recording.name}: NaN or infinite samples; expected finite audio; "
                        "re-export it"
                    )
                start_s = float(number * (_PIECE_S - _OVERLAP_S))
                yield Piece(start_s=start_s, print=fingerprint(mono, rate_hz))
