"""What every protocol must do, and the facts and faults of each."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from sklearn.model_selection import ParameterGrid
from torch.nn.functional import one_hot

from probe_bench import registry
from probe_bench.corpus import Corpus
from probe_bench.protocols import clips, hear
from probe_bench.protocols.clips import read_clips
from probe_bench.protocols.labels import as_classes, metric_of
from probe_bench.protocols.parts import divide
from probe_bench.protocols.protocol import Protocol, Sizes, Variant
from probe_bench.protocols.superb import WeightedHead
from probe_bench.scoring import Predictions, score
from probe_bench.splits import Fold
from probe_bench.task import Task

Clips, Folds = Callable[..., Corpus], Callable[[int, int], tuple[Fold, ...]]
EVERY = sorted(registry.protocols())
N = 120


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop protocols early: a planted class is learnt at once."""
    whole = clips.train

    def train(candidates: Any, problem: Any, regime: Any, device: Any) -> Any:
        brief = {"epochs": 12, "steps": 60}[regime.counted_in]
        every = {"epochs": regime.check_every, "steps": 20}[regime.counted_in]
        if len(candidates) == 1:  # a rate for thousands of clips
            candidates = [replace(candidates[0], lr=0.05)]
        regime = replace(regime, longest=min(brief, regime.longest), check_every=every)
        return whole(candidates, problem, regime, device)

    monkeypatch.setattr(clips, "train", train)
    monkeypatch.setattr(hear, "_WIDTH", 32)


def accuracy(predictions: Predictions) -> float:
    metric = "map" if predictions.targets.ndim == 2 else "accuracy"
    (found,) = score(predictions, (metric,), corpus="c", task="t", seed=0)
    assert found.value is not None
    return found.value


def read(
    name: str, corpus: Corpus, folds: Sequence[Fold], features: Any, task: str = "tagging"
) -> dict[str, Predictions]:
    protocol = registry.protocols()[name]
    found = read_clips(protocol, registry.tasks()[task], corpus, folds, features, seed=0)
    return {each.probe: each for each in found}


@pytest.mark.parametrize("name", EVERY)
def test_planted_classes_are_read_by_every_variant(
    name: str, make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    classes = [k % 4 for k in range(N)]
    features = planted(classes, knows=2, noise=0.3)
    found = read(name, make_clips(N), make_folds(N, 2), features)
    assert set(found) == {v.name for v in registry.protocols()[name].clips(True, False)}
    for variant, predictions in found.items():
        assert predictions.layers == ("best",), variant
        assert predictions.targets.ndim == 1, "one tag a clip is a class"
        assert accuracy(predictions) > 0.9, variant


@pytest.mark.parametrize("name", EVERY)
def test_what_is_not_there_is_not_read(
    name: str, make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    noise = planted([0] * N, noise=1.0)
    for variant, predictions in read(name, make_clips(N), make_folds(N, 1), noise).items():
        assert accuracy(predictions) < 0.55, variant


@pytest.mark.parametrize("name", EVERY)
def test_sets_of_tags_are_scored_by_precision(
    name: str, make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    corpus = make_clips(N)
    both = tuple(
        replace(c, tags=(*c.tags, "every other")) if k % 8 > 3 else c for k, c in enumerate(corpus)
    )
    found = read(
        name,
        replace(corpus, clips=both),
        make_folds(N, 1),
        planted([k % 4 for k in range(N)], knows=2),
    )
    for variant, predictions in found.items():
        assert predictions.targets.shape[1] == 5, variant
        assert "knn" not in variant
        assert accuracy(predictions) > 0.5, variant


@pytest.mark.parametrize("name", EVERY)
def test_only_the_last_layer_or_the_sum_of_all_is_read(
    name: str, make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    features = planted([k % 4 for k in range(N)], knows=0, noise=0.3)
    found = read(name, make_clips(N), make_folds(N, 1), features)
    protocol: Protocol = registry.protocols()[name]
    for variant, predictions in found.items():
        knows = accuracy(predictions) > 0.7
        assert knows == protocol.sums_layers, variant
        assert bool(predictions.layer_weights) == protocol.sums_layers


def test_superb_weighs_the_layer_that_knows_most(
    make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    features = planted([k % 4 for k in range(N)], knows=1, noise=1.0)
    found = read("superb", make_clips(N), make_folds(N, 1), features)
    weights = dict(found["superb"].layer_weights)
    assert max(weights, key=weights.__getitem__) == "L1"
    assert sum(weights.values()) == pytest.approx(1)


def test_superb_reads_pooled_clips_as_s3prl_reads_frames() -> None:
    """s3prl: sum the layers of every frame, project, average over frames, linear layer."""
    g = torch.Generator().manual_seed(0)
    head = WeightedHead(Sizes(layers=3, dim=6, classes=4))
    head.mix.data = torch.randn(3, generator=g)
    frames = torch.randn(17, 3, 6, generator=g)
    summed = sum(w * x for w, x in zip(head.mix.softmax(0), frames.unbind(1), strict=True))
    torch.testing.assert_close(head(frames.mean(0)), head.linear(head.projector(summed).mean(0)))


def test_hear_tries_the_points_that_its_seed_draws() -> None:
    """HEAR spans its grid by scikit-learn and shuffles it by the seed 42; keys are sorted there."""
    grid = {
        "hidden_layers": [1, 2],
        "hidden_dim": [1024],
        "dropout": [0.1],
        "lr": [3.2e-3, 1e-3, 3.2e-4, 1e-4],
        "initialization": ["uniform", "normal"],
        "patience": [20],
    }
    points = list(ParameterGrid(grid))
    random.seed(42)
    random.shuffle(points)
    expected = [
        f"hidden_layers={p['hidden_layers']};initialization={p['initialization']};lr={p['lr']:g}"
        for p in points[:8]
    ]
    tried = hear.PROTOCOL.clips(True, False)[0].heads.candidates(Sizes(layers=1, dim=3, classes=2))
    assert [each.setting for each in tried] == expected


def test_hear_chooses_once_for_all_folds_and_honestly_for_each(
    make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    features = planted([k % 4 for k in range(N)], knows=2, noise=1.5)
    found = read("hear", make_clips(N), make_folds(N, 5), features)

    def settings(name: str) -> set[str]:
        return {part.rpartition(";epoch")[0] for part in found[name].settings[0].split("|")}

    assert len(settings("hear")) == 1
    assert len(settings("hear-honest")) > 1


def published(name: str) -> Variant:
    variants: tuple[Variant, ...] = registry.protocols()[name].clips(True, False)
    return variants[0]


def test_published_parts_are_what_their_faults_say(make_folds: Folds) -> None:
    folds = make_folds(N, 5)
    for fold, drawn in zip(folds, divide(folds, published("xares"), 0), strict=True):
        assert drawn.valid == drawn.test == fold.test
        assert set(drawn.train) == set(fold.train) | set(fold.valid)
    for name, share in (("superb", 0.2), ("evar", 0.1)):
        for fold, drawn in zip(folds, divide(folds, published(name), 0), strict=True):
            pool = set(fold.train) | set(fold.valid)
            assert drawn.test == fold.test
            assert set(drawn.train) | set(drawn.valid) == pool
            assert not set(drawn.train) & set(drawn.valid)
            assert len(drawn.valid) == pytest.approx(share * len(pool), abs=1)
    assert divide(folds, published("hear"), 0) == list(folds)


@pytest.mark.parametrize("name", EVERY)
def test_honest_variants_never_choose_on_test_nor_at_random(name: str) -> None:
    protocol = registry.protocols()[name]
    for folds in (False, True):
        variants = protocol.clips(folds, False)
        assert any(not v.fault for v in variants)
        for variant in variants:
            if not variant.fault and variant.heads:
                assert variant.validation == "own"
            assert ("-honest" in variant.name) <= (not variant.fault)
    assert set(protocol.faults()) <= {v.name for v in protocol.clips(True, False)}


@pytest.mark.parametrize("over", [0, 1], ids=["published", "honest"])
def test_neighbours_against_a_slow_vote(
    over: int, make_clips: Clips, make_folds: Folds, planted: Any
) -> None:
    classes = [k % 4 for k in range(N)]
    features, folds = planted(classes, knows=2, noise=2.0), make_folds(N, 1)
    found = read("xares", make_clips(N), folds, features)
    x = features.pooled(2)[:, :12].double()
    train, test = list(folds[0].train), list(folds[0].test)
    keys = x[train] / x[train].norm(dim=over, keepdim=True)
    expected = []
    for query in x[test]:
        similarity = keys @ (query / query.norm())
        nearest = similarity.argsort(descending=True)[:10]
        votes = (similarity[nearest] / 0.07).softmax(0)[:, None] * one_hot(
            torch.tensor(classes)[train][nearest], 4
        )
        expected.append(int(votes.sum(0).argmax()))
    name = "xares-knn" if over == 0 else "xares-knn-honest"
    assert found[name].predicted[0].tolist() == expected


def test_speakers_are_read_as_classes(make_clips: Clips, make_folds: Folds, planted: Any) -> None:
    features = planted([k % 4 for k in range(N)], knows=2, noise=0.3)
    corpus = make_clips(N, "speaker")
    found = read("xares", corpus, make_folds(N, 1), features, task="speaker")
    assert accuracy(found["xares"]) > 0.9


def test_one_tag_a_clip_is_a_class_and_several_are_not(make_clips: Clips) -> None:
    tagging: Task = registry.tasks()["tagging"]
    corpus = make_clips(8)
    task, changed = as_classes(tagging, corpus)
    assert metric_of(task) == "accuracy"
    assert changed.clips[0].labels[task.label] == "class 0"
    two = replace(corpus, clips=(replace(corpus.clips[0], tags=("a", "b")), *corpus.clips[1:]))
    assert as_classes(tagging, two) == (tagging, two)
    assert metric_of(tagging) == "map"
