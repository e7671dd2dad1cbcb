"""Quantisation and packing: exactly inverse, against Python's integers and the published code."""

import math
from fractions import Fraction
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe_bench.encoders.density_jepa.fsq import FsqShape, codes_of, quantise, straight_through
from probe_bench.encoders.density_jepa.packing import pack, unpack, vocabularies

PAPER = FsqShape()


@st.composite
def digit_strings(
    draw: st.DrawFn,
) -> tuple[list[list[int]], list[int], int, Literal["big", "little"]]:
    radices = draw(st.lists(st.integers(1, 9), min_size=1, max_size=20))
    row = st.tuples(*(st.integers(0, radix - 1) for radix in radices)).map(list)
    digits = draw(st.lists(row, min_size=1, max_size=4))
    return digits, radices, draw(st.integers(1, 9)), draw(st.sampled_from(["big", "little"]))


@given(digit_strings())
@settings(deadline=None)
def test_packing_is_exactly_inverse_and_each_token_is_a_number_in_its_radices(
    case: tuple[list[list[int]], list[int], int, Literal["big", "little"]],
) -> None:
    digits, radices, group, order = case
    tokens = pack(torch.tensor(digits), radices, group=group, order=order)
    assert unpack(tokens, radices, group=group, order=order).tolist() == digits
    for row, packed in zip(digits, tokens.tolist(), strict=True):
        expected = []
        for start in range(0, len(radices), group):
            places = list(zip(row, radices, strict=True))[start : start + group]
            number = 0
            for digit, radix in places if order == "big" else reversed(places):
                number = number * radix + digit
            expected.append(number)
        assert packed == expected
        assert all(n < v for n, v in zip(packed, vocabularies(radices, group), strict=True))


@given(st.data(), st.integers(1, 6))
@settings(deadline=None)
def test_every_token_value_is_a_frame(data: st.DataObject, group: int) -> None:
    radices = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=12))
    row = [data.draw(st.integers(0, v - 1)) for v in vocabularies(radices, group)]
    for order in ("big", "little"):
        digits = unpack(torch.tensor(row), radices, group=group, order=order)
        assert pack(digits, radices, group=group, order=order).tolist() == row


def test_the_two_orders_by_hand() -> None:
    digits = torch.tensor([1, 2, 3])
    assert pack(digits, [4, 4, 4], group=3, order="big").tolist() == [1 * 16 + 2 * 4 + 3]
    assert pack(digits, [4, 4, 4], group=3, order="little").tolist() == [1 + 2 * 4 + 3 * 16]
    assert pack(digits, [4, 4, 4], group=2, order="big").tolist() == [6, 3]


def test_levels_and_little_endian_tokens_are_those_of_the_published_code() -> None:
    # Its quantiser and `fsq_pack_indices` on 2 sin(1.7 n), channels first, 16 dims x 5 frames.
    x = (2 * torch.sin(torch.arange(80).float() * 1.7)).view(1, 16, 5).transpose(1, 2)
    index = quantise(x, FsqShape(dims=16))
    assert index[0, 0].tolist() == [1, 3, 0, 3, 3, 0, 3, 2, 0, 3, 1, 0, 3, 0, 0, 3]
    assert index[0, 4].tolist() == [3, 3, 0, 3, 2, 0, 3, 0, 0, 3, 0, 1, 3, 0, 2, 3]
    tokens = pack(index, [4] * 16, group=7, order="little")
    expected = [[13261, 3186, 12], [14547, 1852, 3], [3121, 13262, 2], [796, 15571, 12]]
    assert tokens[0].tolist() == [*expected, [13007, 3376, 14]]


@pytest.mark.parametrize("levels", [(4,), (3,), (2, 5), (8, 8, 4, 4)])
def test_every_value_goes_to_its_nearest_code(levels: tuple[int, ...]) -> None:
    shape = FsqShape(dims=8, levels=levels, temperature=2.0)
    x = 3 * torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(0))
    index = quantise(x, shape)
    squashed = 2 * torch.tanh(x / 2)
    for dim, radix in enumerate(shape.radices):
        codes = torch.linspace(-1 + 1 / radix, 1 - 1 / radix, radix)
        nearest = (squashed[..., dim, None] - codes).abs().argmin(-1)
        assert torch.equal(index[..., dim], nearest)
        torch.testing.assert_close(codes_of(index, shape)[..., dim], codes[nearest])


def test_codes_are_fixed_points_and_gradients_pass_straight_through() -> None:
    x = torch.randn(2, 5, 128, requires_grad=True)
    quantised = straight_through(x, PAPER)
    weight = torch.randn_like(quantised)
    torch.autograd.backward((quantised * weight).sum())
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weight)
    torch.testing.assert_close(quantised, codes_of(quantise(x.detach(), PAPER), PAPER))
    atanh = torch.atanh(quantised.detach())
    assert torch.equal(quantise(atanh, PAPER), quantise(x.detach(), PAPER))


def test_extreme_values_stay_in_range() -> None:
    x = torch.tensor([[[-1e9, -30.0, 0.0, 30.0, 1e9, 1e-3]]])
    index = quantise(x, FsqShape(dims=6))
    assert index.tolist() == [[[0, 0, 1, 3, 3, 2]]]


def test_published_rates() -> None:
    rate_hz = Fraction(24_000, 9600)
    assert PAPER.tokens_per_frame == 19
    assert PAPER.vocabularies == (16_384,) * 18 + (16,)
    assert PAPER.token_rate_hz(rate_hz) == Fraction(95, 2)  # 47.5 tokens a second
    assert PAPER.information_bps(rate_hz) == 640
    # 19 tokens of 14 bits: 10 bits of the last one are never used.
    assert PAPER.stored_bps(rate_hz) == 665


def test_rates_of_any_shape() -> None:
    shape = FsqShape(dims=6, levels=(8, 5), group=2)
    assert shape.radices == (8, 8, 8, 5, 5, 5)
    assert shape.vocabularies == (64, 40, 25)
    assert shape.token_rate_hz(Fraction(25, 2)) == Fraction(75, 2)
    assert shape.information_bps(Fraction(10)) == pytest.approx(10 * (9 + 3 * math.log2(5)))
    assert shape.stored_bps(Fraction(10)) == 10 * 3 * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": ()}, "levels of 2 or more"),
        ({"levels": (1,)}, "levels of 2 or more"),
        ({"dims": 9, "levels": (4, 8)}, "they divide"),
        ({"group": 32}, "take smaller groups"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FsqShape(**changes)  # type: ignore[arg-type]
