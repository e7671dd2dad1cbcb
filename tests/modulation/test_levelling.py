"""What a readout shrinks alike at all rates does not move its cutoff."""

import pytest
import torch

from probe_bench.modulation.cutoff import crossings, power_gain, smoothing
from probe_bench.modulation.levelling import levels

FREQS_HZ = torch.arange(257, dtype=torch.float64) * 100 / 512
SLOW_HZ = 0.4


def spectra(cutoff_hz: float, shrunk: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Components behind one Butterworth filter: the more one is shrunk, the faster it changes."""
    gain = (1 + (FREQS_HZ / cutoff_hz) ** 8).rsqrt()
    corner_hz = 2.0 * 2.0 ** torch.arange(len(shrunk), dtype=torch.float64)
    power = 1 / (1 + (FREQS_HZ / corner_hz[:, None]) ** 2)
    return torch.tensor(shrunk)[:, None] * gain * power + 0j, power


@pytest.mark.parametrize("cutoff_hz", [1.0, 3.0, 9.0, 20.0])
def test_components_of_unequal_gain_give_the_cutoff_that_they_share(cutoff_hz: float) -> None:
    cross, power = spectra(cutoff_hz, [1.0, 0.6, 0.3, 0.15])
    smooth = smoothing(FREQS_HZ, SLOW_HZ)
    level = levels(cross, power, FREQS_HZ, smooth)
    torch.testing.assert_close(
        level / level[0],
        torch.tensor([1.0, 0.6, 0.3, 0.15], dtype=torch.float64),
        rtol=0.02,
        atol=0,
    )

    def read(level: torch.Tensor) -> float:
        gain = power_gain((cross / level[:, None]).sum(0), power.sum(0), smooth)
        return float(crossings(gain[None], smooth.mod_freq_hz).high_hz)

    assert read(level) == pytest.approx(cutoff_hz, rel=0.02)
    if cutoff_hz > 2:  # slower than what every component follows, all gains are alike
        assert read(torch.ones(4)) < 0.95 * cutoff_hz


def test_what_is_hardly_read_is_not_blown_up_further() -> None:
    cross, power = spectra(5.0, [1.0, 1e-3, 0.0])
    level = levels(cross, power, FREQS_HZ, smoothing(FREQS_HZ, SLOW_HZ))
    torch.testing.assert_close(level[1:], 0.1 * level[:1].expand(2))
