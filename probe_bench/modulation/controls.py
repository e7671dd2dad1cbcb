"""Controls of the modulation analysis: encoders whose cutoff is known, and shuffled clips."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoder import Encoder
from probe_bench.extract import encode_clips
from probe_bench.features import Features
from probe_bench.lineup import Contestant, control
from probe_bench.modulation.reference import Reference

__all__ = ["CONTROLS", "HeardFeatures", "LastLayer", "can_hear", "known_answers", "shuffled"]

CONTROLS = ("lowpass:2", "lowpass:4", "lowpass:8", "lowpass:16", "meanpool:80", "meanpool:160")


def known_answers(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Load the encoders of known cutoff that do not stand in the run already."""
    present = {contestant.name for contestant in contestants}
    return [control(name) for name in CONTROLS if name not in present]


def can_hear(contestant: Contestant, reference: Reference) -> bool:
    """Say whether every clip is long enough for a control."""
    assert contestant.encoder
    waveforms = reference.waveforms(contestant.encoder.sample_rate_hz)
    return min(map(len, waveforms)) >= contestant.encoder.min_samples


def shuffled(contestant: Contestant) -> Contestant:
    """Name the null of an encoder: its clips against the sound of others."""
    return replace(contestant, name=f"shuffled:{contestant.name}", role="control")


class LastLayer:
    """The last layer of some features as their only one."""

    def __init__(self, features: Features) -> None:
        self.encoder, self.layers = features.encoder, features.layers[-1:]
        self._features, self._last = features, len(features.layers) - 1

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames."""
        return self._features.pooled(self._last + layer)

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip."""
        return self._features.n_frames(self._last + layer)

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, one `frames dim` tensor a clip."""
        return self._features.frames(self._last + layer, clips)


class HeardFeatures:
    """Features of a reference's clips, encoded at once and kept in memory: for small encoders."""

    def __init__(self, encoder: Encoder, reference: Reference, device: str) -> None:
        self.encoder, self.layers = encoder.name, encoder.layers
        waveforms = reference.waveforms(encoder.sample_rate_hz)
        encoded = encode_clips(encoder.to(device), waveforms, device)
        self._clips = dict(zip(reference.clips, encoded, strict=True))
        self._n_clips = len(reference.corpus)

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames; NaN for clips that were not heard."""
        every = torch.full((self._n_clips, 2 * self.layers[layer].dim), torch.nan)
        for i, layers in self._clips.items():
            std, mean = torch.std_mean(layers[layer], dim=0, correction=0)
            every[i] = torch.cat([mean, std])
        return every

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip, 0 for clips that were not heard."""
        heard = {i: len(layers[layer]) for i, layers in self._clips.items()}
        return torch.tensor([heard.get(i, 0) for i in range(self._n_clips)])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips that were heard, one `frames dim` tensor a clip."""
        return [self._clips[i][layer] for i in clips]
