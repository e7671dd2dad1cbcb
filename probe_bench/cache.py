"""The feature cache: content-addressed entries of checksummed safetensors shards.

An entry is a folder named by the sha256 of its key: everything that decides what is in it (encoder
fingerprint, corpus digest, layers, dtype, pooling, schema). The key stands beside the shards as
`key.json`. A shard is written under a temporary name and renamed, so whatever carries a shard's name
is whole; two processes filling one entry write the same bytes and do not hurt each other.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.errors import UserError
from probe_bench.folders import make_cached

__all__ = ["Cache", "DType", "Entry", "Key", "default_root", "tensor_digest"]

_SCHEMA = 2
_SIGN = "names.json"
DType = Literal["float16", "float32"]


def default_root() -> Path:
    """Return the platform's cache folder for probe-bench; respects XDG_CACHE_HOME."""
    return user_cache_path("probe-bench")


@dataclass(frozen=True, kw_only=True)
class Key:
    """Everything that decides the content of an entry.

    Attributes:
        encoder: Fingerprint of the encoder.
        corpus: Digest of the corpus.
        layers: The encoder's layers in order.
        dtype: Storage of frames; pooled statistics are always float32.
        frames: Whether frames are kept beside the pooled statistics.
        shards: Number of shards of a complete entry.
        degradation: What was done to the clips, empty if nothing was.
    """

    encoder: str
    corpus: str
    layers: tuple[Layer, ...]
    dtype: DType
    frames: bool
    shards: int
    degradation: str = ""

    def canonical(self) -> str:
        """Return the key as canonical JSON."""
        record: dict[str, Any] = asdict(self) | {"schema": _SCHEMA, "pooling": "mean+std"}
        if not self.degradation:
            del record["degradation"]  # clean entries keep the keys that they always had
        return json.dumps(record, sort_keys=True, separators=(",", ":"), default=_fraction)

    def digest(self) -> str:
        """Return the name of the entry."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One folder of shards."""

    folder: Path
    shards: int

    def shard_path(self, shard: int) -> Path:
        """Return where shard number `shard` lives."""
        return self.folder / f"shard-{shard:05d}.safetensors"

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not there yet."""
        return [shard for shard in range(self.shards) if not self.shard_path(shard).exists()]

    def write(self, shard: int, tensors: Mapping[str, Tensor]) -> None:
        """Write one shard, whole or not at all."""
        final = self.shard_path(shard)
        scratch = final.with_suffix(f".{os.getpid()}.tmp")
        held = {name: tensor.contiguous() for name, tensor in tensors.items()}
        try:
            save_file(held, scratch, metadata={"sha256": tensor_digest(held)})
            scratch.replace(final)
        finally:
            scratch.unlink(missing_ok=True)

    def read(self, shard: int, name: str) -> Tensor:
        """Read one tensor of a shard."""
        path = self.shard_path(shard)
        try:
            with safe_open(path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
                return tensor
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path}: damaged cache shard ({error}); run `probe-bench cache verify` to drop it"
            ) from error

    def verify(self) -> list[int]:
        """Return the numbers of the shards whose content does not match their checksum."""
        there = (shard for shard in range(self.shards) if self.shard_path(shard).exists())
        return [shard for shard in there if not _is_whole(self.shard_path(shard))]

    def sign(self, *, encoder: str, corpus: str) -> None:
        """Write for people what the entry holds; nothing depends on it."""
        path = self.folder / _SIGN
        if not path.exists():
            _write_whole(path, json.dumps({"encoder": encoder, "corpus": corpus}))

    def signed(self) -> Mapping[str, str]:
        """Return the names that the entry was made under, nothing if they are not known."""
        path = self.folder / _SIGN
        names: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return names

    def n_bytes(self) -> int:
        """Return the size on disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def describe(self) -> dict[str, Any]:
        """Return what `key.json` says."""
        record: dict[str, Any] = json.loads((self.folder / "key.json").read_text())
        return record


class Cache:
    """All entries under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.features = root / "features"

    def entry(self, key: Key) -> Entry:
        """Return the entry for `key`, made if it is not there."""
        folder = self.features / key.digest()
        if not (folder / "key.json").exists():
            make_cached(folder)
            _write_whole(folder / "key.json", key.canonical())
        return Entry(folder=folder, shards=key.shards)

    def holds(self, key: Key) -> bool:
        """Say whether the entry for `key` is complete."""
        entry = Entry(folder=self.features / key.digest(), shards=key.shards)
        return not entry.missing()

    def entries(self) -> Iterator[Entry]:
        """Yield every entry in a fixed order."""
        for path in sorted(self.features.glob("*/key.json")):
            try:
                shards = int(json.loads(path.read_text())["shards"])
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path}: damaged; remove the folder {path.parent}") from error
            yield Entry(folder=path.parent, shards=shards)

    def prune(self, *, everything: bool, degraded: bool = False) -> int:
        """Remove entries that are incomplete or of another schema, and more; return the bytes freed.

        Args:
            everything: Remove all entries.
            degraded: Remove those of degraded audio too.
        """
        freed = 0
        for entry in list(self.entries()):
            key = entry.describe()
            stale = entry.missing() or key["schema"] != _SCHEMA
            if everything or stale or (degraded and "degradation" in key):
                freed += entry.n_bytes()
                shutil.rmtree(entry.folder)
        return freed

    def forget(self, encoder: str) -> int:
        """Remove the entries of an encoder, by its fingerprint, and return the bytes freed."""
        freed = 0
        for entry in list(self.entries()):
            if entry.describe()["encoder"] == encoder:
                freed += entry.n_bytes()
                shutil.rmtree(entry.folder)
        return freed


def _write_whole(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(text)
    scratch.replace(path)


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, dtypes, shapes and bytes of tensors, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _is_whole(path: Path) -> bool:
    """Say whether a shard can be read and matches the checksum in its header."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return bool((file.metadata() or {}).get("sha256") == tensor_digest(tensors))
    except (OSError, SafetensorError):
        return False


def _fraction(value: object) -> str:
    """Write exact fractions as text."""
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(f"{value!r} does not belong into a cache key")
