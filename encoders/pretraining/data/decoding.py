"""Decode only the stretch of a recording that a crop needs, as if the whole had been resampled."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import soundfile
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from probe_bench.audio import RATES_HZ, resample, resampled_length
from probe_bench.encoders.pretraining.data.cuts import Piece, Timeline
from probe_bench.errors import AudioError

__all__ = ["SUFFIXES", "assemble", "decode_span", "read_header"]

SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".caf",
        ".w64",
        ".rf64",
        ".sph",
    ]
)
"""Names of audio files, lower case; only formats whose header says everything."""

_KERNEL_HALF_WIDTH = 68  # zero crossings at the lower rate: `resample` has 64 / 0.9476
_MP3_PREROLL = 20 * 1152  # frames before a seek's target fill the decoder's bit reservoir
_VORBIS_LAST_PAGE_S = 10  # seeking into the last page misses: its end is cut, its position not
_LONGEST = 2**40  # frames; above, the header of a stream says "unknown"


def read_header(file: str | io.RawIOBase, name: str) -> tuple[int, int]:
    """Return the frames and the sample rate in Hz that a recording's header states.

    Raises:
        AudioError: If it is no audio, empty, of unknown length, or of a rate that cannot be.
    """
    try:
        with soundfile.SoundFile(file) as sound:
            frames, rate_hz = sound.frames, int(sound.samplerate)
            if sound.format == "MP3":
                frames = _count_mp3(sound)
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(
            f"{name}: not readable as audio ({_reason(error)}); re-encode or remove it"
        ) from error
    if not 0 < frames < _LONGEST:
        found = "0 samples" if frames <= 0 else "a header without the number of samples"
        raise AudioError(f"{name}: {found}; expected audio of known length; re-encode or remove it")
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise AudioError(
            f"{name}: sample rate {rate_hz} Hz; expected {RATES_HZ[0]} to {RATES_HZ[1]} Hz; "
            "correct the header or convert the file"
        )
    return int(frames), rate_hz


def _count_mp3(sound: soundfile.SoundFile) -> int:
    """Return the real length: without an encoder's tag, what an MP3 seems to state is a guess.

    If the end can be read where it should be, it is right; else everything is decoded once.
    """
    tail = min(sound.frames, _MP3_PREROLL)
    sound.seek(sound.frames - tail)
    if len(sound.read(tail)) == tail:
        return int(sound.frames)
    sound.seek(0)
    return sum(iter(lambda: len(sound.read(_MP3_PREROLL)), 0))


def decode_span(
    file: str | io.RawIOBase, name: Callable[[], str], *, first: int, n: int, sample_rate_hz: int
) -> Float[Tensor, " n"]:
    """Return samples `first` to `first + n` of the recording, mixed down and resampled.

    Args:
        file: Path, or an open binary file that can seek.
        name: Names the recording in messages; called only then.
        first: First sample, counted at `sample_rate_hz`.
        n: Samples at `sample_rate_hz`.
        sample_rate_hz: Wanted rate.

    Returns:
        The same samples as decoding and resampling everything would give, up to rounding.

    Raises:
        AudioError: If the recording is unreadable, shorter than it was, or not finite there.
    """
    try:
        with soundfile.SoundFile(file) as sound:
            samples, rate_hz, start = _read(sound, first, n, sample_rate_hz)
            total = resampled_length(sound.frames, sound.samplerate, sample_rate_hz)
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(
            f"{name()}: not readable as audio ({_reason(error)}); re-encode or remove it"
        ) from error
    wave = resample(torch.from_numpy(samples), rate_hz, sample_rate_hz)[start : start + n]
    if len(wave) < n or first + n > total:
        raise AudioError(
            f"{name()}: ends before sample {first + n} at {sample_rate_hz} Hz; expected the length "
            "that its header gave at the start; it is cut off or was changed: copy or re-encode it"
        )
    if not torch.isfinite(wave).all():
        raise AudioError(
            f"{name()}: NaN or infinite samples between {first / sample_rate_hz:.2f} and "
            f"{(first + n) / sample_rate_hz:.2f} s; expected finite audio; re-export it"
        )
    return wave


def _read(
    sound: soundfile.SoundFile, first: int, n: int, to_hz: int
) -> tuple[np.ndarray, int, int]:
    """Read enough around a span; return it as mono, its rate, and where the span starts in it.

    With the rates reduced to o : m, every o samples of the recording make m resampled ones, so a
    stretch that starts at a multiple of o keeps the phase of the whole; margins of the kernel's
    half width keep the zeros outside the stretch out of the span.
    """
    rate_hz = int(sound.samplerate)
    common = math.gcd(rate_hz, to_hz)
    o, m = rate_hz // common, to_hz // common
    half_width = 0 if o == m else _KERNEL_HALF_WIDTH * max(1.0, o / m)
    margin = math.ceil(half_width / o)
    block = max(first // m - margin, 0)
    stop = min((-(-(first + n) // m) + margin) * o, sound.frames)
    seek = _seek_target(sound, block * o)
    sound.seek(seek)
    samples = sound.read(stop - seek, dtype="float32", always_2d=True)
    return samples[block * o - seek :].mean(axis=1), rate_hz, first - block * m


def _seek_target(sound: soundfile.SoundFile, start: int) -> int:
    """Return where to seek so that what is decoded from `start` on is as in the whole."""
    if sound.format == "MP3":
        return max(start - _MP3_PREROLL, 0)
    if sound.subtype == "VORBIS":
        last_page = int(sound.frames - _VORBIS_LAST_PAGE_S * sound.samplerate)
        return max(min(start, last_page), 0)
    return start


def assemble(
    timeline: Timeline,
    cuts: Int64[np.ndarray, " batch"],
    crop_samples: int,
    decode: Callable[[int, int, int], Tensor],
) -> Float[Tensor, "batch samples"]:
    """Fill crops from their clips; what several crops of a clip share is decoded once.

    Args:
        timeline: The clips.
        cuts: Positions on it.
        crop_samples: Length of a crop.
        decode: `decode(clip, first, n)` returns a stretch of one clip.
    """
    crops = torch.empty(len(cuts), crop_samples)
    ordered = sorted(timeline.pieces(cuts, crop_samples), key=lambda p: (p.clip, p.first, p.row))
    for clip, of_clip in groupby(ordered, key=lambda piece: piece.clip):
        for span in _spans(list(of_clip), crop_samples):
            first = span[0].first
            wave = decode(clip, first, max(p.first + p.n for p in span) - first)
            for p in span:
                crops[p.row, p.offset : p.offset + p.n] = wave[p.first - first :][: p.n]
    return crops


def _spans(pieces: Sequence[Piece], gap: int) -> Iterator[list[Piece]]:
    """Group a clip's sorted pieces whose distance is less than `gap`: cheaper than seeking again."""
    span, end = [pieces[0]], pieces[0].first + pieces[0].n
    for piece in pieces[1:]:
        if piece.first >= end + gap:
            yield span
            span = []
        span.append(piece)
        end = max(end, piece.first + piece.n) if len(span) > 1 else piece.first + piece.n
    yield span


def _reason(error: Exception) -> str:
    """Return what went wrong without the path, which stands first in the message."""
    return getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
