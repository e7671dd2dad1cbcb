"""Windows of a clip join into one regular series of frames."""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.encoders.logmel.model import LogMel
from probe_bench.errors import AudioError
from probe_bench.extract import encode_clips
from probe_bench.windows import cut, grid_samples, longest_samples


@dataclass
class Ruler:
    """Encoder whose frames are their own times: frame k of a layer is (start + k hop) in samples.

    Layers are conv stacks with a receptive field of `field` samples and a hop of `hop`.
    """

    geometry: tuple[tuple[Fraction, int], ...]
    window_samples: int | None
    name: str = "ruler"
    sample_rate_hz: int = 16000
    fingerprint: str = "0"
    n_parameters: int = 0

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(
            Layer(
                name=f"L{i}",
                dim=1,
                depth=0.0,
                frame_rate_hz=self.sample_rate_hz / hop,
                first_frame_s=Fraction(field, 2 * self.sample_rate_hz),
            )
            for i, (hop, field) in enumerate(self.geometry)
        )

    @property
    def min_samples(self) -> int:
        return max(field for _, field in self.geometry)

    def to(self, device: str) -> "Ruler":
        return self

    def n_frames(self, layer: int, n_samples: int) -> int:
        hop, field = self.geometry[layer]
        return int((n_samples - field) / hop) + 1

    def encode(self, waveform: Tensor) -> list[Tensor]:
        # The waveform is the sample's own index, so a frame can tell where in the clip it stands.
        return [
            waveform[:, :1, None]
            + torch.tensor([float(k * hop) for k in range(self.n_frames(i, waveform.shape[1]))])[
                :, None
            ]
            for i, (hop, _) in enumerate(self.geometry)
        ]


geometries = st.lists(
    st.tuples(
        st.sampled_from(
            [Fraction(160), Fraction(320), Fraction(640, 3), Fraction(2560), Fraction(80)]
        ),
        st.sampled_from([1, 25, 400, 2800]),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


@settings(max_examples=150, deadline=None)
@given(
    geometry=geometries,
    window=st.one_of(st.none(), st.integers(24_000, 60_000)),
    n_samples=st.integers(2800, 800_000),
)
def test_every_frame_of_the_clip_comes_exactly_once(
    geometry: tuple[tuple[Fraction, int], ...], window: int | None, n_samples: int
) -> None:
    ruler = Ruler(geometry, window)
    windows = cut(n_samples, ruler)
    for index, (hop, _) in enumerate(geometry):
        joined = [
            w.start / hop + k
            for w in windows
            for k in range(ruler.n_frames(index, w.length))[w.keep[index]]
        ]
        assert joined == list(range(len(joined)))
        whole = ruler.n_frames(index, n_samples)
        assert 0 <= whole - len(joined) <= math.ceil(grid_samples(ruler) / hop)
    assert all(w.start + w.length <= n_samples for w in windows)
    assert n_samples - windows[-1].start - windows[-1].length < grid_samples(ruler)
    assert {w.length for w in windows} == {min(n_samples, longest_samples(ruler))}


@settings(max_examples=100, deadline=None)
@given(window=st.integers(16_000, 60_000), n_samples=st.integers(400, 800_000))
def test_frames_are_kept_where_they_lie_farther_from_the_edge(window: int, n_samples: int) -> None:
    ruler = Ruler(((Fraction(320), 400),), window)
    windows = cut(n_samples, ruler)
    steps = [b.start - a.start for a, b in pairwise(windows)]
    assert all(0 < step <= 0.75 * window for step in steps)
    assert not steps or max(steps) - min(steps) <= 320
    for left, right in pairwise(windows):
        last_kept = left.start + 320 * (left.keep[0].stop - 1) + 200
        first_kept = right.start + 320 * right.keep[0].start + 200
        assert left.start + window - last_kept >= last_kept - right.start
        assert first_kept - right.start >= left.start + window - first_kept


def test_joined_features_stand_at_their_times_in_the_clip() -> None:
    ruler = Ruler(((Fraction(160), 400), (Fraction(640, 3), 25)), 32_000)
    clip = torch.arange(100_000, dtype=torch.float32)
    for (hop, _), frames in zip(ruler.geometry, encode_clips(ruler, [clip], "cpu")[0], strict=True):
        expected = torch.tensor([float(k * hop) for k in range(len(frames))])
        torch.testing.assert_close(frames[:, 0], expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("rate_hz", [Fraction(100), Fraction(50), Fraction(75), Fraction(25, 4)])
def test_windowed_log_mel_is_the_whole_clips_log_mel(rate_hz: Fraction) -> None:
    encoder = LogMel(rate_hz)
    clip = torch.randn(9 * 16000 + 123, generator=torch.Generator().manual_seed(0))
    whole = encoder.encode(clip[None])[0][0]
    encoder.window_samples = 32_000
    windowed = encode_clips(encoder, [clip], "cpu")[0][0]
    assert len(whole) - len(windowed) <= math.ceil(grid_samples(encoder) * rate_hz / 16000)
    torch.testing.assert_close(windowed, whole[: len(windowed)], atol=1e-5, rtol=1e-5)


def test_a_clip_shorter_than_the_window_is_one_window() -> None:
    (window,) = cut(5000, Ruler(((Fraction(320), 400),), 32_000))
    assert (window.start, window.length, window.keep) == (0, 5000, (slice(0, None),))


def test_a_clip_without_a_single_frame_is_refused() -> None:
    with pytest.raises(AudioError, match="399 samples at 16000 Hz; ruler needs at least 400"):
        cut(399, Ruler(((Fraction(320), 400),), None))
