"""`pretrain.json`: how a training was made, in enough detail to make it again."""

import json
import os
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from probe_bench.encoders.pretraining.checkpoint import Checkpoint
from probe_bench.encoders.pretraining.frontends.frontend import frame_rate_hz
from probe_bench.encoders.pretraining.gather import world_size
from probe_bench.encoders.pretraining.masking.masks import Masks
from probe_bench.encoders.pretraining.masking.statistics import mask_statistics
from probe_bench.encoders.pretraining.recipe import Recipe, to_json

__all__ = ["TrainingRecord", "realised_masks"]

_VERSIONS = ("probe-bench", "torch", "numpy")
_CLIPS = 500  # for the statistics: a hidden gap's share is then known to a percent


@dataclass(kw_only=True)
class TrainingRecord:
    """Recipe, audio, machine, realised masks, and the seconds so far.

    Attributes:
        path: Of `pretrain.json`.
        state: The training's checkpoint without its tensors.
        device: Where it runs.
        compiled: Whether blocks are compiled.
        masks: What the masks really hide.
        before_s: Seconds that earlier calls took.
        started_s: Clock at the start of this one.
    """

    path: Path
    state: Checkpoint
    device: str
    compiled: bool
    masks: dict[str, Any] | None
    before_s: float = 0.0
    started_s: float = field(default_factory=time.monotonic)

    @classmethod
    def open(
        cls, folder: Path, state: Checkpoint, *, device: str, compiled: bool, done: int
    ) -> "TrainingRecord":
        """Go on counting seconds where an earlier call stopped."""
        path = folder / "pretrain.json"
        before_s = json.loads(path.read_text())["seconds"] if done and path.exists() else 0.0
        return cls(
            path=path,
            state=state,
            device=device,
            compiled=compiled,
            masks=realised_masks(state.recipe),
            before_s=before_s,
        )

    def write(self, step: int) -> None:
        """Write what holds after `step` steps, atomically."""
        record = {
            "recipe": to_json(self.state.recipe),
            "step": step,
            "seed": self.state.seed,
            "corpora": list(self.state.corpora),
            "audio_sha256": self.state.audio_sha256,
            "masks": self.masks,
            "seconds": round(self.before_s + time.monotonic() - self.started_s, 1),
            "machine": {
                "device": self.device,
                "processes": world_size(),
                "threads": torch.get_num_threads(),
                "compiled": self.compiled,
                "platform": platform.platform(),
            },
            "versions": {"python": platform.python_version()} | {n: version(n) for n in _VERSIONS},
        }
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        temporary.replace(self.path)


def realised_masks(recipe: Recipe) -> dict[str, Any] | None:
    """Draw masks and say what they do: shares of tokens, and hidden gaps by their length in ms.

    Args:
        recipe: Whose masks; None is returned where there are none.
    """
    if recipe.masks is None:
        return None
    rng = np.random.default_rng(0)
    batch = min(recipe.batch_size, 8)  # samplers draw sizes for whole batches: many small ones
    batches = -(-_CLIPS // batch)
    draws = [
        recipe.masks.sample(batch, recipe.grid, rng, progress=(number + 0.5) / batches)
        for number in range(batches)
    ]
    rate_hz = float(frame_rate_hz(recipe.frontend, recipe.sample_rate_hz))
    groups = max(masks.targets.shape[1] for masks in draws)
    found = mask_statistics(
        torch.cat([masks.context for masks in draws]),
        torch.cat([_with_groups(masks, groups) for masks in draws]),
        recipe.grid,
        rate_hz,
    )
    return {
        "visible_fraction": round(found.visible_fraction, 4),
        "target_fraction": round(found.target_fraction, 4),
        "mean_hidden_gap_ms": round(found.hidden_run_ms, 1),
        "hidden_gaps_ms": {f"{length:.4g}": n for length, n in found.histogram_ms.items()},
    }


def _with_groups(masks: Masks, groups: int) -> torch.Tensor:
    """Fill up with empty groups, where a curriculum's samplers differ in their number."""
    rows, present, tokens = masks.targets.shape
    return torch.cat([masks.targets, torch.zeros(rows, groups - present, tokens).bool()], dim=1)
