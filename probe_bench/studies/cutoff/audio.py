"""Training audio of the cutoff studies: speech, speech at other tempi, scenes, and noise of known modulation."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy import signal
from torchaudio.functional import phase_vocoder

from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.studies.cutoff.knobs import Audio
from probe_bench.studies.cutoff.scales import RATE_HZ

__all__ = ["at_tempo", "modulated_noise", "narrow", "slow", "training_audio"]

_N_FFT, _HOP = 512, 128
_NARROW_HZ, _SLOW_HZ = 12.0, 3.0
_BANDS = 16
_CLIP_S, _N_CLIPS = 10.0, 240
_DEPTH = 1.2  # standard deviation of the log envelope, in nepers


def training_audio(kind: Audio, speech: Callable[[], Tape], scenes: Callable[[], Tape]) -> Tape:
    """Make one kind of training audio.

    Args:
        kind: Which.
        speech: Loads what every other study trains on.
        scenes: Loads sounds that are no speech.
    """
    match kind:
        case "speech":
            return speech()
        case "half-tempo":
            return at_tempo(speech(), 0.5)
        case "double-tempo":
            return at_tempo(speech(), 2.0)
        case "scenes":
            return scenes()
        case "narrow-12hz":
            return modulated_noise(narrow)
        case "noise-3hz":
            return modulated_noise(slow)


def at_tempo(tape: Tape, tempo: float) -> Tape:
    """Change the tempo of every clip and leave its pitch: a phase vocoder at 8 ms."""
    window = torch.hann_window(_N_FFT)
    advance = torch.linspace(0, torch.pi * _HOP, _N_FFT // 2 + 1)[:, None]
    pieces, place = [], 0
    for length in tape.lengths.tolist():
        clip = torch.from_numpy(tape.samples[place : place + length].astype(np.float32))
        place += length
        spectrum = torch.stft(clip, _N_FFT, _HOP, window=window, return_complex=True)
        moved = phase_vocoder(spectrum, tempo, advance)
        wanted = round(length / tempo)
        sound = torch.istft(moved, _N_FFT, _HOP, window=window, length=wanted)
        pieces.append(sound.clamp(-32767, 32767).round().to(torch.int16).numpy())
    lengths = np.array([len(piece) for piece in pieces])
    return replace(tape, samples=np.concatenate(pieces), lengths=lengths)


def modulated_noise(
    envelopes: Callable[[int, np.random.Generator], np.ndarray],
    *,
    n_clips: int = _N_CLIPS,
    seed: int = 0,
) -> Tape:
    """Noise in bands of equal width on a log axis, each under its own envelope.

    Args:
        envelopes: Draws log envelopes of unit variance, `bands samples`, from their length.
        n_clips: Clips of 10 s.
        seed: Of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    length = round(_CLIP_S * RATE_HZ)
    clips = [_noise_clip(envelopes(length, rng), rng) for _ in range(n_clips)]
    return Tape(samples=np.concatenate(clips), lengths=np.full(n_clips, length))


def _noise_clip(log_envelope: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bands, length = log_envelope.shape
    spectrum = np.fft.rfft(rng.standard_normal(length))
    edges_hz = np.geomspace(100, 7600, bands + 1)
    hz = np.fft.rfftfreq(length, 1 / RATE_HZ)
    inside = (hz >= edges_hz[:-1, None]) & (hz < edges_hz[1:, None])
    noise = np.fft.irfft(spectrum * inside, length)
    noise /= noise.std(1, keepdims=True)
    sound = (noise * np.exp(_DEPTH * log_envelope)).sum(0)
    scaled: np.ndarray = np.round(sound * (0.3 * 32767 / np.abs(sound).max())).astype(np.int16)
    return scaled


def narrow(length: int, rng: np.random.Generator) -> np.ndarray:
    """A sine of 12 Hz in every band, of a phase of its own for each clip and band, which it keeps.

    It can be predicted across any gap, though the law calls it fast.
    """
    time_s = np.arange(length) / RATE_HZ
    phase = rng.uniform(0, 2 * np.pi, (_BANDS, 1))
    envelope: np.ndarray = np.sqrt(2) * np.sin(2 * np.pi * _NARROW_HZ * time_s + phase)
    return envelope


def slow(length: int, rng: np.random.Generator) -> np.ndarray:
    """Incoherent envelopes: noise below 3 Hz, slow, and hardly predictable across a second."""
    coarse_hz = 100
    drawn = rng.standard_normal((_BANDS, length * coarse_hz // RATE_HZ + 2))
    sos = signal.butter(4, _SLOW_HZ, fs=coarse_hz, output="sos")
    smooth = signal.sosfiltfilt(sos, drawn, axis=1)
    place = np.arange(length) * coarse_hz / RATE_HZ
    rows = [np.interp(place, np.arange(smooth.shape[1]), row) for row in smooth]
    envelope = np.stack(rows)
    unit: np.ndarray = envelope / envelope.std(1, keepdims=True)
    return unit
