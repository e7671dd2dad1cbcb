"""Known-answer speech for the modulation tests: 10 synthetic speakers, 3 clips of 10 s each."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.logmel import log_mel
from probe_bench.modulation.fitting import Fitted, fit_readout
from probe_bench.modulation.readout import band_readout
from probe_bench.modulation.reference import Bands, band_grid
from probe_bench.modulation.results import Support
from probe_bench.modulation.support import support
from probe_bench.modulation.tokens import flatten, without_position_mean
from tests.speaking import speak

Fit = Callable[..., Fitted]
RATE_HZ = 100
HALF_WINDOW_S = Fraction(1, 80)


@pytest.fixture(scope="session")
def waveforms() -> tuple[list[Tensor], Tensor]:
    """Thirty stretches of 10 s at 16 kHz and the speaker of each."""
    clips = [clip for s in range(10) for clip in _speaker(s)]
    return clips, torch.arange(10).repeat_interleave(3)


def _speaker(s: int) -> list[Tensor]:
    """Three clips of 10 s of one speaker."""
    return list(torch.from_numpy(speak([7, s], 30.0)).split(160_000))


@pytest.fixture(scope="session")
def log_mels(waveforms: tuple[list[Tensor], Tensor]) -> list[Tensor]:
    """Log-mel frames at 100 Hz, one tensor a clip."""
    return [log_mel(clip, 16_000, hop_samples=160, window_samples=400) for clip in waveforms[0]]


@pytest.fixture(scope="session")
def fitted(log_mels: list[Tensor], waveforms: tuple[list[Tensor], Tensor]) -> Fit:
    """Fit a readout to features that some pseudo-encoder made of the 100 Hz log-mels."""

    def fit(
        features: list[Tensor],
        *,
        per_token: int = 1,
        first_frame: Fraction = Fraction(0),
        speech: list[Tensor] | None = None,
        group: Tensor | None = None,
    ) -> Fitted:
        """`first_frame` is the centre of token 0 in 100 Hz frames."""
        layer = Layer(
            name="L1",
            dim=features[0].shape[1],
            depth=1.0,
            frame_rate_hz=Fraction(RATE_HZ, per_token),
            first_frame_s=HALF_WINDOW_S + first_frame / RATE_HZ,
        )
        bands = Bands(
            grid=band_grid(layer), frames=without_position_mean(flatten(speech or log_mels))
        )
        group = waveforms[1] if group is None else group
        tokens = without_position_mean(flatten(features))
        return fit_readout(tokens, bands, group, n_groups=int(group.max()) + 1)

    return fit


@pytest.fixture(scope="session")
def measured(fitted: Fit) -> Callable[..., Support]:
    """Measure the support of such features."""

    def measure(features: list[Tensor], *, n_draws: int = 50, **how: Any) -> Support:
        return support(band_readout(fitted(features, **how)), seed=0, n_draws=n_draws)

    return measure


@pytest.fixture(scope="session")
def encoded() -> Callable[..., list[Tensor]]:
    """Project clips to 128 dimensions and add 30 dB feature noise."""

    def encode(
        clips: list[Tensor], *, seed: int = 0, snr_db: float = 30.0, stride: int = 1
    ) -> list[Tensor]:
        rng = torch.Generator().manual_seed(seed)
        project = torch.randn(clips[0].shape[1], 128, generator=rng) / 8
        features = [clip @ project for clip in clips]
        scale = torch.cat(features).std(0).mean() * 10 ** (-snr_db / 20)
        return [(f + scale * torch.randn(f.shape, generator=rng))[::stride] for f in features]

    return encode
