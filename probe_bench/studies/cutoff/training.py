"""One training of a study: pretrain it, measure it, and leave both in its folder. Each resumes."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from probe_bench.config import RunConfig
from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.checkpoint import Checkpoint
from probe_bench.encoders.pretraining.data.sources import Source
from probe_bench.encoders.pretraining.pretrain import CHECKPOINT, TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.resume import refuse_another
from probe_bench.encoders.pretraining.trainer import Trainer
from probe_bench.reports.cutoff_data import TASKS
from probe_bench.run import run
from probe_bench.studies.cutoff.knobs import Knobs
from probe_bench.studies.cutoff.scales import Scale, recipe_of

__all__ = ["MEASURED", "TASKS", "Training"]

MEASURED = "run"
_MONITOR_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Training:
    """One setting with one seed.

    Attributes:
        knobs: The setting.
        seed: Of weights, crops and masks.
        scale: Size of the study.
        root: Where trainings of all studies stand.
        audio: Names of the corpora that its audio is made of.
    """

    knobs: Knobs
    seed: int
    scale: Scale
    root: Path
    audio: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it stands; studies that share a setting share the training."""
        return self.root / f"{self.knobs.slug}-seed{self.seed}"

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        return recipe_of(self.knobs, self.scale)

    @property
    def results(self) -> Path:
        """What was measured."""
        return self.folder / MEASURED / "results.csv"

    def refuse_another(self) -> None:
        """Refuse a folder that holds a training of another recipe, before any work.

        Raises:
            CheckpointError: Names the first difference.
        """
        path = self.folder / CHECKPOINT
        if path.exists():
            found = checkpoints.read(path)
            wanted = dataclasses.replace(found, recipe=self.recipe, corpora=self.audio)
            refuse_another(found, wanted, path)

    def pretrain(self, source: Source, device: str) -> Path:
        """Train it, or go on; without training, write the weights that training starts from."""
        options = TrainOptions(
            out=self.folder,
            seed=self.seed,
            device=device,
            monitor_every=max(1, self.scale.steps // _MONITOR_ROWS),
        )
        if self.knobs.trained:
            return train(self.recipe, source, options, corpora=self.audio)
        return self._untrained(source)

    def _untrained(self, source: Source) -> Path:
        model = Trainer.start(self.recipe, seed=self.seed, device="cpu").model
        start = Checkpoint(
            recipe=self.recipe,
            step=0,
            seed=self.seed,
            corpora=self.audio,
            audio_sha256=source.digest(),
            tensors=model.state_dict(),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CHECKPOINT
        if path.exists():
            refuse_another(checkpoints.read(path), start, path)
        checkpoints.write(start, path)
        return path

    def measure(self, config: RunConfig) -> None:
        """Measure it, unless that is done, by what a configuration says of corpora and cache."""
        wanted = dataclasses.replace(
            config,
            encoder=(str(self.folder / CHECKPOINT),),
            task=TASKS,
            analysis=("modulation",),
            diagnostic=("none",),
            degrade=("none",),
            baselines=False,
            controls=False,
            limit=self.scale.clips,
            train_frames=self.scale.train_frames,
            out=self.folder / MEASURED,
        )
        if not _is_done(wanted):
            run(wanted, Console(quiet=True))


def _is_done(config: RunConfig) -> bool:
    """Say whether a run's folder holds what the configuration asks for; its record is written last."""
    path = config.out / "run.json"
    if not path.exists():
        return False
    done = json.loads(path.read_text())["config"]
    asked = {"task": list(config.task), "corpus": list(config.corpus), "limit": config.limit}
    asked["train_frames"] = config.train_frames
    return all(done[name] == value for name, value in asked.items())
