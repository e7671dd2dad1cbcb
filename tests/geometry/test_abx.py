"""What fastabx is given, recorded by a stand-in of its documented function."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.geometry import abx
from probe_bench.geometry.abx import Token, abx_error, installed, scorable, triphones


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Replace fastabx by a module that reads what it is given, as fastabx does."""
    seen: list[dict[str, object]] = []

    def zerospeech_abx(item: Path, root: Path, **options: object) -> float:
        table = pd.read_csv(item, sep=" ", dtype={"#file": str})
        features = {path.stem: torch.load(path) for path in Path(root).glob("*.pt")}
        seen.append({"table": table, "features": features, **options})
        return 0.125

    stand_in = ModuleType("fastabx")
    stand_in.zerospeech_abx = zerospeech_abx  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastabx", stand_in)
    return seen


@pytest.mark.parametrize("rate_hz", [100, 25])
def test_tokens_are_cut_by_the_centres_of_the_frames(
    made_corpus: Callable[..., Corpus],
    made_features: Callable[..., Features],
    calls: list[dict[str, object]],
    rate_hz: int,
) -> None:
    corpus = made_corpus(n_clips=6, n_speakers=3)
    centres = [torch.arange(2 * rate_hz - 1)[:, None] / rate_hz + 0.01 for _ in corpus]
    features = made_features(centres, rate_hz=rate_hz)
    tokens = triphones(corpus, range(6))
    assert len(tokens) == 6 * 18
    assert abx_error(features, 0, tokens, "across", seed=5) == (0.125, 6 * 18)
    (call,) = calls
    table = call["table"]
    assert isinstance(table, pd.DataFrame)
    assert {k: call[k] for k in ("speaker", "context", "distance", "frequency", "seed")} == {
        "speaker": "across", "context": "within", "distance": "angular", "frequency": 1, "seed": 5,
    }  # fmt: skip
    assert sorted(set(table["#phone"])) == ["p0", "p1", "p2", "p3", "p4"]
    assert set(table["speaker"]) == {"s0", "s1", "s2"}
    held = call["features"]
    assert isinstance(held, dict)
    for token, row in zip(tokens, table.to_dict("records"), strict=True):
        # fastabx: frames from ceil(onset f - 1/2) to floor(offset f - 1/2), the last included.
        start, end = int(-(-(row["onset"] - 0.5) // 1)), int((row["offset"] - 0.5) // 1) + 1
        cut = held[row["#file"]][start:end, 0]
        inside = (centres[0][:, 0] >= token.start_s - 1e-6) & (
            centres[0][:, 0] < token.end_s - 1e-6
        )
        assert torch.equal(cut, centres[0][inside, 0])


def test_a_gap_between_phones_is_no_triphone(made_corpus: Callable[..., Corpus]) -> None:
    clip = made_corpus(n_clips=1).clips[0]
    segments = clip.phones or ()
    assert len(abx._of_clip(0, clip)) == 18
    gap = type(clip)(
        id="g",
        path=clip.path,
        duration_s=2.0,
        labels=clip.labels,
        phones=(*segments[:5], *segments[6:]),
    )
    assert len(abx._of_clip(0, gap)) == 3 + 12


def token(speaker: str, phone: str) -> Token:
    return Token(clip=0, start_s=0.0, end_s=0.3, phones=("x", phone, "y"), speaker=speaker)


def test_a_condition_needs_a_b_and_x() -> None:
    one = [token("s", "a"), token("s", "b")]
    assert not scorable([], "within")
    assert not scorable(one, "within")
    assert not scorable(one, "across")
    assert scorable([*one, token("s", "a")], "within")
    assert not scorable([*one, token("s", "a")], "across")
    assert scorable([*one, token("t", "b")], "across")
    assert not scorable([*one, token("t", "c")], "across")


def test_it_is_optional() -> None:
    assert installed() == (abx.importlib.util.find_spec("fastabx") is not None)
    assert "pip install fastabx" in abx.HOW_TO_GET_IT
