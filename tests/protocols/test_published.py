"""The table of published numbers, and when an encoder and a data set are the same."""

from pathlib import Path

import pytest

from probe_bench import registry
from probe_bench.corpus import Clip, Corpus
from probe_bench.protocols.published import beside, published
from probe_bench.rows import Row, read_beside, write_beside


def row(encoder: str, value: float = 0.82, **changes: object) -> Row:
    fields: dict[str, object] = {
        "run_id": "r",
        "encoder": encoder,
        "layer": "best",
        "depth": None,
        "dim": None,
        "frame_rate_hz": None,
        "corpus": "mine",
        "task": "speaker",
        "unit": "clip",
        "probe": "superb",
        "setting": "",
        "split": "test",
        "metric": "accuracy",
        "value": value,
        "ci_low": value - 0.01,
        "ci_high": value + 0.01,
        "n": 10,
        "n_groups": 10,
        "chosen": True,
        "role": "subject",
        "censored": False,
        "seed": 0,
    }
    return Row(**(fields | changes))  # type: ignore[arg-type]


def corpus(name: str = "voxceleb1", revision: str = "-") -> Corpus:
    clip = Clip(id="a", path=Path("a"), duration_s=1.0)
    return Corpus(name=name, clips=(clip,), licence="-", revision=revision)


@pytest.mark.parametrize(
    "encoder",
    [
        "hf:facebook/hubert-base-ls960",
        "hf:/models/hubert-base-ls960/",
        "torchaudio:HUBERT_BASE",
    ],
)
def test_the_same_encoder_on_the_same_data_stands_beside_its_published_number(encoder: str) -> None:
    lines = list(beside([row(encoder)], {"mine": corpus()}, "r"))
    own = [line for line in lines if line.encoder]
    assert [(line.encoder, line.published_encoder) for line in own] == [(encoder, "HuBERT Base")]
    assert own[0].value == 0.82
    assert own[0].published == pytest.approx(0.8142)
    assert own[0].agrees
    others = [line for line in lines if not line.encoder]
    assert {"WavLM Base", "FBANK"} <= {line.published_encoder for line in others}
    assert all(line.agrees is None and line.value is None for line in others)


def test_a_number_beyond_the_tolerance_does_not_agree() -> None:
    lines = beside([row("torchaudio:HUBERT_BASE", 0.7)], {"mine": corpus()}, "r")
    assert [line.agrees for line in lines if line.encoder] == [False]


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"probe": "superb-honest"}, "voxceleb1"),
        ({"task": "emotion"}, "voxceleb1"),
        ({"metric": "eer"}, "voxceleb1"),
        ({"layer": "L3"}, "voxceleb1"),
        ({}, "speech"),
    ],
)
def test_other_variants_tasks_metrics_layers_and_data_have_no_published_number(
    changes: dict[str, object], data: str
) -> None:
    found = beside([row("torchaudio:HUBERT_BASE", **changes)], {"mine": corpus(data)}, "r")
    assert not list(found)


def test_a_folder_of_hear_is_known_by_its_task() -> None:
    changed = row("wavjepa-base", task="tagging", probe="hear")
    lines = list(beside([changed], {"mine": corpus("hear", "esc50-v2.0.0-full")}, "r"))
    assert [line.published for line in lines if line.encoder] == [pytest.approx(0.865)]


def test_every_published_number_belongs_to_a_variant_and_is_a_fraction() -> None:
    variants = {
        v.name
        for p in registry.protocols().values()
        for folds in (True, False)
        for v in (*p.clips(folds, False), *p.phones, *p.pairs)
    }
    for each in published():
        assert each.protocol in variants
        assert 0 < each.value < 1
        assert 0.005 <= each.tolerance <= 0.1
        assert each.names
        assert all(name == name.lower() for name in each.names)
    keys = [(p.protocol, p.encoder, p.data_sets, p.task, p.metric) for p in published()]
    assert len(set(keys)) == len(keys)


def test_lines_survive_the_file(tmp_path: Path) -> None:
    lines = list(beside([row("torchaudio:HUBERT_BASE")], {"mine": corpus()}, "r"))
    write_beside(lines, tmp_path / "published.csv")
    table = read_beside(tmp_path / "published.csv")
    assert len(table) == len(lines)
    own = table[table["encoder"] != ""]
    assert own["agrees"].tolist() == [True]
    assert own["value"].tolist() == [0.82]
    assert read_beside(tmp_path / "none.csv").empty
