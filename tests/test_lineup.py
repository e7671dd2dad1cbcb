import pytest

from probe_bench.errors import UserError
from probe_bench.lineup import _role, line_up


def names_and_roles(*references: str, baselines: bool = True) -> list[tuple[str, str]]:
    found = line_up(references, seed=0, baselines=baselines, trust_code=False)
    return [(contestant.name, contestant.role) for contestant in found]


def test_every_subject_brings_log_mel_at_its_rate_and_its_twin() -> None:
    assert names_and_roles("audio-jepa", "wavjepa") == [
        ("audio-jepa", "subject"),
        ("wavjepa", "subject"),
        ("logmel:25", "logmel"),
        ("random:audio-jepa", "random"),
        ("logmel:100", "logmel"),
        ("random:wavjepa", "random"),
    ]


def test_what_is_named_stands_once_and_baselines_bring_none() -> None:
    given = ("audio-jepa", "audio-jepa", "logmel:25", "random:audio-jepa")
    assert names_and_roles(*given) == [
        ("audio-jepa", "subject"),
        ("logmel:25", "logmel"),
        ("random:audio-jepa", "random"),
    ]
    assert names_and_roles("logmel:25/2", "wavjepa", baselines=False)[0][1] == "logmel"
    assert names_and_roles("wavjepa", baselines=False) == [("wavjepa", "subject")]


def test_baselines_are_known_by_their_whole_names() -> None:
    assert _role("logmel") == _role("logmel:25") == "logmel"
    assert _role("logmelish") == "subject"


def test_a_baseline_of_nobody_is_a_subject() -> None:
    assert names_and_roles("logmel:25/2") == [("logmel:25/2", "subject")]
    alone = [("random:audio-jepa", "subject"), ("logmel:25", "logmel")]
    assert names_and_roles("random:audio-jepa") == alone
    beside = names_and_roles("wavjepa", "random:audio-jepa", baselines=False)
    assert beside == [("wavjepa", "subject"), ("random:audio-jepa", "subject")]


def test_the_twin_has_other_weights_in_the_same_layers() -> None:
    trained, twin = line_up(
        ["wavjepa", "random:wavjepa"], seed=0, baselines=False, trust_code=False
    )
    (other,) = line_up(["random:wavjepa"], seed=1, baselines=False, trust_code=False)
    assert trained.layers == twin.layers == other.layers
    assert len({trained.fingerprint, twin.fingerprint, other.fingerprint}) == 3


def test_nobody_is_refused() -> None:
    with pytest.raises(UserError, match="no encoder given"):
        names_and_roles()
