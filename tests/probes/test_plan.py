from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.plan import make_plan
from probe_bench.probes.units import task_units, thin
from probe_bench.splits import Fold
from probe_bench.tasks.phoneme import TASK as PHONEME
from probe_bench.tasks.speaker import TASK as SPEAKER

FOLDS = tuple(
    Fold(
        train=tuple(i for i in range(30) if i % 3 == k),
        valid=tuple(i for i in range(30) if i % 3 == (k + 1) % 3),
        test=tuple(i for i in range(30) if i % 3 == (k + 2) % 3),
    )
    for k in range(3)
)
CONFIG = ProbeConfig(max_train_frames=100, max_valid_frames=60)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    clips = tuple(
        Clip(
            id=f"c{i}",
            path=Path(f"c{i}.wav"),
            duration_s=1.0,
            labels={"speaker": f"s{i % 5}"},
            phones=(Segment(start_s=0.1, end_s=0.9, label="ab"[i % 2]),),
        )
        for i in range(30)
    )
    return Corpus(name="toy", clips=clips, licence="CC0", revision="1")


def test_one_fold_reads_the_frames_that_thinning_its_own_parts_gives(corpus: Corpus) -> None:
    plan = make_plan(PHONEME, corpus, FOLDS[:1], 0, CONFIG)
    for part, rows, cap in (
        (FOLDS[0].train, plan.roles.train[0], 100),
        (FOLDS[0].valid, plan.roles.valid[0], 60),
    ):
        expected = thin(task_units(PHONEME, corpus, part), cap, 0)
        assert sorted(plan.units.key[rows]) == sorted(expected.key)
    assert len(plan.test[0]) == 10 * 40


def test_frames_of_several_folds_are_thinned_once_and_stay_in_their_parts(corpus: Corpus) -> None:
    # Folds 0 and 1 may both train on clips of remainder 0.
    shared = replace(FOLDS[1], train=(*FOLDS[0].train, *FOLDS[1].train), valid=FOLDS[2].train)
    folds = (FOLDS[0], replace(shared, test=FOLDS[2].train))
    plan = make_plan(PHONEME, corpus, folds, 0, CONFIG)
    for k, fold in enumerate(folds):
        assert set(plan.units.clip[plan.roles.train[k]]) <= set(fold.train)
        assert set(plan.units.clip[plan.roles.valid[k]]) <= set(fold.valid)
        assert plan.roles.valid[k].sum() == 60
    assert plan.roles.train.sum(1).tolist() == [50, 100]
    both = np.isin(plan.units.clip, FOLDS[0].train)
    assert (plan.roles.train[0][both] == plan.roles.train[1][both]).all()


def test_no_cap_keeps_all_frames_and_clips_are_never_thinned(corpus: Corpus) -> None:
    frames = make_plan(PHONEME, corpus, FOLDS, 0, replace(CONFIG, max_train_frames=None))
    assert frames.roles.train.sum(1).tolist() == [400, 400, 400]
    clips = make_plan(SPEAKER, corpus, FOLDS, 0, replace(CONFIG, max_train_frames=3))
    assert clips.roles.train.sum(1).tolist() == [10, 10, 10]
    assert clips.units.time_s is None


def test_segments_hold_exactly_the_rows_of_their_folds(corpus: Corpus) -> None:
    roles = make_plan(PHONEME, corpus, FOLDS, 0, CONFIG).roles
    order = np.argsort(roles.place.numpy())
    covered = 0
    for segment in roles.segments:
        rows = order[segment.start : segment.stop]
        for fold in range(3):
            assert (roles.train[fold, rows] == (fold in segment.train)).all()
            assert (roles.valid[fold, rows] == (fold in segment.valid)).all()
        covered += len(rows)
    assert covered == roles.train.shape[1]
