"""What fastabx is given, recorded by a stand-in of its documented function; and fastabx, where it is."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_args

import pandas as pd
import pytest
import torch

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.geometry import abx
from probe_bench.geometry.abx import Condition, Token, abx_errors, count_cells, installed, triphones

CELLS = pd.DataFrame(
    {
        "speaker_x": ["s1", "s2", "s0", "s0", "s1"],
        "#phone": ["p0", "p0", "p0", "p0", "p1"],
        "prev-phone": ["p2", "p3", "p2", "p2", "p2"],
        "next-phone": ["p4", "p4", "p4", "p4", "p4"],
        "speaker": ["s0", "s0", "s1", "s2", "s2"],
        "#phone_b": ["p1", "p1", "p1", "p1", "p0"],
        "score": [0.1, 0.3, 0.5, 0.0, 0.6],
        "size": [1, 9, 4, 2, 2],
    }
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Replace fastabx by a module that reads what it is given, as fastabx does."""
    seen: list[dict[str, object]] = []

    def zerospeech_abx(item: Path, root: Path, *, write_csv: Path, **options: object) -> float:
        table = pd.read_csv(item, sep=" ", dtype={"#file": str})
        features = {path.stem: torch.load(path) for path in Path(root).glob("*.pt")}
        seen.append({"table": table, "features": features, **options})
        CELLS.to_csv(write_csv, index=False)
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
    parts = {speaker: k for k, speaker in enumerate(sorted({t.speaker for t in tokens}))}
    errors, n = abx_errors(features, 0, tokens, parts, "across", seed=5)
    assert n == 6 * 18
    # p0 from p1: by s0 .2, by s1 .5, by s2 0; p1 from p0: .6. Without s0: p1 from p0 alone, and so on.
    assert errors.tolist() == pytest.approx(
        [(0.7 / 3 + 0.6) / 2, 0.6, (0.3 + 0.0) / 2, (0.1 + 0.5) / 2]
    )
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


def test_a_cell_needs_a_b_and_x() -> None:
    one = [token("s", "a"), token("s", "b")]
    assert count_cells([], "within") == 0
    assert count_cells(one, "within") == count_cells(one, "across") == 0
    assert count_cells([*one, token("s", "a")], "within") == 1
    assert count_cells([*one, token("s", "a")], "across") == 0
    assert count_cells([*one, token("t", "b")], "across") == 1
    assert count_cells([*one, token("t", "c")], "across") == 0
    two = [*one, token("t", "a"), token("t", "b"), token("t", "c")]
    assert count_cells(two, "across") == 2 + 4


def test_it_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abx.importlib.util, "find_spec", lambda _: None)
    assert not installed()
    monkeypatch.setattr(abx.importlib.util, "find_spec", lambda name: name)
    for number, new_enough in (("0.8.2", False), ("0.9.0", True), ("0.10rc1", True), ("1.0", True)):
        monkeypatch.setattr(abx, "version", lambda _, number=number: number)
        assert installed() is new_enough


@pytest.mark.skipif(not installed(), reason="fastabx is not installed")
@pytest.mark.parametrize("condition", get_args(Condition))
def test_cells_average_to_what_fastabx_says(
    made_corpus: Callable[..., Corpus],
    made_features: Callable[..., Features],
    condition: Condition,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import fastabx  # noqa: PLC0415

    said: list[float] = []
    n_cells: list[int] = []
    truly = fastabx.zerospeech_abx

    def listened(*files: Path, write_csv: Path, **options: object) -> float:
        said.append(truly(*files, write_csv=write_csv, **options))
        n_cells.append(len(pd.read_csv(write_csv)))
        return said[-1]

    monkeypatch.setattr(fastabx, "zerospeech_abx", listened)
    corpus = made_corpus(n_clips=32, n_speakers=8)
    tokens = triphones(corpus, range(32))
    generator = torch.Generator().manual_seed(0)
    phones = sorted({token.phones[1] for token in tokens})
    frames = [torch.randn(200, 8, generator=generator) for _ in corpus]
    for token in tokens:  # the middle third of a triphone tells its phone, in part
        start, end = round(100 * token.start_s), round(100 * token.end_s)
        frames[token.clip][start:end, phones.index(token.phones[1]) % 8] += 2.0
    features = made_features(frames, rate_hz=100)
    parts = {speaker: k for k, speaker in enumerate(sorted({t.speaker for t in tokens}))}
    errors, _ = abx_errors(features, 0, tokens, parts, condition, seed=0)
    assert float(errors[0]) == pytest.approx(said[0], abs=1e-6)
    assert count_cells(tokens, condition) == n_cells[0]
    assert 0.0 < float(errors[0]) < 0.45
    assert len(errors) == 9
