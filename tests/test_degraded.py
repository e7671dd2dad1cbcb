"""Degraded test audio through the feature cache: test clips alone, resumed, and read by clean probes."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.audio import load
from probe_bench.cache import Cache
from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.degradations import KINDS, Degradation, named_kinds
from probe_bench.degraded import DegradedTest, degraded_tests
from probe_bench.encoder import Layer
from probe_bench.evaluate import evaluate
from probe_bench.extract import extract, plan
from probe_bench.features import Features
from probe_bench.jobs import Job
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.ctc import CtcConfig
from probe_bench.residency import Residency
from probe_bench.splits import Fold, plan_folds
from probe_bench.stored import StoredFeatures
from probe_bench.survey import Survey, survey
from probe_bench.task import Measure, Task

from .conftest import ToyEncoder


@pytest.fixture
def looked(make_corpus: Callable[..., Corpus]) -> Survey:
    return survey(make_corpus([0.5, 0.7, 0.9, 0.5, 0.6, 0.8, 60.0, 70.0]), skip_bad=False)


def job_of(corpus: Corpus, folds: list[tuple[list[int], list[int], list[int]]]) -> Job:
    made = [Fold(train=tuple(a), valid=tuple(b), test=tuple(c)) for a, b, c in folds]
    task = Task(
        name="speaker", summary="", label="speaker", unit="clip", disjoint=(), cluster="recording",
        measures=(Measure(probe="logistic", metrics=("accuracy",)),), corpus="noise",
    )  # fmt: skip
    return Job(task=task, corpus=corpus, clips=tuple(range(len(corpus))), folds=tuple(made))


def open_features(
    encoder: ToyEncoder, looked: Survey, cache: Cache, *, frames: bool = True
) -> StoredFeatures:
    planned = plan(encoder, looked, frames=frames, dtype="float32")
    return StoredFeatures(
        encoder="toy",
        layers=encoder.layers,
        entry=extract([planned], looked, cache, device="cpu")[0],
        shards=planned.shards,
        residency=Residency(torch.device("cpu"), 1 << 30),
    )


def numbered(test: DegradedTest, encoder: ToyEncoder, cache: Cache) -> Features:
    parts = {part.name: open_features(encoder, part.survey, cache) for part in test.parts}
    return test.numbered(parts)


def test_only_test_clips_are_ever_degraded(
    looked: Survey, toy_encoder: ToyEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    apply = Degradation.apply

    def spy(self: Degradation, samples: np.ndarray, rate_hz: int, clip_id: str) -> np.ndarray:
        seen.append((self.kind.name, self.severity, clip_id))
        return apply(self, samples, rate_hz, clip_id)

    monkeypatch.setattr(Degradation, "apply", spy)
    job = job_of(looked.corpus, [([0, 1, 6], [2], [5, 4])])
    kinds = named_kinds(["noise", "band"])
    asked = degraded_tests(kinds, [job], {"noise": looked}, seed=0)
    cache = Cache(tmp_path / "cache")
    clean = open_features(toy_encoder, looked, cache)
    assert seen == []
    for test in asked:
        features = numbered(test, toy_encoder, cache)
        pooled = features.pooled(1)
        assert torch.isnan(pooled[[0, 1, 2, 3, 6, 7]]).all()
        assert torch.isfinite(pooled[[4, 5]]).all()
        assert not torch.equal(pooled[[4, 5]], clean.pooled(1)[[4, 5]])
        assert features.n_frames(0).tolist() == [
            n if k in (4, 5) else 0 for k, n in enumerate(clean.n_frames(0).tolist())
        ]
        with pytest.raises(KeyError):
            features.frames(0, [0])
    expected = {
        (kind.name, severity, clip)
        for kind in kinds
        for severity in kind.severities
        for clip in ("004", "005")
    }
    assert set(seen) == expected
    assert len(seen) == len(expected)


def test_features_are_those_of_the_degraded_waveform(
    looked: Survey, toy_encoder: ToyEncoder, tmp_path: Path
) -> None:
    job = job_of(looked.corpus, [([0], [1], [5, 3]), ([0], [1], [2])])
    asked = degraded_tests(named_kinds(["reverb"]), [job], {"noise": looked}, seed=4)
    assert [test.clips for test in asked] == [[2, 3, 5]] * 4
    features = numbered(asked[2], toy_encoder, Cache(tmp_path))
    degradation = Degradation(kind=KINDS["reverb"], severity=0.6, seed=4)
    for clip in (2, 3, 5):
        source = looked.corpus.clips[clip]
        wet = degradation.apply(load(source.path, 16000).numpy(), 16000, source.id)
        expected = toy_encoder.encode(torch.from_numpy(wet)[None])
        (frames,) = features.frames(0, [clip])
        torch.testing.assert_close(frames, expected[0][0, : len(frames)], rtol=0, atol=0)


def test_stopped_extraction_goes_on_and_every_setting_has_its_own_entry(
    looked: Survey, toy_encoder: ToyEncoder, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    job = job_of(looked.corpus, [([0], [1], [2, 6, 7])])
    asked = degraded_tests(named_kinds(["noise-white"]), [job], {"noise": looked}, seed=0)
    mild, *_, severe = (test.parts[0] for test in asked)
    planned = plan(toy_encoder, mild.survey, frames=True, dtype="float16")
    assert len(planned.shards) > 1

    def stop(seconds: float) -> None:
        if seconds:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract([planned], mild.survey, cache, device="cpu", advance=stop)
    entry = cache.entry(planned.key)
    assert len(entry.missing()) == entry.shards - 1
    kept = entry.shard_path(0).read_bytes()
    extract([planned], mild.survey, cache, device="cpu")
    assert entry.missing() == []
    (fresh,) = extract([planned], mild.survey, Cache(tmp_path / "other"), device="cpu")
    assert kept == fresh.shard_path(0).read_bytes()
    assert fresh.shard_path(1).read_bytes() == entry.shard_path(1).read_bytes()
    calls = toy_encoder.calls
    extract([planned], mild.survey, cache, device="cpu")
    assert toy_encoder.calls == calls
    again = degraded_tests(named_kinds(["noise-white"]), [job], {"noise": looked}, seed=1)
    surveys = [mild.survey, severe.survey, again[0].parts[0].survey, looked]
    keys = [plan(toy_encoder, each, frames=True, dtype="float16").key for each in surveys]
    assert len({key.digest() for key in keys}) == 4
    assert json.loads(entry.describe()["degradation"])["snr_db"] == 20
    assert "degradation" not in json.loads(keys[-1].canonical())


def test_a_clip_is_degraded_once_and_has_frames_where_a_task_reads_them(
    looked: Survey, toy_encoder: ToyEncoder, tmp_path: Path
) -> None:
    framed = job_of(looked.corpus, [([0], [1], [5, 4])])
    pooled = job_of(looked.corpus, [([0], [1], [3, 5]), ([0], [1], [2])])
    framed = replace(framed, task=replace(framed.task, unit="frame"))
    # The pooled task sees a corpus of its own: its clip 0 is clip 1 of the survey.
    own = replace(looked.corpus, clips=looked.corpus.clips[1:])
    shifted = [replace(fold, test=tuple(c - 1 for c in fold.test)) for fold in pooled.folds]
    pooled = replace(pooled, corpus=own, clips=tuple(range(1, 8)), folds=tuple(shifted))
    asked = degraded_tests(named_kinds(["telephone"]), [framed, pooled], {"noise": looked}, seed=0)
    parts = {part.name: part for test in asked for part in test.parts}.values()
    assert [(part.clips, part.needs_frames) for part in parts] == [((4, 5), True), ((2, 3), False)]
    cache, whole = Cache(tmp_path / "cache"), range(8)
    every = looked.part(whole, "all", asked[0].degradation)
    expected = open_features(toy_encoder, every, cache)
    features = [numbered(test, toy_encoder, cache) for test in asked]
    assert torch.equal(features[0].pooled(1)[[4, 5]], expected.pooled(1)[[4, 5]])
    assert torch.equal(features[1].pooled(1)[[1, 2, 4]], expected.pooled(1)[[2, 3, 5]])
    assert torch.isnan(features[1].pooled(1)[[0, 3, 5, 6]]).all()
    assert torch.equal(features[1].n_frames(0)[[1, 2, 4]], expected.n_frames(0)[[2, 3, 5]])
    (first, second), known = features[0].frames(0, [5, 4]), expected.frames(0, [5, 4])
    assert torch.equal(first, known[0])
    assert torch.equal(second, known[1])


class MadeFeatures:
    """Two layers of features made from labels and noise; the second tells more."""

    encoder = "made"

    def __init__(self, corpus: Corpus, spread: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        toy = ToyEncoder.layers[0]
        self.layers: tuple[Layer, ...] = tuple(
            replace(toy, name=name, dim=4, depth=depth)
            for name, depth in (("in", 0.0), ("L1", 1.0))
        )
        places = {"a": 0, "b": 1}
        self._frames = []
        for layer in range(2):
            own = []
            for clip in corpus:
                x = spread * rng.standard_normal((round(clip.duration_s * 100), 4))
                x[:, int(clip.labels["speaker"][1:]) % 2] += 0.5 * (1 + layer)
                for segment in clip.phones or ():
                    part = slice(round(segment.start_s * 100), round(segment.end_s * 100))
                    x[part, 2 + places[segment.label]] += 1 + layer
                own.append(torch.from_numpy(x.astype(np.float32)))
            self._frames.append(own)

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        pairs = (torch.std_mean(x, dim=0, correction=0) for x in self._frames[layer])
        return torch.stack([torch.cat([mean, std]) for std, mean in pairs])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self._frames[layer]])

    def frames(self, layer: int, clips: list[int]) -> list[Tensor]:
        return [self._frames[layer][clip] for clip in clips]


@pytest.fixture
def talk() -> Corpus:
    """Clips of eight speakers with phones; no audio is read."""
    rng = np.random.default_rng(0)
    clips = []
    for k in range(48):
        edges = [0.0, *sorted(rng.uniform(0.1, 0.9, 3).round(2).tolist()), 1.0]
        phones = tuple(
            Segment(start_s=a, end_s=b, label="ab"[i % 2])
            for i, (a, b) in enumerate(pairwise(edges))
            if b > a
        )
        labels = {"speaker": f"s{k % 8}", "recording": f"r{k}"}
        clips.append(
            Clip(id=f"{k:02d}", path=Path("none"), duration_s=1.0, labels=labels, phones=phones)
        )
    return Corpus(name="talk", clips=tuple(clips), licence="CC0", revision="1")


QUICK = ProbeConfig(ctc=CtcConfig(max_epochs=1))
TASKS = (
    Task(
        name="speaker", summary="", label="speaker", unit="clip", disjoint=("recording",),
        cluster="recording", corpus="talk",
        measures=(
            Measure(probe="logistic", metrics=("accuracy", "uar")),
            Measure(probe="ridge", metrics=("accuracy",)),
            Measure(probe="cosine", metrics=("eer",)),
        ),
    ),
    Task(
        name="phoneme", summary="", label="phones", unit="frame", disjoint=("speaker",),
        cluster="speaker", corpus="talk",
        measures=(
            Measure(probe="logistic", metrics=("accuracy",)),
            Measure(probe="ctc", metrics=("per",)),
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_clean_features_read_again_score_the_same_and_change_nothing(
    task: Task, talk: Corpus
) -> None:
    folds = plan_folds(talk, task, 0)[:2]
    clean: Features = MadeFeatures(talk, 1.0, seed=0)
    worse: Features = MadeFeatures(talk, 3.0, seed=1)
    alone = evaluate(task, talk, folds, clean, 0, config=QUICK)
    beside = evaluate(task, talk, folds, clean, 0, config=QUICK, further=[clean, worse])
    assert beside.scores == alone.scores
    for before, again, below in zip(alone.scores, *beside.further, strict=True):
        assert again == before
        assert torch.equal(again.replicates, before.replicates)
        assert (below.layer, below.setting, below.chosen) == (
            before.layer,
            before.setting,
            before.chosen,
        )
    picked = [k for k, s in enumerate(alone.scores) if s.layer == "L1" and s.probe != "cosine"]
    for k in picked:
        clean_value, worse_value = alone.scores[k].value, beside.further[1][k].value
        assert clean_value is not None
        assert worse_value is not None
        sign = -1 if alone.scores[k].metric == "per" else 1
        assert sign * worse_value < sign * clean_value


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_what_only_the_test_clips_have_is_enough(task: Task, talk: Corpus) -> None:
    """Features that are NaN outside one fold's test clips give numbers: nothing else is read."""
    fold = plan_folds(talk, task, 0)[0]
    clean = MadeFeatures(talk, 1.0, seed=0)
    poisoned = MadeFeatures(talk, 1.0, seed=0)
    for layer in poisoned._frames:
        for clip in set(range(len(talk))) - set(fold.test):
            layer[clip] = torch.full_like(layer[clip], torch.nan)
    found = evaluate(task, talk, [fold], clean, 0, config=QUICK, further=[poisoned])
    assert found.further[0] == found.scores
