"""The modulation reference: log-mel frames on a grid that every token of a layer falls on.

One `Reference` serves all layers and encoders measured on a corpus, so that all of them are asked to
follow the same clips and the same bands, whatever the encoder's own front end.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.audio import load
from probe_bench.corpus import Corpus
from probe_bench.encoder import Layer
from probe_bench.logmel import log_mel
from probe_bench.modulation.targets import Target, make_targets
from probe_bench.modulation.tokens import Tokens, flatten, without_position_mean

__all__ = ["Bands", "Grid", "Reference", "band_grid"]

_BANDS = 64
_WINDOW_S = Fraction(25, 1000)
_MIN_RATE_HZ = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Where reference frames lie in time and which of them a token falls on.

    Row k is centred at `first_s + k / rate_hz`; token n of the layer at row
    `first_token + n * per_token`, exactly.

    Attributes:
        rate_hz: Rows per second, at least 100.
        first_s: Centre of row 0, at least half a window after the clip's start.
        per_token: Rows per token (P).
        first_token: Row of token 0; negative where that token is centred too early for a window.
    """

    rate_hz: Fraction
    first_s: Fraction
    per_token: int
    first_token: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Bands:
    """Reference frames of all clips, and how a layer's tokens fall on them."""

    grid: Grid
    frames: Tokens


def band_grid(layer: Layer) -> Grid:
    """Return the coarsest grid of at least 100 Hz that holds all token centres of a layer."""
    per_token = max(1, ceil(_MIN_RATE_HZ / layer.frame_rate_hz))
    rate_hz = layer.frame_rate_hz * per_token
    first_token = floor((layer.first_frame_s - _WINDOW_S / 2) * rate_hz)
    return Grid(
        rate_hz=rate_hz,
        first_s=layer.first_frame_s - first_token / rate_hz,
        per_token=per_token,
        first_token=first_token,
    )


class Reference:
    """Log-mel bands (64, 25 ms Hann) of some clips of a corpus, computed once per grid.

    Clips are taken in turn from every group until `max_minutes` are full: the variance of the
    estimators is negligible from five minutes on, and what is left out costs time and memory.

    Args:
        corpus: The clips.
        group: Label whose values are the independent units (folds and bootstrap); a clip without it
            is a unit of its own.
        max_minutes: Audio used at most.
        sample_rate_hz: Rate at which the bands are computed.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        group: str = "speaker",
        max_minutes: float = 10.0,
        sample_rate_hz: int = 16_000,
    ) -> None:
        self.corpus = corpus
        self.sample_rate_hz = sample_rate_hz
        self.clips, names = _choose(corpus, group, max_minutes * 60)
        known = {name: i for i, name in enumerate(dict.fromkeys(names))}
        self.group = torch.tensor([known[name] for name in names])
        self.n_groups = len(known)
        self._bands: dict[tuple[Fraction, Fraction], Tokens] = {}
        self._targets: dict[tuple[Fraction, Fraction], tuple[Target, ...]] = {}
        self._lock = threading.RLock()

    @property
    def duration_s(self) -> float:
        """Audio used in seconds."""
        return sum(self.corpus.clips[i].duration_s for i in self.clips)

    def bands(self, layer: Layer) -> Bands:
        """Return the reference frames for a layer, per-position mean subtracted."""
        grid = band_grid(layer)
        key = (grid.rate_hz, grid.first_s)
        with self._lock:  # encoders measured side by side often want the same
            if key not in self._bands:
                self._bands[key] = self._bands_at(grid)
        return Bands(grid=grid, frames=self._bands[key])

    def targets(self, layer: Layer) -> tuple[Target, ...]:
        """Return what else a layer may be asked to follow, on the same rows as the bands."""
        grid = band_grid(layer)
        key = (grid.rate_hz, grid.first_s)
        with self._lock:
            if key not in self._targets:
                self._targets[key] = self._targets_at(grid)
        return self._targets[key]

    def waveforms(self, sample_rate_hz: int) -> list[Float[Tensor, " _"]]:
        """Return the samples of every chosen clip; at the reference's own rate they are read once."""
        if sample_rate_hz != self.sample_rate_hz:
            return [load(self.corpus.clips[i].path, sample_rate_hz) for i in self.clips]
        with self._lock:
            return self._waveforms

    def _bands_at(self, grid: Grid) -> Tokens:
        rate_hz = self.sample_rate_hz
        clips = [_log_mel_at(x, rate_hz, _centres_s(x, rate_hz, grid)) for x in self._waveforms]
        return without_position_mean(flatten(clips))

    def _targets_at(self, grid: Grid) -> tuple[Target, ...]:
        rate_hz, waveforms = self.sample_rate_hz, self._waveforms
        clips = [self.corpus.clips[i] for i in self.clips]
        centres_s = [_centres_s(x, rate_hz, grid) for x in waveforms]
        return tuple(make_targets(clips, waveforms, rate_hz, centres_s, float(_WINDOW_S)))

    @cached_property
    def _waveforms(self) -> list[Float[Tensor, " _"]]:
        """Samples of every chosen clip, read once for all grids."""
        return [load(self.corpus.clips[i].path, self.sample_rate_hz) for i in self.clips]


def _choose(corpus: Corpus, group: str, most_s: float) -> tuple[tuple[int, ...], list[str]]:
    """Take clips in turn from every group until `most_s` seconds are full."""
    by_group: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(corpus):
        by_group[clip.labels.get(group, f"clip {clip.id}")].append(i)
    turns = sorted((turn, g, i) for g, clips in by_group.items() for turn, i in enumerate(clips))
    chosen: list[tuple[int, str]] = []
    total_s = 0.0
    for _, g, i in turns:
        total_s += corpus.clips[i].duration_s
        if chosen and total_s > most_s:
            break
        chosen.append((i, g))
    chosen.sort()
    return tuple(i for i, _ in chosen), [g for _, g in chosen]


def _centres_s(
    waveform: Float[Tensor, " samples"], sample_rate_hz: int, grid: Grid
) -> Float[Tensor, " rows"]:
    """Times of the rows whose windows lie inside a clip."""
    last_s = Fraction(len(waveform), sample_rate_hz) - _WINDOW_S / 2
    n_rows = max(0, floor((last_s - grid.first_s) * grid.rate_hz) + 1)
    rows = torch.arange(n_rows, dtype=torch.float64)
    return float(grid.first_s) + rows / float(grid.rate_hz)


def _log_mel_at(
    waveform: Float[Tensor, " samples"], sample_rate_hz: int, centres_s: Float[Tensor, " rows"]
) -> Float[Tensor, "rows bands"]:
    """Log-mel under windows centred at some times, to the nearest sample."""
    window = round(_WINDOW_S * sample_rate_hz)
    centres = centres_s * sample_rate_hz
    start = (centres - window / 2).round().long().clamp(0, max(0, len(waveform) - window))
    pieces = waveform[start[:, None] + torch.arange(window)]
    return log_mel(pieces, sample_rate_hz, bands=_BANDS, hop_samples=window, window_samples=window)[
        :, 0
    ]
