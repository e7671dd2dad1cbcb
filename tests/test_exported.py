"""Features in a plain folder: what is written is what is read, and what does not fit is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from probe_bench.cache import Cache
from probe_bench.corpus import Corpus
from probe_bench.errors import UserError
from probe_bench.exported import ExportedFeatures, Pool, write_features
from probe_bench.extract import extract, plan
from probe_bench.residency import Residency
from probe_bench.stored import StoredFeatures
from probe_bench.survey import survey

from .conftest import ToyEncoder

CPU = torch.device("cpu")


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus([0.5, 1.2, 0.3, 0.8])


@pytest.fixture
def features(corpus: Corpus, toy_encoder: ToyEncoder, tmp_path: Path) -> StoredFeatures:
    looked = survey(corpus, skip_bad=False)
    planned = plan(toy_encoder, looked, frames=True, dtype="float32")
    entry = extract([planned], looked, Cache(tmp_path / "cache"), device="cpu")[0]
    residency = Residency(CPU, 1 << 30)
    return StoredFeatures(
        encoder="toy",
        layers=toy_encoder.layers,
        entry=entry,
        shards=planned.shards,
        residency=residency,
    )


@pytest.mark.parametrize("pool", ["none", "mean", "meanstd"])
def test_round_trip(features: StoredFeatures, corpus: Corpus, tmp_path: Path, pool: Pool) -> None:
    write_features(features, corpus, tmp_path / "out", pool)
    read = ExportedFeatures(tmp_path / "out", corpus, CPU)
    assert read.layers == features.layers
    assert read.has_frames == (pool == "none")
    for layer in range(2):
        expected = features.pooled(layer)
        wide = expected if pool != "mean" else expected[:, : features.layers[layer].dim]
        torch.testing.assert_close(read.pooled(layer), wide)
        if pool == "none":
            assert torch.equal(read.n_frames(layer), features.n_frames(layer))
            for a, b in zip(
                read.frames(layer, [2, 0]), features.frames(layer, [2, 0]), strict=True
            ):
                assert torch.equal(a, b)


def test_row_ranges_cover_every_array(
    features: StoredFeatures, corpus: Corpus, tmp_path: Path
) -> None:
    write_features(features, corpus, tmp_path, "none")
    index = pd.read_csv(tmp_path / "index.csv", dtype={"clip": str})
    assert list(index["clip"]) == [clip.id for clip in corpus]
    assert {"speaker", "recording"} <= set(index.columns)
    for layer, suffix in (("in", ""), ("L1", ".L1")):
        rows = np.load(tmp_path / f"{layer}.npy")
        assert rows.dtype == np.float32
        assert list(index[f"start{suffix}"][1:]) == list(index[f"stop{suffix}"][:-1])
        assert index[f"stop{suffix}"].iloc[-1] == len(rows)


def test_bare_folder_of_one_row_a_clip(corpus: Corpus, tmp_path: Path) -> None:
    """What a stranger's script would write: no layers.json, rows start to start + 1."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.save(folder / "final.npy", rows)
    ids = [clip.id for clip in corpus]
    pd.DataFrame({"clip": ids[::-1], "start": range(4), "stop": range(1, 5)}).to_csv(
        folder / "index.csv", index=False
    )
    read = ExportedFeatures(folder, corpus, CPU)
    assert not read.has_frames
    assert np.array_equal(read.pooled(0).numpy(), rows[::-1])


def test_missing_clips_and_rows_are_named(
    features: StoredFeatures, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no such folder"):
        ExportedFeatures(tmp_path / "nothing", corpus, CPU)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"no index\.csv"):
        ExportedFeatures(tmp_path / "nothing", corpus, CPU)
    write_features(features, corpus, tmp_path, "mean")
    np.save(tmp_path / "L1.npy", np.zeros((2, 1), np.float32))
    with pytest.raises(UserError, match="2 rows"):
        ExportedFeatures(tmp_path, corpus, CPU)
    index = pd.read_csv(tmp_path / "index.csv", dtype={"clip": str})
    index[:-1].to_csv(tmp_path / "index.csv", index=False)
    with pytest.raises(UserError, match="1 of 4 clips"):
        ExportedFeatures(tmp_path, corpus, CPU)
    (tmp_path / "layers.json").write_text(json.dumps({"layers": [{}]}))
    with pytest.raises(UserError, match=r"layers\.json"):
        ExportedFeatures(tmp_path, corpus, CPU)


def test_a_bare_folder_without_row_ranges_is_in_the_order_of_its_index(
    corpus: Corpus, tmp_path: Path
) -> None:
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.save(tmp_path / "final.npy", rows)
    pd.DataFrame({"clip": [clip.id for clip in corpus][::-1]}).to_csv(
        tmp_path / "index.csv", index=False
    )
    read = ExportedFeatures(tmp_path, corpus, CPU)
    assert np.array_equal(read.pooled(0).numpy(), rows[::-1])


def edit_json(name: str, value: object) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        record = json.loads((folder / "layers.json").read_text())
        record[name] = value
        (folder / "layers.json").write_text(json.dumps(record))

    return spoil


def change_row(folder: Path) -> None:
    array = np.load(folder / "in.npy")
    array[3] = np.nan
    np.save(folder / "in.npy", array)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda folder: (folder / "layers.json").unlink(), "one vector a clip is expected"),
        (edit_json("pool", "max"), "pool 'max'"),
        (edit_json("pool", None), "pool None"),
        (edit_json("layers", []), "no layers"),
        (change_row, "row 3 is not finite"),
        (lambda folder: np.save(folder / "in.npy", np.zeros((900, 7), np.float32)), "7 columns"),
        (lambda folder: np.save(folder / "in.npy", np.zeros(900, np.float32)), "rows x dim"),
        (lambda folder: (folder / "in.npy").write_bytes(b"junk"), "not a readable array"),
        (lambda folder: (folder / "L1.npy").unlink(), "not a readable array"),
        (lambda folder: (folder / "index.csv").write_text(""), "not a readable CSV"),
        (
            lambda folder: (folder / "index.csv").write_text(
                (folder / "index.csv").read_text().replace(",0,", ",x,", 1)
            ),
            "not whole numbers",
        ),
    ],
)
def test_a_spoilt_folder_is_one_line(
    spoil: Callable[[Path], object],
    found: str,
    features: StoredFeatures,
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    write_features(features, corpus, tmp_path, "none")
    ExportedFeatures(tmp_path, corpus, CPU)
    spoil(tmp_path)
    with pytest.raises(UserError, match=found):
        ExportedFeatures(tmp_path, corpus, CPU)
