"""Frames of many clips in one table: which of them are codes."""

import pytest
import torch

from probe_bench.modulation.tokens import flatten, without_position_mean

RNG = torch.Generator().manual_seed(0)


def frames(n: int, dim: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=RNG)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_codes_of_a_quantiser_are_told_from_frames(offset: float, stored: torch.dtype) -> None:
    book, several = frames(512, 24) + offset, [400, 150, 600]
    coded = [book[torch.randint(512, (n,), generator=RNG)].to(stored) for n in several]
    smooth = [frames(n, 24).cumsum(0).to(stored) + offset for n in several]
    assert flatten(coded).are_codes
    assert not flatten(smooth).are_codes
    # Position means differ from token to token, so that nothing is equal any more.
    assert without_position_mean(flatten(coded)).are_codes


def test_silence_and_dead_or_massive_dimensions_are_no_codes() -> None:
    values = frames(1000, 24)
    values[:, :20] = 0.0
    values[:, 20] *= 1e3
    values[:300] = values[0]
    assert not flatten([values]).are_codes
    assert flatten([torch.ones(50, 4)]).are_codes
