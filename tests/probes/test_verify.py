"""Verification on a task: which trials are scored, by which back-ends, and what chance is there."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.chance import chance_scores
from probe_bench.corpus import Clip, Corpus, Trial
from probe_bench.encoder import Layer
from probe_bench.evaluate import Evaluation, evaluate
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.verify import plan_trials
from probe_bench.splits import Fold
from probe_bench.tasks.verification import TASK

CONFIG = ProbeConfig(plda_dims=(2, 4, 8), as_norm_top=(6, 3))
PROBES = ("plda", "cosine", "as-norm")
N = 96  # 6 clips of 16 speakers; a fold trains on ten, chooses on three and tests three


class Voices:
    """Pooled features: noise in layer 0, in layer 1 speakers beside a loud channel of each clip."""

    encoder = "voices"

    def __init__(self, corpus: Corpus) -> None:
        self.layers = tuple(
            Layer(
                name=name,
                dim=20,
                depth=depth,
                frame_rate_hz=Fraction(50),
                first_frame_s=Fraction(0),
            )
            for name, depth in (("in", 0.0), ("L1", 1.0))
        )
        generator = torch.Generator().manual_seed(0)
        speaker = torch.tensor([int(clip.labels["speaker"][3:]) for clip in corpus])
        voices, channels = (torch.randn(n, 4, generator=generator) for n in (16, len(corpus)))
        spread = torch.randn(2, 4, 40, generator=generator)
        noise = torch.randn(2, len(corpus), 40, generator=generator)
        noise[1] += 2 * voices[speaker] @ spread[0] + 3 * channels @ spread[1]
        self._pooled = noise

    def pooled(self, layer: int) -> Tensor:
        return self._pooled[layer]

    def n_frames(self, layer: int) -> Tensor:
        return torch.full((N,), 10)

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        raise NotImplementedError  # pairs are of pooled features


@pytest.fixture
def corpus() -> Corpus:
    clips = tuple(
        Clip(
            id=f"c{i:02}",
            path=Path(f"c{i}.wav"),
            duration_s=1.0,
            labels={"speaker": f"spk{i % 16}", "recording": f"r{i // 2}"},
        )
        for i in range(N)
    )
    return Corpus(name="toy", clips=clips, licence="CC0", revision="1")


def speakers(first: int, last: int) -> tuple[int, ...]:
    return tuple(i for i in range(N) if first <= i % 16 <= last)


FOLDS = (
    Fold(train=speakers(0, 9), valid=speakers(10, 12), test=speakers(13, 15)),
    Fold(train=speakers(6, 15), valid=speakers(3, 5), test=speakers(0, 2)),
)


def run(corpus: Corpus, folds: Sequence[Fold] = FOLDS) -> Evaluation:
    return evaluate(TASK, corpus, folds, Voices(corpus), seed=0, config=CONFIG)


def value(found: Evaluation, probe: str, metric: str, layer: str) -> float:
    (score,) = [s for s in found.scores if (s.probe, s.metric, s.layer) == (probe, metric, layer)]
    assert score.value is not None
    return score.value


def test_every_back_end_finds_the_layer_of_the_speakers(corpus: Corpus) -> None:
    found = run(corpus)
    assert {s.probe for s in found.scores} == set(PROBES)
    for probe in PROBES:
        for metric, worst in (("eer", 0.5), ("mindcf", 1.0)):
            assert value(found, probe, metric, "L1") < value(found, probe, metric, "in") <= 1
            assert value(found, probe, metric, "best") == value(found, probe, metric, "L1")
            assert value(found, probe, metric, "in") > 0.7 * worst
    assert value(found, "plda", "eer", "L1") < value(found, "cosine", "eer", "L1")
    settings = {p.probe: p.settings[-1] for p in found.predictions}
    assert settings["cosine"] == "layer=L1"
    assert settings["plda"].startswith("layer=L1;dims=")
    assert settings["as-norm"].startswith("layer=L1;cohort=")


def test_test_clips_do_not_reach_any_fit_or_choice(corpus: Corpus) -> None:
    class Changed(Voices):
        def pooled(self, layer: int) -> Tensor:
            x = super().pooled(layer).clone()
            x[list(FOLDS[0].test)] = 7.0 * x[list(FOLDS[0].test)].flip(0)
            return x

    honest, other = (
        evaluate(TASK, corpus, FOLDS[:1], features, seed=0, config=CONFIG)
        for features in (Voices(corpus), Changed(corpus))
    )
    for ours, theirs in zip(honest.predictions, other.predictions, strict=True):
        assert ours.settings == theirs.settings
        assert ours.chosen == theirs.chosen
        assert not np.array_equal(ours.predicted, theirs.predicted)


def test_made_trials_do_not_share_recordings(corpus: Corpus) -> None:
    (trials, _) = plan_trials(TASK, corpus, FOLDS, CONFIG).folds
    test = [corpus.clips[i].labels["recording"] for i in FOLDS[0].test]
    shared = [test[i] == test[j] for i, j in zip(trials.first, trials.second, strict=True)]
    assert len(shared) == 18 * 17 // 2 - 6  # spk14 and spk15 share six recordings
    assert not any(shared)


def trial(corpus: Corpus, first: int, second: int) -> Trial:
    one, other = (corpus.clips[i] for i in (first, second))
    same = one.labels["speaker"] == other.labels["speaker"]
    return Trial(same=same, first=one.id, second=other.id)


def test_official_trials_take_the_place_of_made_ones(corpus: Corpus) -> None:
    pairs = [(13, 29), (14, 13), (30, 14), (16, 1), (1, 17)]
    official = replace(corpus, trials=tuple(trial(corpus, *pair) for pair in pairs))
    found = run(official)
    plda = found.predictions[0]
    assert plda.other_ids is not None
    # Fold by fold, in the order of the list, sides as given.
    listed = [(f"c{a:02}", f"c{b:02}") for a, b in pairs]
    assert list(zip(plda.clip_ids, plda.other_ids, strict=True)) == listed
    assert plda.targets.tolist() == [True, False, True, False, True]
    assert found.notes == ()
    everything = run(corpus).predictions[0]
    assert everything.other_ids is not None
    all_pairs = zip(everything.clip_ids, everything.other_ids, strict=True)
    place = {frozenset(p): k for k, p in enumerate(all_pairs)}
    same = [place[frozenset(pair)] for pair in listed]
    np.testing.assert_allclose(plda.predicted, everything.predicted[:, same], rtol=1e-5)


def test_part_of_an_official_list_is_not_used(corpus: Corpus) -> None:
    pairs = [(13, 29), (14, 13), (0, 13)]  # the last one lies across two test parts
    official = replace(corpus, trials=tuple(trial(corpus, *pair) for pair in pairs))
    found = run(official)
    assert len(found.predictions[0].targets) == len(run(corpus).predictions[0].targets)
    (note,) = set(found.notes)
    assert note.startswith("none of the 3 official trials is used, the test parts hold")


def test_official_trials_of_clips_left_out_are_counted(corpus: Corpus) -> None:
    pairs = [(13, 29), (14, 13)]
    gone = Trial(same=True, first="c13", second="gone")
    official = replace(corpus, trials=(*(trial(corpus, *pair) for pair in pairs), gone))
    found = run(official)
    assert len(found.predictions[0].targets) == 2
    assert set(found.notes) == {
        "2 of 3 official trials scored, the others name clips that were left out",
    }


@pytest.mark.parametrize("pair", [(13, 29), (13, 14)])
def test_trials_of_one_kind_give_no_score_and_a_note(corpus: Corpus, pair: tuple[int, int]) -> None:
    official = replace(corpus, trials=(trial(corpus, *pair),))
    found = run(official)
    assert found.scores == ()
    assert [note.split(" ")[0] for note in found.notes] == list(PROBES)
    assert chance_scores(TASK, official, FOLDS, seed=0) == []


def test_a_back_end_that_cannot_be_fitted_is_left_out(corpus: Corpus) -> None:
    once = Fold(train=(0, 1, 2, 3, 4, 5), valid=FOLDS[0].valid, test=FOLDS[0].test)
    found = run(corpus, (once,))
    assert {s.probe for s in found.scores} == {"cosine", "as-norm"}
    assert found.notes[0].startswith("plda left out: ")


def test_chance_is_half_of_all_errors_and_the_cost_of_rejecting_all(corpus: Corpus) -> None:
    found = {s.metric: s.value for s in chance_scores(TASK, corpus, FOLDS, seed=0)}
    assert found == {"eer": 0.5, "mindcf": 1.0}
