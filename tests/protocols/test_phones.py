"""SUPERB's phone recogniser on planted frames."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax

from probe_bench import registry
from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.protocols import phones
from probe_bench.protocols.phones import read_phones
from probe_bench.scoring import score
from probe_bench.splits import Fold

PHONES, CLIPS, DIM, A_PHONE = ("a", "b", "c", "d"), 40, 8, 5


class Spoken:
    """Every phone is five frames of its code, on one layer; the others are noise, one of another rate."""

    encoder = "spoken"

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.layers = tuple(
            Layer(
                name=f"L{k}",
                dim=DIM,
                depth=k / 2,
                frame_rate_hz=Fraction(50 if k else 25),
                first_frame_s=Fraction(0),
            )
            for k in range(3)
        )
        codes = 2 * torch.randn(len(PHONES), DIM, generator=g)
        self.said = []
        for _ in range(CLIPS):
            said = torch.randint(
                0, len(PHONES), (int(torch.randint(3, 7, (), generator=g)),), generator=g
            )
            self.said.append(said[torch.cat([torch.tensor([True]), said[1:] != said[:-1]])])
        self.x = [codes[said].repeat_interleave(A_PHONE, 0) for said in self.said]
        self.x = [x + 0.3 * torch.randn(x.shape, generator=g) for x in self.x]
        self.noise = [torch.randn(x.shape, generator=g) for x in self.x]

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self.x])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [(self.x if layer == 1 else self.noise)[clip] for clip in clips]

    def pooled(self, layer: int) -> Tensor:
        return torch.zeros(CLIPS, 2 * DIM)


@pytest.fixture
def spoken() -> Spoken:
    return Spoken()


@pytest.fixture
def corpus(spoken: Spoken) -> Corpus:
    clips = tuple(
        Clip(
            id=str(k),
            path=Path(str(k)),
            duration_s=1.0,
            labels={"speaker": str(k % 8)},
            phone_sequence=tuple(PHONES[i] for i in said),
        )
        for k, said in enumerate(spoken.said)
    )
    return Corpus(name="said", clips=clips, licence="-", revision="-")


FOLD = Fold(train=tuple(range(24)), valid=tuple(range(24, 32)), test=tuple(range(32, CLIPS)))


def test_planted_phones_are_recognised_from_the_layer_that_has_them(
    spoken: Spoken, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = phones.train
    monkeypatch.setattr(
        phones,
        "train",
        lambda candidates, problem, regime, device: whole(
            candidates[:2], problem, replace(regime, longest=100, check_every=50), device
        ),
    )
    protocol, task = registry.protocols()["superb"], registry.tasks()["phoneme"]
    (found,) = read_phones(protocol, task, corpus, [FOLD], spoken)
    (rate,) = score(found, ("per",), corpus="said", task="phoneme", seed=0)
    assert rate.value is not None
    assert rate.value < 0.2
    weights = dict(found.layer_weights)
    assert set(weights) == {"L1", "L2"}, "frames of another rate cannot be summed"
    assert weights["L1"] > weights["L2"]


def test_the_loss_is_that_of_torch_clip_by_clip(spoken: Spoken, corpus: Corpus) -> None:
    sequences = {k: clip.phone_sequence or () for k, clip in enumerate(corpus)}
    problem = phones._Problem(
        features=spoken,
        layers=[1, 2],
        clips=list(range(6)),
        valid=[6],
        sequences=sequences,
        phones=PHONES,
    )
    units = torch.tensor([4, 0, 5])
    x = problem.read(units)
    assert x.shape == (3, int(spoken.n_frames(1)[units].max()), 2, DIM)
    outputs = torch.randn(
        2, 3, x.shape[1], len(PHONES) + 1, generator=torch.Generator().manual_seed(1)
    )
    found = problem.losses(outputs, units)
    for head in range(2):
        each = []
        for row, clip in enumerate(units.tolist()):
            frames = len(spoken.x[clip])
            target = spoken.said[clip] + 1
            log_p = log_softmax(outputs[head, row, :frames], -1)
            own = ctc_loss(
                log_p, target, torch.tensor(frames), torch.tensor(len(target)), reduction="sum"
            )
            each.append(own / len(target))
        torch.testing.assert_close(found[head], torch.stack(each).mean())


def test_only_superb_has_tasks_of_phones_and_pairs() -> None:
    assert [name for name, p in registry.protocols().items() if p.phones] == ["superb"]
    assert [name for name, p in registry.protocols().items() if p.pairs] == ["superb"]
