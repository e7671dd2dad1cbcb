"""Features in a plain folder: what `embed` writes and `features:FOLDER` reads.

Layout:
    `index.csv`: one line a clip: `clip`, the corpus's labels and splits for reference, and the rows
    of the clip in every layer's array as `start`, `stop`. A layer with another frame rate than the
    first has its own `start.LAYER`, `stop.LAYER`.
    `LAYER.npy`: float32, `rows x dim`.
    `layers.json`: layers in order with `dim`, `depth`, `frame_rate_hz` and `first_frame_s` (exact
    fractions as text), the encoder's name, and `pool`: `none`, `mean` or `meanstd`. A folder
    without it holds one row a clip, in the order of `index.csv` where that has no `start` and
    `stop`, and its layers are in the order of their file names.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.errors import UserError
from probe_bench.features import Features
from probe_bench.folders import make_folder

__all__ = ["ExportedFeatures", "Pool", "write_features"]

Pool = Literal["none", "mean", "meanstd"]
_ROWS_AT_ONCE = 1 << 16


def write_features(features: Features, corpus: Corpus, folder: Path, pool: Pool) -> None:
    """Write the features of a corpus as `index.csv`, `LAYER.npy` and `layers.json`.

    Args:
        features: Features of every clip of the corpus.
        corpus: The corpus, in the same order.
        folder: Made if it is not there.
        pool: `none` writes all frames; `mean` and `meanstd` one row a clip.
    """
    make_folder(folder)
    index = pd.DataFrame([_labels(clip) for clip in corpus])
    counts = {i: _rows_of(features, i, pool) for i in range(len(features.layers))}
    for i, layer in enumerate(features.layers):
        stop = np.cumsum(counts[i])
        if i == 0 or not np.array_equal(counts[i], counts[0]):
            suffix = f".{layer.name}" if i else ""
            index[f"start{suffix}"], index[f"stop{suffix}"] = stop - counts[i], stop
        _write_layer(features, i, folder / f"{layer.name}.npy", int(stop[-1]), pool)
    index.to_csv(folder / "index.csv", index=False, lineterminator="\n")
    layers = [asdict(layer) for layer in features.layers]
    record = {"encoder": features.encoder, "pool": pool, "layers": layers}
    (folder / "layers.json").write_text(json.dumps(record, indent=1, default=str) + "\n")


def _labels(clip: Clip) -> dict[str, str]:
    """Return the columns of `index.csv` that describe a clip."""
    tags = {} if clip.tags is None else {"tags": ";".join(clip.tags)}
    splits = {f"split_{task}": part for task, part in clip.splits.items()}
    return {"clip": clip.id, **dict(clip.labels), **tags, **splits}


def _rows_of(features: Features, layer: int, pool: Pool) -> Int[np.ndarray, " clips"]:
    """Return the number of rows that each clip takes in a layer's array."""
    counts = features.n_frames(layer).numpy()
    return counts if pool == "none" else np.ones_like(counts)


def _write_layer(features: Features, layer: int, path: Path, rows: int, pool: Pool) -> None:
    """Write one layer's array clip by clip, so memory does not grow with the corpus."""
    dim = features.layers[layer].dim
    if pool != "none":
        np.save(path, features.pooled(layer)[:, : dim if pool == "mean" else None].cpu().numpy())
        return
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, dim))
    start = 0
    for clip in range(len(features.n_frames(layer))):
        (frames,) = features.frames(layer, [clip])
        array[start : start + len(frames)] = frames.cpu().numpy()
        start += len(frames)
    array.flush()


class ExportedFeatures:
    """The `Features` of a corpus, read from a folder that `embed` or anything else wrote.

    Args:
        folder: As described above.
        corpus: Every clip of it must be in `index.csv`, by its id.
        device: Where features are wanted.

    Raises:
        UserError: If a file, a clip or a column is missing, or arrays do not match the index.
    """

    def __init__(self, folder: Path, corpus: Corpus, device: torch.device) -> None:
        self.encoder = f"features:{folder.name}"
        self._folder, self._device = folder, device
        self.layers, self._pool = read_layers(folder)
        index = _read_index(folder / "index.csv", corpus, rows_are_clips=not self.has_frames)
        self._spans = [_spans(index, layer.name, folder) for layer in self.layers]
        self._arrays = [_read_array(folder, layer, self._pool) for layer in self.layers]
        for layer, spans, array in zip(self.layers, self._spans, self._arrays, strict=True):
            self._check_spans(folder / f"{layer.name}.npy", spans, len(array))

    def _check_spans(self, path: Path, spans: Int[np.ndarray, "clips 2"], n_rows: int) -> None:
        """Refuse row ranges that the array does not have, or that are not one row a clip."""
        lengths = spans[:, 1] - spans[:, 0]
        if spans.max() > n_rows or spans.min() < 0 or lengths.min() < 1:
            raise UserError(
                f"{path}: {n_rows} rows, but index.csv names rows {spans.min()} to {spans.max()}, "
                f"the fewest of a clip {lengths.min()}; write both again"
            )
        if not self.has_frames and lengths.max() > 1:
            raise UserError(
                f"{path}: a clip has {lengths.max()} rows where one vector a clip is expected; "
                "frames need a layers.json with their times, as `embed` writes it"
            )

    @property
    def has_frames(self) -> bool:
        """Whether frames with known times are there."""
        return self._pool == "none"

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """One vector a clip: the stored one, or mean and std over the stored frames."""
        return self.pooled_of(layer, range(len(self._spans[layer])))

    def reading_order(self, clips: Sequence[int]) -> Int[np.ndarray, " clips"]:
        """Order of some clips in which the arrays are read from front to back."""
        return np.argsort(self._spans[0][np.asarray(clips), 0], kind="stable")

    def pooled_of(self, layer: int, clips: Sequence[int]) -> Float[Tensor, "clips stats"]:
        """As `pooled`, of some clips only."""
        if not self.has_frames:
            return torch.cat(self.frames(layer, clips))
        parts = (self.frames(layer, [clip])[0] for clip in clips)
        stats = (torch.std_mean(frames, dim=0, correction=0) for frames in parts)
        return torch.stack([torch.cat([mean, std]) for std, mean in stats])

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip."""
        return torch.from_numpy(self._spans[layer][:, 1] - self._spans[layer][:, 0])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, one `frames dim` tensor a clip."""
        spans, array = self._spans[layer], self._arrays[layer]
        rows = (np.array(array[slice(*spans[clip])], dtype=np.float32) for clip in clips)
        return [torch.from_numpy(r).to(self._device) for r in rows]


def read_layers(folder: Path) -> tuple[tuple[Layer, ...], Pool]:
    """Read the layers of a features folder and how they were pooled."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected features as `embed` writes them")
    path = folder / "layers.json"
    arrays = sorted(folder.glob("*.npy"))
    if not arrays or not (folder / "index.csv").exists():
        raise UserError(
            f"{folder}: no index.csv and LAYER.npy found; expected the layout that `embed` writes"
        )
    if not path.exists():
        return _unnamed_layers(arrays), "mean"
    try:
        record = json.loads(path.read_text())
        layers = tuple(_layer(fields) for fields in record["layers"])
        pool: Pool = record["pool"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a layers.json as `embed` writes it ({error!r})") from error
    if not layers:
        raise UserError(f"{path}: no layers; expected one for each LAYER.npy")
    if pool not in get_args(Pool):
        raise UserError(f"{path}: pool {pool!r}; expected one of {', '.join(get_args(Pool))}")
    return layers, pool


def fingerprint_of(folder: Path) -> str:
    """Return a digest of everything in a features folder that decides a number; reads all of it."""
    total = hashlib.sha256()
    files = (folder / "index.csv", *sorted(folder.glob("*.npy")), folder / "layers.json")
    for file in files:
        if file.exists():
            with file.open("rb") as content:
                total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


def _layer(fields: dict[str, Any]) -> Layer:
    """Read one layer back from JSON."""
    exact = {name: Fraction(fields[name]) for name in ("frame_rate_hz", "first_frame_s")}
    return Layer(name=fields["name"], dim=fields["dim"], depth=fields["depth"], **exact)


def _unnamed_layers(arrays: list[Path]) -> tuple[Layer, ...]:
    """Make layers of bare arrays: one row a clip, depth by order of name."""
    return tuple(
        Layer(
            name=path.stem,
            dim=_open_array(path).shape[1],
            depth=i / max(1, len(arrays) - 1),
            frame_rate_hz=Fraction(0),
            first_frame_s=Fraction(0),
        )
        for i, path in enumerate(arrays)
    )


def _open_array(path: Path) -> Float[np.ndarray, "rows dim"]:
    """Map an array of rows into memory."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable array ({error}); write it again") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise UserError(
            f"{path}: {array.dtype} of shape {array.shape}; expected floating-point rows x dim"
        )
    return array  # type: ignore[no-any-return]


def _read_array(folder: Path, layer: Layer, pool: Pool) -> Float[np.ndarray, "rows dim"]:
    """Open one layer's array and refuse another width than stated, and numbers that are none."""
    path = folder / f"{layer.name}.npy"
    array = _open_array(path)
    width = 2 * layer.dim if pool == "meanstd" else layer.dim
    if array.shape[1] != width:
        raise UserError(f"{path}: {array.shape[1]} columns; expected {width} by layers.json")
    for start in range(0, len(array), _ROWS_AT_ONCE):
        bad = np.flatnonzero(~np.isfinite(array[start : start + _ROWS_AT_ONCE]).all(1))
        if len(bad):
            raise UserError(f"{path}: row {start + bad[0]} is not finite; compute it again")
    return array


def _read_index(path: Path, corpus: Corpus, *, rows_are_clips: bool) -> pd.DataFrame:
    """Read `index.csv` in the order of the corpus; without row ranges, line k names row k."""
    try:
        index = pd.read_csv(path, dtype={"clip": str})
    except (OSError, ValueError) as error:  # what pandas raises are ValueErrors
        raise UserError(f"{path}: not a readable CSV ({error}); write it again") from error
    if "clip" not in index or index["clip"].duplicated().any():
        raise UserError(f"{path}: needs a column `clip` with one line a clip")
    if rows_are_clips and "start" not in index:
        index["start"] = np.arange(len(index))
        index["stop"] = index["start"] + 1
    index = index.set_index("clip")
    missing = [clip.id for clip in corpus if clip.id not in index.index]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(corpus)} clips of corpus {corpus.name} are missing, first "
            f"{missing[0]!r}; embed the whole corpus, or use --limit as it was embedded"
        )
    return index.loc[[clip.id for clip in corpus]]


def _spans(index: pd.DataFrame, layer: str, folder: Path) -> Int[np.ndarray, "clips 2"]:
    """Return the first row and the row after the last of every clip in a layer's array."""
    own = [f"start.{layer}", f"stop.{layer}"]
    columns = own if own[0] in index else ["start", "stop"]
    if not set(columns) <= set(index.columns):
        raise UserError(f"{folder / 'index.csv'}: columns start and stop are missing")
    try:
        return index[columns].to_numpy(dtype=np.int64)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{folder / 'index.csv'}: columns {' and '.join(columns)} are not whole numbers ({error})"
        ) from error
