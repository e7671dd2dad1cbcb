"""Features as probes and analyses read them from a complete cache entry."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.cache import Entry
from probe_bench.encoder import Layer
from probe_bench.residency import Residency

__all__ = ["StoredFeatures"]


class StoredFeatures:
    """The `Features` of one encoder on one corpus, read from the cache.

    Args:
        encoder: Name for messages and rows.
        layers: The encoder's layers.
        entry: A complete entry.
        shards: Clip indices of each shard, as planned.
        residency: Keeps what was read near the device.
    """

    def __init__(
        self,
        *,
        encoder: str,
        layers: tuple[Layer, ...],
        entry: Entry,
        shards: Sequence[Sequence[int]],
        residency: Residency,
    ) -> None:
        self.encoder = encoder
        self.layers = layers
        self._entry = entry
        self._residency = residency
        order = torch.tensor([clip for shard in shards for clip in shard])
        self._position = torch.argsort(order)  # corpus index -> place in the shards
        self._shard_of = np.repeat(np.arange(len(shards)), [len(s) for s in shards])
        self._first = np.cumsum([0] + [len(s) for s in shards])
        self._n_frames: dict[int, Int[np.ndarray, " clips"]] = {}

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames, side by side (2 * dim)."""
        return self._all("pooled", layer)[self._position.to(self._residency.device)]

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip."""
        return torch.from_numpy(self._counts(layer))[self._position]

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, float32, one `frames dim` tensor a clip."""
        return [self._clip(layer, int(self._position[clip])).float() for clip in clips]

    def reading_order(self, clips: Sequence[int]) -> Int[np.ndarray, " clips"]:
        """Order of some clips in which each shard is read once."""
        return np.argsort(self._position[torch.as_tensor(clips)].numpy(), kind="stable")

    def pooled_of(self, layer: int, clips: Sequence[int]) -> Float[Tensor, "clips stats"]:
        """Pooled statistics of some clips only."""
        places = self._position[torch.as_tensor(clips)].numpy()
        rows = [
            self._tensor("pooled", layer, int(self._shard_of[p]))[
                int(p - self._first[self._shard_of[p]])
            ]
            for p in places
        ]
        return torch.stack(rows)

    def _clip(self, layer: int, place: int) -> Tensor:
        """Return one clip's frames as stored."""
        shard = int(self._shard_of[place])
        counts = self._counts(layer)
        start = int(counts[self._first[shard] : place].sum())
        return self._tensor("frames", layer, shard)[start : start + int(counts[place])]

    def _counts(self, layer: int) -> Int[np.ndarray, " clips"]:
        """Frames of every clip in the order of the shards, read once."""
        if layer not in self._n_frames:
            name = f"{self.layers[layer].name}.n_frames"
            self._n_frames[layer] = np.array(
                [n for s in range(self._entry.shards) for n in self._entry.read(s, name).tolist()]
            )
        return self._n_frames[layer]

    def _all(self, what: str, layer: int) -> Tensor:
        """Join one tensor over all shards."""
        return torch.cat([self._tensor(what, layer, s) for s in range(self._entry.shards)])

    def _tensor(self, what: str, layer: int, shard: int) -> Tensor:
        """Read one tensor of one shard, from memory where it is held."""
        name = f"{self.layers[layer].name}.{what}"
        key = (self._entry.folder.name, shard, name)

        def load() -> Tensor:
            tensor = self._entry.read(shard, name)
            # A shard stays mapped as long as any tensor of it is held: not for a few numbers each.
            return tensor if what == "frames" else tensor.clone()

        return self._residency.get(key, load)
