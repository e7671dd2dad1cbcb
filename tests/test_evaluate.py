from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.encoder import Layer
from probe_bench.evaluate import Evaluation, ProbeConfig, chance_scores, evaluate
from probe_bench.metrics import LOWER_IS_BETTER
from probe_bench.probes.ctc import CtcConfig
from probe_bench.scoring import Score
from probe_bench.splits import Fold
from probe_bench.tasks.emotion import TASK as EMOTION
from probe_bench.tasks.phoneme import TASK as PHONEME
from probe_bench.tasks.speaker import TASK as SPEAKER
from probe_bench.tasks.tagging import TASK as TAGGING

Folds = tuple[Fold, ...]

PHONES = ("a", "e", "i", "k", "s", "sil")
EMOTIONS = ("angry", "calm", "sad")
TAGS = ("bell", "dog", "rain")
QUICK = ProbeConfig(
    clip_l2=(1.0, 1e-2),
    frame_l2=(1.0, 1e-2),
    ridge_l2=(1.0, 1e-2),
    ctc=CtcConfig(max_epochs=3),
    max_train_frames=800,
    max_valid_frames=400,
)


class Planted:
    """Features whose layer 1 carries labels and whose layer 0 is noise, made from the clips."""

    encoder = "planted"

    def __init__(self, corpus: Corpus, *, frame_rate_hz: int = 50, seed: int = 0) -> None:
        self.layers = tuple(
            Layer(
                name=name,
                dim=12,
                depth=depth,
                frame_rate_hz=Fraction(frame_rate_hz),
                first_frame_s=Fraction(1, 2 * frame_rate_hz),
            )
            for name, depth in (("in", 0.0), ("L1", 1.0))
        )
        self._codes = {
            name: torch.randn(12, generator=torch.Generator().manual_seed(hash_of(name)))
            for name in (*PHONES, *EMOTIONS, *TAGS, *(f"spk{i}" for i in range(20)))
        }
        g = torch.Generator().manual_seed(seed)
        self._frames = [[self._make(c, k, g, frame_rate_hz) for c in corpus] for k in (0, 1)]

    def _make(self, clip: Clip, layer: int, g: torch.Generator, rate: int) -> Tensor:
        n = int(clip.duration_s * rate)
        x = torch.randn(n, 12, generator=g)
        if layer == 0:
            return x
        for name in (*clip.labels.values(), *(clip.tags or ())):
            x = x + self._codes.get(name, torch.zeros(12))
        times = (torch.arange(n) + 0.5) / rate
        for s in clip.phones or ():
            x[(times >= s.start_s) & (times < s.end_s)] += 1.5 * self._codes[s.label]
        return x

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self._frames[layer]])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self._frames[layer]])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self._frames[layer][i] for i in clips]


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode()[:6], "big") % 10007


def clip(i: int, random: np.random.Generator) -> Clip:
    order = random.permutation(len(PHONES))
    phones = tuple(
        Segment(start_s=0.1 * j, end_s=0.1 * (j + 1), label=PHONES[k]) for j, k in enumerate(order)
    )
    return Clip(
        id=f"c{i:03d}",
        path=Path(f"c{i}.wav"),
        duration_s=0.65,
        labels={
            "speaker": f"spk{i % 10}",
            "emotion": EMOTIONS[i // 10 % 3],
            "recording": f"r{i}",
        },
        tags=tuple(t for t in TAGS if random.random() < 0.4),
        phones=phones,
    )


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    random = np.random.default_rng(0)
    clips = tuple(clip(i, random) for i in range(120))
    return Corpus(name="toy", clips=clips, licence="CC0", revision="1")


@pytest.fixture(scope="module")
def features(corpus: Corpus) -> Planted:
    return Planted(corpus)


def part(corpus: Corpus, keep: Callable[[Clip], bool]) -> tuple[int, ...]:
    return tuple(i for i, c in enumerate(corpus.clips) if keep(c))


def number(clip: Clip) -> int:
    return int(clip.id[1:])


@pytest.fixture(scope="module")
def by_speaker(corpus: Corpus) -> Folds:
    def between(low: int, high: int) -> tuple[int, ...]:
        return part(corpus, lambda clip: low <= number(clip) % 10 < high)

    return (Fold(train=between(0, 5), valid=between(5, 7), test=between(7, 10)),)


@pytest.fixture(scope="module")
def by_recording(corpus: Corpus) -> Folds:
    def between(low: int, high: int) -> tuple[int, ...]:
        return part(corpus, lambda clip: low <= number(clip) // 10 < high)

    return (Fold(train=between(0, 6), valid=between(6, 9), test=between(9, 12)),)


def find(evaluation: Evaluation, probe: str, metric: str, layer: str) -> Score:
    (found,) = [
        s for s in evaluation.scores if (s.probe, s.metric, s.layer) == (probe, metric, layer)
    ]
    return found


def test_planted_information_is_found_in_its_layer_by_every_probe(
    corpus: Corpus, features: Planted, by_speaker: Folds, by_recording: Folds
) -> None:
    for task, folds in (
        (SPEAKER, by_recording),
        (EMOTION, by_speaker),
        (TAGGING, by_recording),
        (PHONEME, by_speaker),
    ):
        result = evaluate(task, corpus, folds, features, seed=0, config=QUICK)
        for measure in task.measures:
            for metric in measure.metrics:
                noise, full, best = (
                    find(result, measure.probe, metric, layer) for layer in ("in", "L1", "best")
                )
                assert noise.value is not None
                assert full.value is not None
                assert full.ci_low is not None
                assert full.ci_high is not None
                sign = -1 if metric in LOWER_IS_BETTER else 1
                assert sign * full.value > sign * noise.value + 0.1, (task.name, metric)
                assert full.chosen
                assert not noise.chosen
                assert best.value == full.value
                assert "layer=L1" in best.setting
                assert full.ci_low <= full.value <= full.ci_high


def test_clip_accuracy_is_that_of_sklearn_at_the_chosen_strength(
    corpus: Corpus, features: Planted, by_recording: Folds
) -> None:
    result = evaluate(SPEAKER, corpus, by_recording, features, seed=0, config=QUICK)
    (fold,) = by_recording
    x = features.pooled(0).double().numpy()
    y = np.array([c.labels["speaker"] for c in corpus])
    scaler = StandardScaler().fit(x[list(fold.train)])

    def fit(l2: float) -> LogisticRegression:
        model = LogisticRegression(C=1 / (l2 * len(fold.train)), tol=1e-8, max_iter=5000)
        return model.fit(scaler.transform(x[list(fold.train)]), y[list(fold.train)])

    def accuracy(model: LogisticRegression, clips: Sequence[int]) -> float:
        return float(model.score(scaler.transform(x[list(clips)]), y[list(clips)]))

    best = max((fit(l2) for l2 in QUICK.clip_l2), key=lambda m: accuracy(m, fold.valid))
    assert find(result, "logistic", "accuracy", "in").value == pytest.approx(
        accuracy(best, fold.test)
    )


def test_test_labels_do_not_reach_any_choice(
    corpus: Corpus, features: Planted, by_speaker: Folds
) -> None:
    shuffled = list(corpus.clips)
    for i in by_speaker[0].test:
        labels = {**corpus.clips[i].labels, "emotion": EMOTIONS[i % 3]}
        shuffled[i] = replace(corpus.clips[i], labels=labels)
    changed = replace(corpus, clips=tuple(shuffled))
    honest, other = (
        evaluate(EMOTION, some, by_speaker, features, seed=0, config=QUICK)
        for some in (corpus, changed)
    )
    for ours, theirs in zip(honest.predictions, other.predictions, strict=True):
        assert ours.settings == theirs.settings
        assert ours.chosen == theirs.chosen
        assert np.array_equal(ours.predicted, theirs.predicted)
    assert [s.value for s in honest.scores] != [s.value for s in other.scores]


def test_folds_are_pooled_before_the_metric(corpus: Corpus, features: Planted) -> None:
    thirds = [tuple(range(k, len(corpus), 3)) for k in range(3)]
    folds = tuple(
        Fold(train=thirds[k], valid=thirds[(k + 1) % 3], test=thirds[(k + 2) % 3]) for k in range(3)
    )
    result = evaluate(EMOTION, corpus, folds, features, seed=0, config=QUICK)
    (logistic, _) = result.predictions
    assert sorted(logistic.clip_ids.tolist()) == [c.id for c in corpus]
    row = logistic.predicted[logistic.layers.index("L1")]
    recalls = [(row[logistic.targets == k] == k).mean() for k in range(len(logistic.classes))]
    assert find(result, "logistic", "uar", "L1").value == pytest.approx(np.mean(recalls))


def test_frames_are_scored_on_one_grid_whatever_the_frame_rate(
    corpus: Corpus, by_speaker: Folds
) -> None:
    slow, fast = (
        evaluate(
            PHONEME, corpus, by_speaker, Planted(corpus, frame_rate_hz=rate), seed=0, config=QUICK
        ).predictions[0]
        for rate in (25, 100)
    )
    assert np.array_equal(slow.clip_ids, fast.clip_ids)
    assert slow.time_s is not None
    assert fast.time_s is not None
    assert np.array_equal(slow.time_s, fast.time_s)
    assert np.array_equal(slow.targets, fast.targets)
    # Six phones of 100 ms each, 5 grid points a phone, 36 test clips.
    assert len(slow.targets) == 36 * 30


def test_units_of_classes_unknown_to_train_are_errors_and_noted(
    corpus: Corpus, features: Planted, by_speaker: Folds
) -> None:
    clips = tuple(
        replace(c, labels={**c.labels, "emotion": "bored"}) if i == by_speaker[0].test[0] else c
        for i, c in enumerate(corpus.clips)
    )
    result = evaluate(
        EMOTION, replace(corpus, clips=clips), by_speaker, features, seed=0, config=QUICK
    )
    predictions = result.predictions[0]
    assert predictions.classes == (*EMOTIONS, "bored")
    assert (predictions.predicted < 3).all()
    assert any("1 test units" in note and "bored" in note for note in result.notes)


def test_corpus_without_alignment_is_only_transcribed(
    corpus: Corpus, features: Planted, by_speaker: Folds
) -> None:
    clips = tuple(
        replace(c, phones=None, phone_sequence=tuple(s.label for s in c.phones or ()))
        for c in corpus
    )
    result = evaluate(
        PHONEME, replace(corpus, clips=clips), by_speaker, features, seed=0, config=QUICK
    )
    assert {s.probe for s in result.scores} == {"ctc"}
    assert any("logistic" in note for note in result.notes)


def test_same_seed_gives_the_same_bytes(
    corpus: Corpus, features: Planted, by_speaker: Folds
) -> None:
    first, second = (
        evaluate(PHONEME, corpus, by_speaker, features, seed=3, config=QUICK) for _ in range(2)
    )
    assert first.scores == second.scores


def test_chance_is_the_known_value(corpus: Corpus, by_speaker: Folds, by_recording: Folds) -> None:
    uar, accuracy, tags, phones = (
        {s.metric: s for s in chance_scores(task, corpus, folds, seed=0)}
        for task, folds in (
            (EMOTION, by_speaker),
            (SPEAKER, by_recording),
            (TAGGING, by_recording),
            (PHONEME, by_speaker),
        )
    )
    assert uar["uar"].value == pytest.approx(1 / 3)
    assert accuracy["accuracy"].value == pytest.approx(0.1)
    assert accuracy["eer"].value == pytest.approx(0.5)
    assert tags["macro_auc"].value == pytest.approx(0.5)
    assert phones["per"].value == pytest.approx(1.0)
    test = [corpus.clips[i] for i in by_recording[0].test]
    prevalence = np.mean([[tag in (c.tags or ()) for tag in TAGS] for c in test])
    assert tags["map"].value == pytest.approx(prevalence)
    assert all(s.layer == "" and s.probe == "majority" for s in uar.values())
