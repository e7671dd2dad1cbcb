"""What else than log-mel a layer may be asked to follow: phones, energy, voicing and pitch.

Every target is a track on the rows of a reference grid, so it is read by the same readout and at the
same instants as the log-mel bands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe_bench.corpus import Clip, Segment
from probe_bench.modulation.pitch import Pitch, pitch
from probe_bench.modulation.tokens import Tokens, flatten, without_position_mean

__all__ = ["TARGETS", "Target", "energy", "make_targets", "phone_tracks", "pitch_track"]

TARGETS = ("phones", "energy", "voicing", "pitch")
_SILENCES = frozenset({"", "sil", "sp", "spn", "nsn", "pau", "epi", "h#", "silence", "<eps>"})
_FLOOR = 1e-8  # -80 dB of full scale
_MIN_VOICED = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """Tracks that a layer may follow.

    Attributes:
        name: One of `TARGETS`.
        frames: Tracks on the reference grid, per-position mean subtracted.
        known: Clips for which there is a track.
        reason: Why it cannot be asked for on this corpus; empty if it can.
    """

    name: str
    frames: Tokens
    known: Bool[Tensor, " clips"]
    reason: str = ""


def make_targets(
    clips: Sequence[Clip],
    waveforms: Sequence[Float[Tensor, " _"]],
    sample_rate_hz: int,
    centres_s: Sequence[Float[Tensor, " _"]],
    window_s: float,
) -> Iterator[Target]:
    """Make every target of some clips; phones only where any clip has an alignment.

    Args:
        clips: The clips.
        waveforms: Their samples.
        sample_rate_hz: Rate of the waveforms.
        centres_s: Times of the reference rows of every clip.
        window_s: Length of the reference's Hann windows.
    """
    if any(clip.phones for clip in clips):
        yield _phones(clips, centres_s, window_s)
    heard = list(zip(waveforms, centres_s, strict=True))
    everywhere = torch.ones(len(clips), dtype=torch.bool)
    loudness = [energy(wave, sample_rate_hz, at, window_s) for wave, at in heard]
    yield Target(name="energy", frames=_table(loudness), known=everywhere)
    said = [pitch(wave, sample_rate_hz, at) for wave, at in heard]
    share = float(torch.cat([each.voiced for each in said]).float().mean())
    reason = (
        f"{share:.0%} of the sound is voiced; at least {_MIN_VOICED:.0%} needed"
        if share < _MIN_VOICED
        else ""
    )
    voicing = _table([each.voiced[:, None].float() for each in said])
    yield Target(name="voicing", frames=voicing, known=everywhere, reason=reason)
    yield Target(
        name="pitch",
        frames=_table([pitch_track(each) for each in said]),
        known=torch.tensor([bool(each.voiced.any()) for each in said]),
        reason=reason,
    )


def _phones(
    clips: Sequence[Clip], centres_s: Sequence[Float[Tensor, " _"]], window_s: float
) -> Target:
    found = {segment.label for clip in clips for segment in clip.phones or ()}
    labels = sorted(label for label in found if label.lower() not in _SILENCES)
    tracks = [
        phone_tracks(clip.phones or (), labels, at, window_s)
        for clip, at in zip(clips, centres_s, strict=True)
    ]
    known = torch.tensor([clip.phones is not None for clip in clips])
    return Target(name="phones", frames=_table(tracks), known=known)


def _table(tracks: Sequence[Float[Tensor, "_ dim"]]) -> Tokens:
    return without_position_mean(flatten(tracks))


def phone_tracks(
    segments: Sequence[Segment],
    labels: Sequence[str],
    centres_s: Float[Tensor, " rows"],
    window_s: float,
) -> Float[Tensor, "rows classes"]:
    """Return the share of a Hann window around each time that every phone class fills.

    Silence is no class: there, all tracks are 0. The window is that of the log-mel reference, so the
    edges of phones are no sharper than those of any sound in it.

    Args:
        segments: Aligned phones; those whose label is not among `labels` fill nothing.
        labels: Phone classes.
        centres_s: Times.
        window_s: Length of the window.
    """
    number = {label: i for i, label in enumerate(labels)}
    kept = [segment for segment in segments if segment.label in number]
    tracks = torch.zeros(len(centres_s), len(labels))
    if not kept:
        return tracks
    edges = torch.tensor([[s.start_s, s.end_s] for s in kept], dtype=torch.float64)
    u = ((edges - centres_s.double()[:, None, None]) / window_s).clamp(-0.5, 0.5)
    # Integral of the Hann window of unit area, 1 + cos(2 pi u), from -1/2.
    passed = u + 0.5 + torch.sin(2 * torch.pi * u) / (2 * torch.pi)
    filled = (passed[..., 1] - passed[..., 0]).float()
    return tracks.index_add_(1, torch.tensor([number[s.label] for s in kept]), filled)


def energy(
    waveform: Float[Tensor, " samples"],
    sample_rate_hz: int,
    centres_s: Float[Tensor, " rows"],
    window_s: float,
) -> Float[Tensor, "rows 1"]:
    """Return the level under Hann windows around each time, in dB of full scale."""
    n = round(window_s * sample_rate_hz)
    start = (centres_s * sample_rate_hz - n / 2).round().long()
    frames = waveform[start.clamp(0, len(waveform) - n)[:, None] + torch.arange(n)]
    weights = torch.hann_window(n)
    power = frames.square() @ (weights / weights.sum())
    return 10 * torch.log10(power + _FLOOR)[:, None]


def pitch_track(said: Pitch) -> Float[Tensor, "rows 1"]:
    """Return pitch in octaves around the clip's mean, a straight line where there is no voice.

    Without voice at all, the track is 0.
    """
    voiced = said.voiced.nonzero()[:, 0].numpy()
    if not len(voiced):
        return torch.zeros(len(said.hz), 1)
    octaves = said.hz.double().log2().numpy()[voiced]
    track = np.interp(np.arange(len(said.hz)), voiced, octaves - octaves.mean())
    return torch.from_numpy(track).float()[:, None]
