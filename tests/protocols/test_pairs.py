"""Verification by SUPERB's protocol on planted voices."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from probe_bench import registry
from probe_bench.corpus import Clip, Corpus, Trial
from probe_bench.encoder import Layer
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.verify import verify
from probe_bench.protocols import pairs
from probe_bench.protocols.pairs import read_pairs
from probe_bench.scoring import Predictions, score
from probe_bench.splits import Fold

SPEAKERS, A_SPEAKER, DIM = 24, 8, 8
CLIPS = SPEAKERS * A_SPEAKER
PROTOCOL, TASK = registry.protocols()["superb"], registry.tasks()["verification"]


class Voices:
    """Frames of which one layer carries the speaker's code; the others are noise, one of another rate."""

    encoder = "voices"

    def __init__(self, speakers: Sequence[int], *, rate_hz: int = 10) -> None:
        g = torch.Generator().manual_seed(0)
        self.layers = tuple(
            Layer(
                name=f"L{k}",
                dim=DIM,
                depth=k / 2,
                frame_rate_hz=Fraction(rate_hz if k else 2 * rate_hz),
                first_frame_s=Fraction(0),
            )
            for k in range(3)
        )
        codes = 2 * torch.randn(SPEAKERS, DIM, generator=g)
        lengths = torch.randint(12, 30, (len(speakers),), generator=g).tolist()
        self.noise = [torch.randn(n, DIM, generator=g) for n in lengths]
        self.x = [
            codes[s] + torch.randn(n, DIM, generator=g)
            for s, n in zip(speakers, lengths, strict=True)
        ]
        self.read: set[int] = set()

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self.x])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        self.read |= set(clips)
        return [(self.x if layer == 1 else self.noise)[clip] for clip in clips]

    def pooled(self, layer: int) -> Tensor:
        frames = self.frames(layer, range(len(self.x)))
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in frames])


def corpus_of(speakers: Sequence[int], trials: tuple[Trial, ...] = ()) -> Corpus:
    clips = tuple(
        Clip(id=f"{k:03}", path=Path(f"{k:03}"), duration_s=2.0, labels={"speaker": f"s{speaker}"})
        for k, speaker in enumerate(speakers)
    )
    return Corpus(name="said", clips=clips, licence="-", revision="-", trials=trials)


WHO = [k // A_SPEAKER for k in range(CLIPS)]
FOLD = Fold(
    train=tuple(range(CLIPS // 2)),
    valid=tuple(range(CLIPS // 2, 3 * CLIPS // 4)),
    test=tuple(range(3 * CLIPS // 4, CLIPS)),
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Train for some steps only."""
    whole = pairs.train

    def shorten(steps: int, **changes: Any) -> None:
        def train(candidates: Any, problem: Any, regime: Any, device: Any) -> Any:
            regime = replace(regime, longest=steps, check_every=max(1, steps // 2), **changes)
            return whole(candidates, problem, regime, device)

        monkeypatch.setattr(pairs, "train", train)

    return shorten


def eer(predictions: Predictions) -> float:
    (found,) = score(predictions, ("eer",), corpus="said", task="verification", seed=0)
    assert found.value is not None
    return found.value


def test_planted_voices_are_told_apart_and_shuffled_ones_are_not(
    short: Callable[..., None],
) -> None:
    short(8)
    voices = Voices(WHO)
    (found,) = read_pairs(PROTOCOL, TASK, corpus_of(WHO), [FOLD], voices)
    assert found.layers == ("best",)
    assert found.settings[0].startswith("layer=sum;lr=0.0001;epoch=")
    weights = dict(found.layer_weights)
    assert set(weights) == {"L1", "L2"}, "frames of another rate cannot be summed"
    assert weights["L1"] > weights["L2"]
    assert eer(found) < 0.1
    shuffled = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(3)).tolist()
    nobody = Voices([WHO[i] for i in shuffled])
    (lost,) = read_pairs(PROTOCOL, TASK, corpus_of(WHO), [FOLD], nobody)
    assert eer(lost) == pytest.approx(0.5, abs=0.1)


def test_trials_are_those_of_the_other_back_ends(short: Callable[..., None]) -> None:
    short(1)
    names = [f"{i:03}" for i in FOLD.test[:6] + FOLD.test[-6:]]
    official = tuple(
        Trial(same=abs(i - k) < 6, first=names[i], second=names[k])
        for i, k in ((0, 1), (2, 5), (0, 7), (3, 11), (8, 9), (5, 6))
    )
    for trials in ((), official):
        corpus, voices = corpus_of(WHO, trials), Voices(WHO)
        (found,) = read_pairs(PROTOCOL, TASK, corpus, [FOLD], voices)
        unread = set(FOLD.test) - voices.read
        (cosine,) = verify(
            [m for m in TASK.measures if m.probe == "cosine"],
            TASK, corpus, [FOLD], voices, seed=0, config=ProbeConfig(),
        )  # fmt: skip
        for name in ("clip_ids", "other_ids", "targets", "clusters", "other_clusters"):
            assert getattr(found, name).tolist() == getattr(cosine, name).tolist()
        assert found.notes == cosine.notes
        assert bool(unread) == bool(trials), "clips in no trial are not read"


def test_what_chooses_the_step_is_valid_speakers(
    short: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(4)
    seen: list[set[int]] = []
    values = pairs._Problem.values

    def watched(problem: Any, forward: Any) -> list[float]:
        problem.features.read.clear()
        found = values(problem, forward)
        seen.append(set(problem.features.read))
        return found

    monkeypatch.setattr(pairs._Problem, "values", watched)
    read_pairs(PROTOCOL, TASK, corpus_of(WHO), [FOLD], Voices(WHO))
    assert seen == [set(FOLD.valid)] * 2


def test_long_clips_are_cropped_anew_and_short_ones_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "CROP_S", 2.0)
    voices = Voices(WHO)
    assert PROTOCOL.pairs[0].heads
    problem = pairs._problem(
        TASK, corpus_of(WHO), FOLD, voices, PROTOCOL.pairs[0].heads, ProbeConfig()
    )
    lengths = voices.n_frames(1)
    long, short = int(lengths[:60].argmax()), int(lengths[:60].argmin())
    starts = set()
    for _ in range(20):
        frames, n_frames = problem.read(torch.tensor([long, short]))
        assert n_frames.tolist() == [20, 16]
        starts.add(int((voices.x[long] == frames[0, 0, 0]).all(1).nonzero()))
        torch.testing.assert_close(frames[1, : n_frames[1], 0], voices.x[short].repeat(2, 1)[:16])
    assert len(starts) > 3
    assert problem._read([long], pairs._whole)[1].tolist() == [int(lengths[long])]


def test_too_few_speakers_are_not_verified() -> None:
    alone = replace(FOLD, valid=FOLD.valid[:A_SPEAKER])
    assert read_pairs(PROTOCOL, TASK, corpus_of(WHO), [alone], Voices(WHO)) == []
    one = replace(FOLD, train=FOLD.train[:A_SPEAKER])
    assert read_pairs(PROTOCOL, TASK, corpus_of(WHO), [one], Voices(WHO)) == []


def test_loss_of_a_head_is_averaged_over_its_clips() -> None:
    assert PROTOCOL.pairs[0].heads
    problem = pairs._problem(
        TASK, corpus_of(WHO), FOLD, Voices(WHO), PROTOCOL.pairs[0].heads, ProbeConfig()
    )
    units = torch.tensor([0, A_SPEAKER, 5])
    cosines = torch.rand(2, 3, SPEAKERS // 2, generator=torch.Generator().manual_seed(0))
    expected = pairs.additive_margin_loss(cosines[1], torch.tensor([0, 1, 0])).mean()
    torch.testing.assert_close(problem.losses(cosines, units)[1], expected)
