"""Waveform augmentation: level, background and rooms, drawn for every clip by itself."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.degradations.reverb import decaying_noise
from probe_bench.encoders.pretraining.ranges import (
    NotNegative,
    Positive,
    Range,
    Ranged,
    Rising,
    Share,
)

__all__ = ["Augment", "add_background", "binaural_room", "convolve"]

_EAR_DELAY_S = 0.0007  # largest time difference between the ears
_EAR_LEVEL_DB = 6.0  # largest level difference


@dataclass(frozen=True, kw_only=True)
class Augment(Ranged):
    """What is done to a clip before an encoder sees it; everything is off by default.

    Attributes:
        gain_db: Largest change of level, up or down; the front ends that bring every crop to one level
            undo it.
        snr_db: Least and largest ratio of the clip to a background, another piece of the corpus.
        rt60_s: Least and largest reverberation time of the room around it.
        microphones: 1, or 2 for the ears of a head in that room (WavJEPA-Nat).
        clean_share: Share of the clips that stay dry and without background.
    """

    gain_db: NotNegative = 0.0
    snr_db: Annotated[tuple[float, float], Rising()] | None = None
    rt60_s: Annotated[tuple[Positive, Positive], Rising()] | None = None
    microphones: Annotated[int, Range(1, 2)] = 1
    clean_share: Share = 0.0

    def apply(
        self,
        waveform: Float[Tensor, "batch samples"],
        background: Float[Tensor, "batch samples"] | None,
        sample_rate_hz: int,
        rngs: list[np.random.Generator],
    ) -> Float[Tensor, "batch *microphones samples"]:
        """Augment every clip by its own generator, so a clip does not depend on its batch."""
        scenes = [
            self._scene(clip, None if background is None else background[n], sample_rate_hz, rng)
            for n, (clip, rng) in enumerate(zip(waveform, rngs, strict=True))
        ]
        return torch.stack(scenes)

    def _scene(
        self,
        clip: Float[Tensor, " samples"],
        background: Float[Tensor, " samples"] | None,
        sample_rate_hz: int,
        rng: np.random.Generator,
    ) -> Float[Tensor, "*microphones samples"]:
        clean = rng.random() < self.clean_share
        scene = clip.expand(self.microphones, -1)
        if self.rt60_s is not None and not clean:
            room = binaural_room(rng.uniform(*self.rt60_s), self.microphones, sample_rate_hz, rng)
            scene = convolve(scene, room)
        if self.snr_db is not None and background is not None and not clean:
            scene = add_background(scene, background, rng.uniform(*self.snr_db))
        scene = scene * 10 ** (rng.uniform(-self.gain_db, self.gain_db) / 20)
        return scene[0] if self.microphones == 1 else scene


def add_background(
    scene: Float[Tensor, "channels samples"], background: Float[Tensor, " samples"], snr_db: float
) -> Float[Tensor, "channels samples"]:
    """Add a background to all channels at a signal-to-noise ratio; silence stays out of it."""
    noise_power = background.square().mean()
    if noise_power == 0:
        return scene
    gain = (scene.square().mean() / noise_power * 10 ** (-snr_db / 10)).sqrt()
    return scene + gain * background


def binaural_room(
    rt60_s: float, microphones: int, sample_rate_hz: int, rng: np.random.Generator
) -> Float[Tensor, "microphones taps"]:
    """Draw a room: a direct path and a tail of noise that falls by 60 dB in `rt60_s`.

    The direct path reaches the ears at different times and levels, the tails are independent. A
    statistical room (Polack's model) in place of measured impulse responses.
    """
    tail = decaying_noise(rt60_s, microphones, sample_rate_hz, rng)
    taps = tail.shape[1]
    # Direct to reverberant energy between -6 and 12 dB.
    tail *= 10 ** (-rng.uniform(-6, 12) / 20) / np.sqrt(np.square(tail).sum(1, keepdims=True))
    side = rng.uniform(-1, 1)
    for ear in range(microphones):
        sign = (1 - 2 * ear) * (microphones > 1)
        delay = round(max(0.0, sign * side) * _EAR_DELAY_S * sample_rate_hz)
        tail[ear, min(delay, taps - 1)] += 10 ** (-sign * side * _EAR_LEVEL_DB / 40)
    return torch.from_numpy(tail.astype(np.float32))


def convolve(
    waveform: Float[Tensor, "channels samples"], kernel: Float[Tensor, "channels taps"]
) -> Float[Tensor, "channels samples"]:
    """Convolve every channel with its own kernel, causally, keeping the length."""
    samples = waveform.shape[1]
    size = samples + kernel.shape[1] - 1
    spectrum = torch.fft.rfft(waveform, size) * torch.fft.rfft(kernel, size)
    convolved: Tensor = torch.fft.irfft(spectrum, size)
    return convolved[:, :samples]
