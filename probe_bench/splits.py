"""Plan train, valid and test parts, and refuse parts that share what they must not.

The corpus's official parts or folds for the task come first, else the task's own rule: groups of
`task.disjoint` stay whole and labels are spread evenly. A clip without a group's label is a group
of its own. Plans depend on clip ids, labels and the seed, never on the order on disk.

Shapes: arrays below have one entry a clip, in the order of the clips' ids.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from probe_bench.corpus import EVERY_TASK, Clip, Corpus
from probe_bench.errors import CorpusError
from probe_bench.task import Task

__all__ = ["Fold", "check_leaks", "plan_folds"]

_SINGLE_SPLIT_GROUPS = 24  # from here on a fifth of the groups is enough for one test part
_FOLDS = 5  # folds below that, and fifths for valid and test of a single split
_SEQUENCES = ("phones", "phone_sequence")  # many labels in a clip: nothing to stratify by

Parts = Shaped[np.ndarray, " clips"]  # "train", "valid", "test", or "" for a clip that is left out


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """One way to divide the clips; a single split is one fold.

    Attributes:
        train: Clip indices within the corpus that was planned.
        valid: Clips on which layers and strengths are chosen.
        test: Clips that are scored.
        notes: What the user should know: clips and classes left out, and why.
    """

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a division is made from.

    Attributes:
        who: Start of every message.
        strata: Label to spread evenly over parts.
        groups: Number of the group that a clip belongs to.
        identify: Every class must be in every part (the task tells the speakers themselves apart).
        classes: Clips have one class each, which a probe must have seen in train.
        seed: Seed of the shuffles.
    """

    who: str
    strata: Shaped[np.ndarray, " clips"]
    groups: Int[np.ndarray, " clips"]
    identify: bool
    classes: bool
    seed: int


def plan_folds(corpus: Corpus, task: Task, seed: int) -> tuple[Fold, ...]:
    """Divide the clips of a corpus for a task.

    Official train, valid and test parts are used as they are (a missing valid is carved out of
    train); of official folds, fold i is tested, the next one is valid and the rest is train.
    Without either, 24 or more groups give one 60/20/20 split, fewer give leave-groups-out folds.

    Args:
        corpus: Clips that all carry the task's label (`Corpus.with_label`).
        task: Names the groups that parts must not share.
        seed: Seed of the shuffles.

    Raises:
        CorpusError: If there are too few groups, classes or clips.
    """
    order = sorted(range(len(corpus)), key=lambda i: corpus.clips[i].id)
    clips = [corpus.clips[i] for i in order]
    plan = _Plan(
        who=f"corpus {corpus.name}, task {task.name}",
        strata=np.array(_strata(clips, task)),
        groups=_groups(clips, task.disjoint),
        identify=task.label == "speaker" and task.label not in task.disjoint,
        classes=task.label not in ("tags", *_SEQUENCES, *task.disjoint),
        seed=seed,
    )
    official = np.array([c.splits.get(task.name, c.splits.get(EVERY_TASK, "")) for c in clips])
    divided = _official(official, plan)
    notes = _unknown_groups(clips, task) + _unplaced(official, divided is not None)
    folds = [_predictable(parts, plan) for parts in divided or _by_rule(plan)]
    return tuple(_fold(parts, order, plan.who, notes + said) for parts, said in folds)


def check_leaks(corpus: Corpus, task: Task, folds: Sequence[Fold]) -> None:
    """Refuse folds whose parts share a group of `task.disjoint` or a recording's very bytes.

    Reads the files that have the size of another file.

    Raises:
        CorpusError: Names what is shared, both clips and their parts.
    """
    who = f"corpus {corpus.name}, task {task.name}"
    groups = {
        name: {i: c.labels[name] for i, c in enumerate(corpus.clips) if name in c.labels}
        for name in task.disjoint
    }
    for name, values in (*groups.items(), ("audio (sha256)", _content(corpus))):
        for fold in folds:
            _refuse_shared(corpus, fold, name, values, who)


def _refuse_shared(
    corpus: Corpus, fold: Fold, name: str, values: Mapping[int, str], who: str
) -> None:
    """Refuse a fold in which two parts have the same value."""
    seen: dict[str, tuple[str, int]] = {}
    for part, members in (("train", fold.train), ("valid", fold.valid), ("test", fold.test)):
        for i in members:
            if i not in values:
                continue
            first_part, first = seen.setdefault(values[i], (part, i))
            if first_part != part:
                raise CorpusError(
                    f"{who}: {name} {values[i][:40]!r} is in both {first_part} "
                    f"({corpus.clips[first].id}) and {part} ({corpus.clips[i].id}); parts must "
                    "not share it; correct the splits or the labels, or remove one of the clips"
                )


def _content(corpus: Corpus) -> dict[int, str]:
    """Hash the files whose size is not unique: only those can be equal."""
    sizes = {i: clip.path.stat().st_size for i, clip in enumerate(corpus.clips)}
    common = {size for size, n in Counter(sizes.values()).items() if n > 1}
    return {
        i: hashlib.sha256(corpus.clips[i].path.read_bytes()).hexdigest()
        for i, size in sizes.items()
        if size in common
    }


def _strata(clips: Sequence[Clip], task: Task) -> list[str]:
    """Name what to spread evenly: the class, of several tags the rarest, of sequences nothing.

    Classes that parts must not share are not spread either.
    """
    if task.label in (*_SEQUENCES, *task.disjoint):
        return [""] * len(clips)
    if task.label != "tags":
        return [clip.labels[task.label] for clip in clips]
    counts = Counter(tag for clip in clips for tag in clip.tags or ())
    return [min(clip.tags or ("",), key=lambda tag: (counts[tag], tag)) for clip in clips]


def _groups(clips: Sequence[Clip], names: Sequence[str]) -> Int[np.ndarray, " clips"]:
    """Number the groups: clips that share any of the named labels, directly or in a chain."""
    # Clips and label values are the two sides of a graph; its connected components may be divided.
    edges = [(i, (n, c.labels[n])) for i, c in enumerate(clips) for n in names if n in c.labels]
    node = {value: len(clips) + k for k, value in enumerate(dict.fromkeys(v for _, v in edges))}
    size = len(clips) + len(node)
    ends = np.array([(i, node[value]) for i, value in edges], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), (size, size))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[: len(clips)], return_inverse=True)[1]


def _official(official: Parts, plan: _Plan) -> list[Parts] | None:
    """Use official parts or folds, None where there are none to use."""
    names = set(official.tolist()) - {""}
    folds = sorted((n for n in names if n.startswith("fold:")), key=lambda n: (len(n), n))
    if folds and len(folds) < len(names):
        raise CorpusError(
            f"{plan.who}: splits {', '.join(sorted(names))}; expected parts or folds, not both"
        )
    if folds:
        if len(folds) < 3:
            raise CorpusError(f"{plan.who}: {len(folds)} folds; expected 3: train, valid, test")
        return _rotate(np.array([folds.index(n) if n else -1 for n in official.tolist()]))
    if not {"train", "test"} <= names:
        return None
    return [official if "valid" in names else _carve_valid(official, plan)]


def _by_rule(plan: _Plan) -> list[Parts]:
    """Divide groups by the task's own rule."""
    if plan.identify:
        return _identify(plan)
    n_groups = len(np.unique(plan.groups))
    if n_groups < 3:
        raise CorpusError(
            f"{plan.who}: {n_groups} independent groups; needs 3 or more, one each for train, "
            "valid and test; add recordings or give an official split"
        )
    folds = _rotate(_spread(plan.strata, plan.groups, min(_FOLDS, n_groups), plan.seed))
    return folds[:1] if n_groups >= _SINGLE_SPLIT_GROUPS else folds


def _identify(plan: _Plan) -> list[Parts]:
    """Divide every class's groups, so that each class is in every part."""
    rank, count = _ranks(plan)
    usable = count >= 3
    if len(np.unique(plan.strata[usable])) < 2:
        raise CorpusError(
            f"{plan.who}: fewer than 2 classes have 3 independent recordings, one each for train, "
            "valid and test; add recordings or give an official split"
        )
    if len(np.unique(plan.groups[usable])) < _SINGLE_SPLIT_GROUPS:
        folds = min(_FOLDS, int(count[usable].min()))
        return _rotate(np.where(usable, rank % folds, -1))
    fifth = np.maximum(1, np.rint(count / _FOLDS))
    parts = np.select([~usable, rank < fifth, rank < 2 * fifth], ["", "test", "valid"], "train")
    return [parts]


def _carve_valid(parts: Parts, plan: _Plan) -> Parts:
    """Turn a quarter of train's groups into the missing valid part."""
    train = np.flatnonzero(parts == "train")
    inside = replace(plan, strata=plan.strata[train], groups=plan.groups[train])
    n_groups = len(np.unique(inside.groups))
    if n_groups < 2:
        raise CorpusError(
            f"{plan.who}: the official train part is one group, so no valid part can be taken "
            "from it; give a valid part or more recordings"
        )
    if plan.identify:
        rank, count = _ranks(inside)
        chosen = (count > 1) & (rank < np.maximum(1, np.rint(count / 4)))
    else:
        chosen = _spread(inside.strata, inside.groups, min(4, n_groups), plan.seed) == 0
    carved = parts.astype("<U5")
    carved[train[chosen]] = "valid"
    return carved


def _rotate(fold: Int[np.ndarray, " clips"]) -> list[Parts]:
    """Test each fold in turn, with the next one valid; -1 is left out."""
    n = int(fold.max()) + 1
    return [
        np.select([fold < 0, fold == k, fold == (k + 1) % n], ["", "test", "valid"], "train")
        for k in range(n)
    ]


def _spread(
    strata: Shaped[np.ndarray, " clips"], groups: Int[np.ndarray, " clips"], n_folds: int, seed: int
) -> Int[np.ndarray, " clips"]:
    """Assign whole groups to folds with even shares of every stratum."""
    if max(Counter(strata.tolist()).values()) < n_folds:
        strata = np.full(len(strata), "")  # every class is too rare to spread
    single = len(np.unique(groups)) == len(groups)
    divide = StratifiedKFold if single else StratifiedGroupKFold  # the first is exact, and fast
    splitter = divide(n_folds, shuffle=True, random_state=seed)
    divided = splitter.split(groups, strata, None if single else groups)
    fold = np.zeros(len(groups), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for k, (_, members) in enumerate(divided):
            fold[members] = k
    return fold


def _ranks(plan: _Plan) -> tuple[Int[np.ndarray, " clips"], Int[np.ndarray, " clips"]]:
    """Shuffle the groups of each class: a group's place there, and how many there are.

    A group of several classes counts for that of its first clip.
    """
    _, first, group = np.unique(plan.groups, return_index=True, return_inverse=True)
    owner = plan.strata[first]
    rank, count = np.zeros_like(first), np.zeros_like(first)
    random = np.random.default_rng(plan.seed)
    for label in np.unique(owner):
        members = np.flatnonzero(owner == label)
        rank[members] = random.permutation(len(members))
        count[members] = len(members)
    return rank[group], count[group]


def _predictable(parts: Parts, plan: _Plan) -> tuple[Parts, tuple[str, ...]]:
    """Leave out classes that a probe cannot have learnt, or that identification lacks somewhere."""
    if not plan.classes:
        return parts, ()
    known = {part: set(plan.strata[parts == part]) for part in ("train", "valid", "test")}
    keep = set.intersection(*known.values()) if plan.identify else known["train"]
    dropped = sorted(set(plan.strata.tolist()) - keep)
    if len(keep) < 2:
        raise CorpusError(
            f"{plan.who}: {len(keep)} classes in train; needs 2 or more to tell apart"
        )
    if not dropped:
        return parts, ()
    out = ~np.isin(plan.strata, sorted(keep))
    where = "every part" if plan.identify else "train"
    names = ", ".join(dropped[:5]) + (" ..." if len(dropped) > 5 else "")
    note = f"{int(out.sum())} clips of {len(dropped)} classes that are not in {where} left out: {names}"
    return np.where(out, "", parts), (note,)


def _fold(parts: Parts, order: Sequence[int], who: str, notes: tuple[str, ...]) -> Fold:
    """Turn parts of the ordered clips into indices of the corpus."""
    members = {
        part: tuple(sorted(order[i] for i in np.flatnonzero(parts == part).tolist()))
        for part in ("train", "valid", "test")
    }
    empty = [part for part, clips in members.items() if not clips]
    if empty:
        raise CorpusError(f"{who}: no clips left in {', '.join(empty)}; add recordings")
    return Fold(train=members["train"], valid=members["valid"], test=members["test"], notes=notes)


def _unknown_groups(clips: Sequence[Clip], task: Task) -> tuple[str, ...]:
    """Say of how many clips a group is unknown."""
    lacking = {name: sum(name not in clip.labels for clip in clips) for name in task.disjoint}
    return tuple(
        f"{n} of {len(clips)} clips have no {name}: each counts as its own"
        for name, n in lacking.items()
        if n
    )


def _unplaced(official: Parts, used: bool) -> tuple[str, ...]:
    """Say what of an official split was not used."""
    named = int((official != "").sum())
    if not named or (used and named == len(official)):
        return ()
    if used:
        return (f"{len(official) - named} clips without an official part left out",)
    return ("official parts without both train and test: divided by the task's own rule",)
