"""Trained probes on a whole task: rows, choices, blocks and memory bounds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.encoder import Layer
from probe_bench.evaluate import Evaluation, ProbeConfig, chance_scores, evaluate
from probe_bench.probes import trained
from probe_bench.probes.attentive import AttentiveConfig
from probe_bench.probes.ctc import CtcConfig
from probe_bench.probes.ctc_bilstm import BiLstmConfig
from probe_bench.probes.heads import grid
from probe_bench.probes.mlp import MlpConfig
from probe_bench.probes.weighted_sum import WeightedSumConfig
from probe_bench.scoring import Score
from probe_bench.splits import Fold
from probe_bench.task import Measure, ProbeName, Task
from probe_bench.tasks.emotion import TASK as EMOTION
from probe_bench.tasks.phoneme import TASK as PHONEME
from probe_bench.tasks.tagging import TASK as TAGGING

LABELS = ("angry", "calm", "sad")
PHONES = ("a", "i", "s")
DIMS = (6, 8, 8)
TWO = grid(lr=(0.03, 0.01))
QUICK = ProbeConfig(
    ctc=CtcConfig(max_epochs=6, clips_per_step=4),
    ctc_bilstm=BiLstmConfig(width=8, epochs=2, steps=1),
    beam_width=4,
    mlp=MlpConfig(hidden=(16,), settings=TWO, max_epochs=12, clips_per_step=16),
    attentive=AttentiveConfig(
        queries=2, settings=TWO, max_epochs=12, max_frame_rate_hz=50, clips_per_step=16
    ),
    weighted_sum=WeightedSumConfig(settings=TWO, max_epochs=12, clips_per_step=16),
    max_train_frames=600,
    max_valid_frames=300,
)


class Planted:
    """Three layers, the first of another dim; the last one carries the labels."""

    encoder = "planted"

    def __init__(self, corpus: Corpus, rate_hz: int = 50) -> None:
        g = torch.Generator().manual_seed(0)
        self.layers = tuple(
            Layer(
                name=f"L{k}",
                dim=dim,
                depth=k / 2,
                frame_rate_hz=Fraction(rate_hz),
                first_frame_s=Fraction(1, 100),
            )
            for k, dim in enumerate(DIMS)
        )
        codes = {name: 1.5 * torch.randn(8, generator=g) for name in (*LABELS, *PHONES)}
        self._frames: list[list[Tensor]] = [[], [], []]
        for clip in corpus:
            for k, dim in enumerate(DIMS):
                x = torch.randn(int(clip.duration_s * 50), dim, generator=g)
                if k == 2:
                    for name in (*clip.labels.values(), *(clip.tags or ())):
                        x += codes.get(name, torch.zeros(8))
                    for s in clip.phones or ():
                        x[int(s.start_s * 50) : int(s.end_s * 50)] += 2 * codes[s.label]
                self._frames[k].append(x)

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self._frames[layer]])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self._frames[layer]])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        assert self.layers[layer].frame_rate_hz
        return [self._frames[layer][i] for i in clips]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    clips = []
    for i in range(90):
        order = rng.integers(1, 3, 8).cumsum() % 3  # never twice the same in a row
        clips.append(
            Clip(
                id=f"c{i:03d}",
                path=Path(f"c{i}.wav"),
                duration_s=0.8 + 0.1 * (i % 3),
                labels={"speaker": f"s{i % 9}", "emotion": LABELS[i // 9 % 3], "recording": str(i)},
                tags=tuple(t for t in LABELS[:2] if rng.random() < 0.4),
                phones=tuple(
                    Segment(start_s=0.1 * j, end_s=0.1 * (j + 1), label=PHONES[k])
                    for j, k in enumerate(order)
                ),
            )
        )
    return Corpus(name="toy", clips=tuple(clips), licence="CC0", revision="1")


@pytest.fixture(scope="module")
def features(corpus: Corpus) -> Planted:
    return Planted(corpus)


@pytest.fixture(scope="module")
def folds(corpus: Corpus) -> tuple[Fold, ...]:
    def of(*speakers: int) -> tuple[int, ...]:
        return tuple(i for i in range(len(corpus)) if i % 9 in speakers)

    return (
        Fold(train=of(0, 1, 2, 3, 4), valid=of(5, 6), test=of(7, 8)),
        Fold(train=of(3, 4, 5, 6, 7), valid=of(8, 0), test=of(1, 2)),
    )


@pytest.fixture(scope="module")
def read(corpus: Corpus, features: Planted, folds: tuple[Fold, ...]) -> Callable[..., Evaluation]:
    def read(
        task: Task,
        *probes: ProbeName,
        config: ProbeConfig = QUICK,
        folds: Sequence[Fold] = folds,
    ) -> Evaluation:
        metrics = {"ctc": ("per",)}
        measures = tuple(
            Measure(probe=probe, metrics=metrics.get(probe[:3]) or task.measures[0].metrics)
            for probe in probes
        )
        return evaluate(replace(task, measures=measures), corpus, folds, features, 0, config=config)

    return read


def at(scores: Sequence[Score], layer: str, probe: str, metric: str) -> Score:
    (found,) = [s for s in scores if (s.layer, s.probe, s.metric) == (layer, probe, metric)]
    return found


def test_every_probe_finds_the_layer_that_knows(read: Callable[..., Evaluation]) -> None:
    for task, probe, least in (
        (EMOTION, "mlp", 0.75),
        (EMOTION, "attentive", 0.75),
        (TAGGING, "mlp", 0.75),
        (TAGGING, "attentive", 0.75),
        (PHONEME, "mlp", 0.75),
    ):
        found = read(task, probe)
        metric = task.headline
        chosen = at(found.scores, "L2", probe, metric)
        assert chosen.chosen
        assert chosen.value > least
        assert chosen.value == at(found.scores, "best", probe, metric).value
        assert at(found.scores, "L0", probe, metric).value < chosen.value - 0.2
        assert chosen.setting.startswith("lr=0.0")


def test_the_weighted_sum_is_one_score_of_the_encoder_and_a_weight_a_layer(
    read: Callable[..., Evaluation],
) -> None:
    for task in (EMOTION, TAGGING, PHONEME):
        found = read(task, "weighted-sum")
        assert {score.layer for score in found.scores} == {"best"}
        score = at(found.scores, "best", "weighted-sum", task.headline)
        assert score.value > 0.75
        assert score.setting.startswith("layer=sum;lr=")
        (predictions,) = found.predictions
        names, weights = zip(*predictions.layer_weights, strict=True)
        assert names == ("L1", "L2")
        assert sum(weights) == pytest.approx(1)
        assert weights[1] > weights[0]
        assert any("over the 2 layers of 8 dimensions, without L0" in note for note in found.notes)


def test_the_sum_learns_from_as_many_units_as_memory_holds(
    read: Callable[..., Evaluation],
) -> None:
    tight = replace(QUICK, weighted_sum=replace(QUICK.weighted_sum, max_bytes=100 * 4 * 2 * 8))
    found = read(PHONEME, "weighted-sum", config=tight)
    assert any("learns from 100 of 600 units" in note for note in found.notes)
    assert found.scores[0].value > 0.5


def test_layers_trained_in_several_groups_end_as_in_one(
    read: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(
        QUICK,
        mlp=replace(QUICK.mlp, max_epochs=3),
        attentive=replace(QUICK.attentive, max_epochs=3),
    )
    whole = read(EMOTION, "mlp", "attentive", config=short)
    monkeypatch.setattr(trained, "_STACK_BYTES", 1)
    parts = read(EMOTION, "mlp", "attentive", config=short)
    assert [s.value for s in parts.scores] == [s.value for s in whole.scores]
    assert [s.setting for s in parts.scores] == [s.setting for s in whole.scores]


def test_greedy_decoding_stays_as_it_is_beside_beam_search(
    read: Callable[..., Evaluation], folds: Sequence[Fold]
) -> None:
    probes = ("ctc", "ctc-beam", "ctc-bilstm")
    found = read(PHONEME, *probes, folds=folds[:1])
    plain, beam, recurrent = (at(found.scores, "best", probe, "per") for probe in probes)
    assert plain.setting == recurrent.setting == "layer=L2;ctc_frame_rate_hz=50"
    assert beam.setting == "layer=L2;ctc_frame_rate_hz=50;decoding=beam;width=4"
    for score in (plain, beam, recurrent):
        assert score.value < 0.5
    alone = read(PHONEME, "ctc", folds=folds[:1])
    assert at(alone.scores, "best", "ctc", "per").value == plain.value


def test_probes_of_frames_are_left_out_where_there_are_none(
    corpus: Corpus, folds: tuple[Fold, ...]
) -> None:
    pooled = Planted(corpus, rate_hz=0)
    task = replace(
        EMOTION,
        measures=tuple(Measure(probe=p, metrics=("uar",)) for p in ("mlp", "attentive")),
    )
    found = evaluate(task, corpus, folds, pooled, 0, config=QUICK)
    assert {score.probe for score in found.scores} == {"mlp"}
    assert "attentive left out: it reads frames, and there is one vector a clip" in found.notes


def test_the_same_heads_read_further_features_of_the_test_clips(
    corpus: Corpus, features: Planted, folds: tuple[Fold, ...]
) -> None:
    class Louder(Planted):
        def __init__(self, gain: float) -> None:
            super().__init__(corpus)
            self._frames = [[gain * x for x in layer] for layer in self._frames]

    probes: tuple[ProbeName, ...] = ("mlp", "attentive", "weighted-sum")
    task = replace(EMOTION, measures=tuple(Measure(probe=p, metrics=("uar",)) for p in probes))
    found = evaluate(
        task, corpus, folds, features, 0, config=QUICK, further=(Louder(1.0), Louder(-1.0))
    )
    same, turned = found.further
    assert [s.value for s in same] == [s.value for s in found.scores]
    assert [(s.layer, s.probe) for s in turned] == [(s.layer, s.probe) for s in found.scores]
    for probe in probes:
        clean = at(found.scores, "best", probe, "uar").value
        assert at(turned, "best", probe, "uar").value < clean - 0.3


def test_chance_stands_for_every_probe(corpus: Corpus, folds: tuple[Fold, ...]) -> None:
    task = replace(EMOTION, measures=(Measure(probe="weighted-sum", metrics=("uar",)),))
    assert [s.value for s in chance_scores(task, corpus, folds, 0)] == pytest.approx([1 / 3])
