"""Probes during pretraining: watch speakers and phonemes appear, layer by layer."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from probe_bench.cache import Cache, default_root
from probe_bench.config import PretrainConfig, RunConfig
from probe_bench.run import run

__all__ = ["StepProbes"]


@dataclass(frozen=True, kw_only=True)
class StepProbes:
    """Runs the suite's own probes on the encoder of a step; the rows gather in `probes.csv`.

    Attributes:
        config: Of the pretraining.
    """

    config: PretrainConfig

    def measure(self, checkpoint: Path, step: int) -> None:
        """Probe every layer of a checkpoint, without baselines."""
        config, folder = self.config, self.config.out / "probes" / f"step-{step}"
        run(
            RunConfig(
                encoder=(str(checkpoint),),
                task=config.probe_task,
                analysis=("none",),
                diagnostic=("none",),
                degrade=("none",),
                baselines=False,
                seed=config.seed,
                device=config.device,
                limit=config.probe_limit,
                cache=config.cache,
                out=folder,
            ),
            Console(quiet=True),
        )
        self._forget(folder)
        rows = pd.read_csv(folder / "results.csv")
        rows.insert(0, "step", step)
        self._append(rows, step)

    def _forget(self, folder: Path) -> None:
        """Drop the features of this step: the next run asks for another step's."""
        store = Cache(self.config.cache or default_root())
        for encoder in json.loads((folder / "run.json").read_text())["encoders"]:
            store.forget(encoder["fingerprint"])

    def _append(self, rows: pd.DataFrame, step: int) -> None:
        """Put the rows of a step in the place of earlier ones of that step or later."""
        path = self.config.out / "probes.csv"
        if path.exists():
            before = pd.read_csv(path)
            rows = pd.concat([before[before["step"] < step], rows])
        rows.to_csv(path, index=False)
