import numpy as np
import pytest

from probe_bench.diagnostics.blocks import FRACTIONS, nest


def test_blocks_are_whole_groups_nearest_to_their_fractions() -> None:
    groups = np.repeat([f"s{i:02d}" for i in range(30)], np.arange(30) + 5)
    nested = nest(groups, np.arange(len(groups)), [0])
    assert sorted(nested.order.tolist()) == list(range(len(groups)))
    ordered = groups[nested.order]
    ends = [
        i + 1 for i in range(len(groups)) if i + 1 == len(groups) or ordered[i] != ordered[i + 1]
    ]
    assert len(ends) == 30  # every group stands in one piece
    for fraction in FRACTIONS:
        nearest = min(ends, key=lambda end: abs(end - fraction * len(groups)))
        assert nearest in nested.sizes
    assert set(nested.sizes) <= set(ends)
    assert nested.sizes[-1] == len(groups)
    assert nested.fractions[-1] == 1
    assert list(nested.sizes) == sorted(set(nested.sizes))
    assert nested.notes == ()


def test_order_depends_on_names_and_key_not_on_places() -> None:
    groups = np.array([f"s{i}" for i in range(20)])
    first = groups[nest(groups, np.arange(20), [0]).order]
    turned = groups[::-1]
    assert turned[nest(turned, np.arange(20), [0]).order].tolist() == first.tolist()
    assert groups[nest(groups, np.arange(20), [1]).order].tolist() != first.tolist()


def test_few_groups_give_way_to_clips() -> None:
    groups, clips = np.repeat(["a", "b"], 50), np.repeat(np.arange(20), 5)
    nested = nest(groups, clips, [0])
    assert len(nested.sizes) > 3
    assert all(size % 5 == 0 for size in nested.sizes)
    assert "2 training groups" in nested.notes[0]


@pytest.mark.parametrize("n", [1, 3])
def test_a_handful_of_units_still_ends_with_all(n: int) -> None:
    assert nest(np.arange(n).astype(str), np.arange(n), [0]).sizes[-1] == n
