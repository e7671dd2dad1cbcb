"""Counts of what is taken for what: the errors they hold are those that the metric counts."""

import numpy as np
import pandas as pd

from probe_bench.confusions import confusions
from probe_bench.metrics import phone_errors
from probe_bench.scoring import Predictions


def made(targets: np.ndarray, best: np.ndarray, classes: tuple[str, ...] = ()) -> Predictions:
    return Predictions(
        probe="p",
        unit="clip",
        layers=("L1", "best"),
        settings=("", ""),
        chosen=(True, True),
        classes=classes,
        clip_ids=np.arange(len(targets)),
        clusters=np.arange(len(targets)),
        targets=targets,
        predicted=np.stack([np.roll(best, 1), best]),
    )


def counted(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {(r, h): n for r, h, n in table.itertuples(index=False)}


def test_classes_are_counted_as_pairs_unknown_ones_without_a_name() -> None:
    table = confusions(made(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, -1]), ("a", "b", "c")))
    assert counted(table) == {("b", "b"): 2, ("a", "a"): 1, ("a", "b"): 1, ("c", ""): 1}
    assert table["count"].is_monotonic_decreasing


def test_phones_are_counted_as_they_align() -> None:
    said = np.array(["a b c", "a a", "b"], dtype=object)
    heard = np.array(["a x c", "a", "b k"], dtype=object)
    assert counted(confusions(made(said, heard))) == {
        ("a", "a"): 2,
        ("b", "b"): 1,
        ("c", "c"): 1,
        ("b", "x"): 1,
        ("a", ""): 1,
        ("", "k"): 1,
    }


def test_the_errors_counted_are_those_of_the_phone_error_rate() -> None:
    rng = np.random.default_rng(0)

    def strings() -> np.ndarray:
        lengths = rng.integers(1, 12, 50)
        return np.array([" ".join(rng.choice(list("abcd"), n)) for n in lengths], dtype=object)

    said, heard = strings(), strings()
    table = confusions(made(said, heard))
    errors = table.loc[table["reference"] != table["hypothesis"], "count"].sum()
    assert errors == phone_errors(said.tolist(), heard.tolist()).sum()
    phones = table.loc[table["reference"] != "", "count"].sum()
    assert phones == sum(len(text.split()) for text in said)


def test_tags_and_trials_have_no_pairs() -> None:
    assert confusions(made(np.eye(3, dtype=bool), np.eye(3, dtype=np.float32))) is None
    assert confusions(made(np.array([True, False]), np.array([0.2, 0.1]))) is None
