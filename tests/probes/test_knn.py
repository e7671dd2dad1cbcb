"""k nearest neighbours on whole tasks: what is remembered, voted and chosen."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from probe_bench.chance import chance_scores
from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.encoder import Layer
from probe_bench.evaluate import Evaluation, evaluate
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.kinds import with_probes
from probe_bench.splits import Fold
from probe_bench.task import Task
from probe_bench.tasks.emotion import TASK as EMOTION
from probe_bench.tasks.phoneme import TASK as PHONEME
from probe_bench.tasks.tagging import TASK as TAGGING

CONFIG = ProbeConfig(knn_k=(30, 10, 3, 1), max_train_frames=300, max_valid_frames=150)
CLASSES = ("angry", "calm", "sad")
FOLD = Fold(train=tuple(range(50)), valid=tuple(range(50, 80)), test=tuple(range(80, 120)))


class Drawn:
    """Frames around one centre a class: far apart in layer 1, in layer 0 not at all."""

    encoder = "drawn"

    def __init__(self, corpus: Corpus, rate_hz: int = 50) -> None:
        self.layers = tuple(
            Layer(
                name=name,
                dim=8,
                depth=depth,
                frame_rate_hz=Fraction(rate_hz),
                first_frame_s=Fraction(1, 2 * rate_hz),
            )
            for name, depth in (("in", 0.0), ("L1", 1.0))
        )
        generator = torch.Generator().manual_seed(0)
        centres = {name: torch.randn(8, generator=generator) for name in (*CLASSES, "rare")}
        self._frames = []
        for apart in (0.0, 0.8):
            layer = []
            for clip in corpus:
                x = torch.randn(2 * rate_hz // 5, 8, generator=generator) + 5
                for name in (clip.labels["emotion"], *(clip.tags or ())):
                    x += apart * centres[name]
                layer.append(x)
            self._frames.append(layer)

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self._frames[layer]])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self._frames[layer]])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self._frames[layer][i] for i in clips]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    random = np.random.default_rng(0)
    clips = []
    for i in range(120):
        emotion = CLASSES[random.integers(3)]
        clips.append(
            Clip(
                id=f"c{i:03}",
                path=Path(f"c{i}.wav"),
                duration_s=0.4,
                labels={"emotion": emotion, "speaker": f"s{i}", "recording": f"r{i}"},
                tags=tuple(name for name in CLASSES if random.random() < 0.4),
                phones=(Segment(start_s=0.0, end_s=0.4, label=emotion),),
            )
        )
    return Corpus(name="toy", clips=tuple(clips), licence="CC0", revision="1")


def run(task: Task, corpus: Corpus, config: ProbeConfig = CONFIG) -> Evaluation:
    own = with_probes(task, ["knn"])
    return evaluate(own, corpus, [FOLD], Drawn(corpus), seed=0, config=config)


def value(found: Evaluation, metric: str, layer: str) -> float:
    (score,) = [s for s in found.scores if (s.metric, s.layer) == (metric, layer)]
    assert score.value is not None
    return score.value


@pytest.mark.parametrize("task", [EMOTION, PHONEME, TAGGING])
def test_classes_are_found_where_they_are_apart(task: Task, corpus: Corpus) -> None:
    found = run(task, corpus)
    chance = {s.metric: s.value for s in chance_scores(task, corpus, [FOLD], seed=0)}
    for metric in with_probes(task, ["knn"]).measures[0].metrics:
        guessed = chance[metric]
        assert guessed is not None
        assert value(found, metric, "L1") > guessed + 0.2
        assert abs(value(found, metric, "in") - guessed) < 0.2
        assert value(found, metric, "best") == value(found, metric, "L1")
    (predictions,) = found.predictions
    assert predictions.settings[-1] in {f"layer=L1;k={k}" for k in CONFIG.knn_k}


@pytest.mark.parametrize("k", [30, 5, 1])
def test_predictions_are_those_of_sklearn_on_standardised_features(k: int, corpus: Corpus) -> None:
    (found,) = run(EMOTION, corpus, ProbeConfig(knn_k=(k,))).predictions
    labels = np.array([clip.labels["emotion"] for clip in corpus])
    for layer in (0, 1):
        x = Drawn(corpus).pooled(layer).double().numpy()
        scaler = StandardScaler().fit(x[list(FOLD.train)])
        model = KNeighborsClassifier(
            k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
        ).fit(scaler.transform(x[list(FOLD.train)]), labels[list(FOLD.train)])
        expected = model.predict(scaler.transform(x[list(FOLD.test)]))
        assert np.array(found.classes)[found.predicted[layer]].tolist() == expected.tolist()


def test_frames_that_stand_twice_on_the_grid_are_all_answered(corpus: Corpus) -> None:
    slow, clips = Drawn(corpus, rate_hz=25), np.arange(120)
    config = ProbeConfig(knn_k=(6,), max_train_frames=None)
    task = with_probes(PHONEME, ["knn"])
    (found,) = evaluate(task, corpus, [FOLD], slow, seed=0, config=config).predictions
    twice = [torch.repeat_interleave(x, 2, 0).double().numpy() for x in slow.frames(1, clips)]
    train, test = (np.concatenate([twice[i] for i in part]) for part in (FOLD.train, FOLD.test))
    labels = np.repeat([corpus.clips[i].labels["emotion"] for i in FOLD.train], 20)
    scaler = StandardScaler().fit(train)
    model = KNeighborsClassifier(
        6, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(scaler.transform(train), labels)
    expected = model.predict(scaler.transform(test))
    assert np.array(found.classes)[found.predicted[1]].tolist() == expected.tolist()


def test_k_is_chosen_on_valid_and_no_larger_than_train(corpus: Corpus) -> None:
    by_k = {k: run(EMOTION, corpus, ProbeConfig(knn_k=(k,))).predictions[0] for k in (30, 10, 3, 1)}
    (found,) = run(EMOTION, corpus).predictions
    for layer, setting in enumerate(found.settings[:-1]):
        k = int(setting.partition("=")[2])
        assert np.array_equal(found.predicted[layer], by_k[k].predicted[layer])
    (beyond,) = run(EMOTION, corpus, ProbeConfig(knn_k=(1000, 50))).predictions
    assert beyond.settings[:-1] == ("k=50", "k=50")


def test_shares_of_tags_are_shares_and_tags_that_train_lacks_get_none(corpus: Corpus) -> None:
    changed = [
        replace(clip, tags=(*(clip.tags or ()), "rare")) if i >= 80 else clip
        for i, clip in enumerate(corpus.clips)
    ]
    found = run(TAGGING, replace(corpus, clips=tuple(changed)))
    (predictions,) = found.predictions
    assert predictions.classes == (*CLASSES, "rare")
    assert (predictions.predicted[..., 3] == 0).all()
    assert (predictions.predicted[..., :3] > 0).any()
    assert predictions.predicted.max() <= 1 + 1e-6
    assert any("rare" in note for note in found.notes)
