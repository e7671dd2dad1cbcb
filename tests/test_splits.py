"""Split plans: disjoint, stratified, deterministic; leaks are refused."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from probe_bench.corpus import EVERY_TASK, Clip, Corpus
from probe_bench.errors import CorpusError
from probe_bench.splits import Fold, check_leaks, plan_folds
from probe_bench.task import Measure, Task

MEASURES = (Measure(probe="logistic", metrics=("accuracy",)),)


def task(name: str = "emotion", disjoint: tuple[str, ...] = ("speaker",), label: str = "") -> Task:
    return Task(
        name=name,
        summary="",
        label=label or name,
        unit="clip",
        disjoint=disjoint,
        cluster="speaker",
        measures=MEASURES,
        corpus="x",
    )


EMOTION = task()
SPEAKER = task("speaker", ("recording",))
VERIFICATION = task("verification", ("speaker",), "speaker")
TAGGING = task("tagging", ("recording",), "tags")


def corpus(clips: list[Clip]) -> Corpus:
    return Corpus(name="x", clips=tuple(clips), licence="CC0", revision="1")


def clip(i: int, *, tags: tuple[str, ...] | None = None, split: str = "", **labels: str) -> Clip:
    return Clip(
        id=f"{i:04d}",
        path=Path(f"{i}.wav"),
        duration_s=1.0,
        labels=labels,
        tags=tags,
        splits={EVERY_TASK: split} if split else {},
    )


def emotional(speakers: int, each: int = 6) -> Corpus:
    return corpus(
        [
            clip(s * each + k, speaker=f"s{s}", emotion=f"e{k % 3}", recording=f"r{s}-{k}")
            for s in range(speakers)
            for k in range(each)
        ]
    )


def parts_of(fold: Fold) -> dict[str, tuple[int, ...]]:
    return {"train": fold.train, "valid": fold.valid, "test": fold.test}


def values(corpus: Corpus, members: tuple[int, ...], name: str) -> set[str]:
    return {corpus.clips[i].labels[name] for i in members}


def assert_disjoint(corpus: Corpus, folds: tuple[Fold, ...], name: str) -> None:
    for fold in folds:
        train, valid, test = (values(corpus, part, name) for part in parts_of(fold).values())
        assert len(train | valid | test) == len(train) + len(valid) + len(test)


def test_many_groups_give_one_60_20_20_split() -> None:
    data = emotional(30)
    (fold,) = folds = plan_folds(data, EMOTION, 0)
    assert {k: len(v) for k, v in parts_of(fold).items()} == {"train": 108, "valid": 36, "test": 36}
    assert_disjoint(data, folds, "speaker")
    for part in parts_of(fold).values():
        assert len(set(Counter(data.clips[i].labels["emotion"] for i in part).values())) == 1


@pytest.mark.parametrize(("speakers", "n_folds"), [(3, 3), (4, 4), (10, 5), (23, 5)])
def test_few_groups_give_folds_that_test_each_clip_once(speakers: int, n_folds: int) -> None:
    data = emotional(speakers)
    folds = plan_folds(data, EMOTION, 0)
    assert len(folds) == n_folds
    assert_disjoint(data, folds, "speaker")
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(data)))
    assert all(len(f.train) + len(f.valid) + len(f.test) == len(data) for f in folds)


def test_seed_decides_and_order_on_disk_does_not() -> None:
    data = emotional(30)
    shuffled = list(data.clips)
    random.Random(1).shuffle(shuffled)
    other = corpus(shuffled)
    ids = [
        [
            {c.clips[i].id for i in part}
            for f in plan_folds(c, EMOTION, s)
            for part in parts_of(f).values()
        ]
        for c, s in ((data, 0), (other, 0), (data, 1))
    ]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2)),
        min_size=9,
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_chained_groups_never_cross_parts(rows: list[tuple[int, int, int]], seed: int) -> None:
    data = corpus(
        [
            clip(i, speaker=f"s{s}", room=f"r{r}", emotion=f"e{e}")
            for i, (s, r, e) in enumerate(rows)
        ]
    )
    rule = task("emotion", ("speaker", "room"))
    try:
        folds = plan_folds(data, rule, seed)
    except CorpusError:
        reject()  # too few groups or classes for a split: the messages are tested below
    assert_disjoint(data, folds, "speaker")
    assert_disjoint(data, folds, "room")
    for fold in folds:
        assert values(data, fold.test, "emotion") <= values(data, fold.train, "emotion")


@pytest.mark.parametrize(("each", "n_folds"), [(3, 3), (4, 4), (7, 1)])
def test_identification_has_every_class_in_every_part(each: int, n_folds: int) -> None:
    data = emotional(5, each)
    folds = plan_folds(data, SPEAKER, 3)
    assert len(folds) == n_folds
    assert_disjoint(data, folds, "recording")
    for fold in folds:
        for part in parts_of(fold).values():
            assert len(values(data, part, "speaker")) == 5


def test_identification_leaves_out_and_names_classes_with_few_recordings() -> None:
    rare = [clip(900, speaker="rare", recording="q1"), clip(901, speaker="rare", recording="q2")]
    data = corpus([*emotional(6, 5).clips, *rare])
    (fold,) = plan_folds(data, SPEAKER, 0)
    assert "rare" not in values(data, fold.train + fold.valid + fold.test, "speaker")
    assert any("2 clips of 1 classes" in note and "rare" in note for note in fold.notes)


def test_whole_recordings_stay_together_for_identification() -> None:
    data = corpus(
        [
            clip(i, speaker=f"s{i % 4}", recording=f"r{i % 4}-{(i // 4) % 8}")
            for i in range(4 * 8 * 3)
        ]
    )
    folds = plan_folds(data, SPEAKER, 0)
    assert len(folds) == 1
    assert_disjoint(data, folds, "recording")


def test_tags_are_spread_by_the_rarest() -> None:
    data = corpus(
        [
            clip(i, tags=("rain", "owl") if i % 10 == 0 else ("rain",), recording=f"r{i}")
            for i in range(100)
        ]
    )
    (fold,) = plan_folds(data, TAGGING, 0)
    owls = [sum("owl" in data.clips[i].tags for i in part) for part in parts_of(fold).values()]
    assert owls == [6, 2, 2]


def with_splits(data: Corpus, parts: list[str]) -> Corpus:
    clips = [
        replace(c, splits={EVERY_TASK: p} if p else {}) for c, p in zip(data, parts, strict=True)
    ]
    return corpus(clips)


def test_official_parts_are_used_as_they_are() -> None:
    data = with_splits(emotional(5), ["train"] * 12 + ["valid"] * 6 + ["test"] * 6 + [""] * 6)
    (fold,) = plan_folds(data, EMOTION, 0)
    assert (fold.train, fold.valid, fold.test) == (
        tuple(range(12)),
        tuple(range(12, 18)),
        tuple(range(18, 24)),
    )
    assert fold.notes == ("6 clips without an official part left out",)


def test_a_part_for_the_task_goes_before_one_for_every_task() -> None:
    data = with_splits(emotional(5), ["train"] * 18 + ["valid"] * 6 + ["test"] * 6)
    own = [
        replace(c, splits=dict(c.splits) | {"emotion": "fold:" + c.labels["speaker"]}) for c in data
    ]
    assert len(plan_folds(corpus(own), EMOTION, 0)) == 5


def test_missing_valid_is_carved_out_of_train_by_group() -> None:
    data = with_splits(emotional(10), ["train"] * 48 + ["test"] * 12)
    folds = plan_folds(data, EMOTION, 0)
    assert len(folds[0].valid) == 12
    assert folds[0].test == tuple(range(48, 60))
    assert_disjoint(data, folds, "speaker")


def test_carved_valid_of_identification_has_every_class() -> None:
    data = with_splits(emotional(6, 5), (["train"] * 3 + ["test"] * 2) * 6)
    (fold,) = plan_folds(data, SPEAKER, 0)
    assert Counter(data.clips[i].labels["speaker"] for i in fold.valid) == {
        f"s{k}": 1 for k in range(6)
    }


def test_official_folds_test_each_with_the_next_one_valid() -> None:
    parts = [f"fold:{k + 9}" for k in range(4) for _ in range(6)]  # 9, 10, 11, 12: by number
    folds = plan_folds(with_splits(emotional(4), parts), EMOTION, 0)
    assert [(f.test[0] // 6, f.valid[0] // 6) for f in folds] == [(0, 1), (1, 2), (2, 3), (3, 0)]


def test_classes_that_train_lacks_are_left_out_and_named() -> None:
    data = with_splits(emotional(5), ["train"] * 18 + ["valid"] * 6 + ["test"] * 6)
    odd = replace(data.clips[29], labels=dict(data.clips[29].labels) | {"emotion": "rage"})
    (fold,) = plan_folds(corpus([*data.clips[:29], odd]), EMOTION, 0)
    assert 29 not in fold.test
    assert "1 clips of 1 classes that are not in train left out: rage" in fold.notes


def test_clips_of_unknown_group_count_as_their_own_and_are_noted() -> None:
    data = corpus([clip(i, emotion=f"e{i % 2}") for i in range(40)])
    (fold,) = plan_folds(data, EMOTION, 0)
    assert len(fold.test) == 8
    assert fold.notes == ("40 of 40 clips have no speaker: each counts as its own",)


def test_only_one_official_part_is_divided_by_the_rule() -> None:
    (fold,) = plan_folds(with_splits(emotional(30), ["test"] * 180), EMOTION, 0)
    assert len(fold.train) == 108
    assert "official parts without both train and test" in fold.notes[0]


@pytest.mark.parametrize(
    ("data", "rule", "message"),
    [
        (emotional(2), EMOTION, "2 independent groups; needs 3 or more"),
        (emotional(6, 2), SPEAKER, "fewer than 2 classes have 3 independent recordings"),
        (
            with_splits(emotional(4), ["train"] * 18 + ["fold:1"] * 6),
            EMOTION,
            "splits fold:1, train; expected parts or folds",
        ),
        (
            with_splits(emotional(2), ["fold:1"] * 6 + ["fold:2"] * 6),
            EMOTION,
            "2 folds; expected 3",
        ),
        (
            with_splits(emotional(2), ["train"] * 6 + ["test"] * 6),
            EMOTION,
            "train part is one group",
        ),
        (
            corpus([clip(i, speaker=f"s{i}", emotion="calm") for i in range(30)]),
            EMOTION,
            "1 classes in train; needs 2 or more",
        ),
    ],
)
def test_errors_say_what_is_needed(data: Corpus, rule: Task, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        plan_folds(data, rule, 0)


def on_disk(data: Corpus, folder: Path, twins: tuple[int, int] | None = None) -> Corpus:
    clips = []
    for i, c in enumerate(data.clips):
        path = folder / f"{c.id}.wav"
        path.write_bytes(f"{min(twins) if twins and i in twins else i:06d}".encode())
        clips.append(replace(c, path=path))
    return corpus(clips)


def test_planned_folds_pass_the_leak_check(tmp_path: Path) -> None:
    for rule in (EMOTION, SPEAKER):
        data = on_disk(emotional(10), tmp_path)
        check_leaks(data, rule, plan_folds(data, rule, 0))


def test_shared_group_is_a_leak_and_names_clips_and_parts(tmp_path: Path) -> None:
    parts = ["train"] * 17 + ["valid"] * 7 + ["test"] * 6
    data = on_disk(with_splits(emotional(5), parts), tmp_path)
    message = r"speaker 's2' is in both train \(0012\) and valid \(0017\)"
    with pytest.raises(CorpusError, match=message):
        check_leaks(data, EMOTION, plan_folds(data, EMOTION, 0))


def test_equal_audio_in_two_parts_is_a_leak(tmp_path: Path) -> None:
    parts = ["train"] * 18 + ["valid"] * 6 + ["test"] * 6
    within = on_disk(with_splits(emotional(5), parts), tmp_path, twins=(0, 1))
    check_leaks(within, EMOTION, plan_folds(within, EMOTION, 0))
    across = on_disk(with_splits(emotional(5), parts), tmp_path, twins=(0, 29))
    with pytest.raises(CorpusError, match=r"audio.*is in both train \(0000\) and test \(0029\)"):
        check_leaks(across, EMOTION, plan_folds(across, EMOTION, 0))


@pytest.mark.parametrize("speakers", [9, 40])
def test_verification_keeps_speakers_apart_and_every_clip(speakers: int) -> None:
    clips = emotional(speakers)
    folds = plan_folds(clips, VERIFICATION, 0)
    assert len(folds) == (1 if speakers >= 24 else 5)
    for fold in folds:
        parts = [
            {clips.clips[i].labels["speaker"] for i in part}
            for part in (fold.train, fold.valid, fold.test)
        ]
        assert sum(len(part) for part in parts) == len(set.union(*parts)) == speakers
        assert sorted((*fold.train, *fold.valid, *fold.test)) == list(range(len(clips)))
        assert fold.notes == ()
    tested = {i for fold in folds for i in fold.test}
    assert speakers >= 24 or tested == set(range(len(clips)))
