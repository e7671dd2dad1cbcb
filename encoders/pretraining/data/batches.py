"""Batches as pure functions of (seed, step): what makes resuming exact and loading parallel."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.data.sources import Source, plan
from probe_bench.encoders.pretraining.jepa import MaskedBatch
from probe_bench.encoders.pretraining.losses.views import cut_views
from probe_bench.encoders.pretraining.masking.masks import Masks, select
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.errors import UserError

__all__ = ["BatchMaker", "seed_of"]

# Streams of random numbers of one step beside the first, which draws crops and masks.
_BACKGROUND, _PLACES, _SCENES = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class BatchMaker:
    """Draws a process's share of every step's batch.

    Everything is drawn for the whole batch, or for a clip by its number in it, and shared out
    afterwards: N processes together see exactly what one process would.

    Attributes:
        recipe: What is trained.
        source: Training audio.
        seed: Of crops, masks, views and augmentation.
        rank: Number of this process.
        world: Number of processes.
    """

    recipe: Recipe
    source: Source
    seed: int
    rank: int = 0
    world: int = 1

    def __call__(self, step: int) -> MaskedBatch | ViewBatch:
        """Make the batch of one step."""
        rng = np.random.default_rng((self.seed, step))
        waveform = self._crops(step, rng)
        if self.recipe.views is not None:
            views = cut_views(waveform, self.recipe.views, self._clip_rngs(step, _PLACES))
            augmented = [self._augment(view, step, number) for number, view in enumerate(views)]
            return ViewBatch(waveform=waveform, views=augmented)
        masks = self._masks(step, rng)
        return MaskedBatch(
            waveform=self._augment(waveform, step, 0),
            visible=masks.context,
            context=select(masks.context),
            targets=select(masks.targets),
        )

    @property
    def _mine(self) -> slice:
        """Contiguous, so that crops of one clip stay together and are decoded once."""
        share = self.recipe.batch_size // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    def _crops(self, step: int, rng: np.random.Generator, shift: int = 0) -> Tensor:
        """Read this process's crops, each clip's from the one that stands `shift` further on."""
        rule = self.recipe.crops
        cuts = plan(self.source, rule, seed=self.seed, step=step, rng=rng, shift=shift)
        return self.source.read(cuts[self._mine], rule.crop_samples)

    def _masks(self, step: int, rng: np.random.Generator) -> Masks:
        recipe = self.recipe
        assert recipe.masks is not None
        masks = recipe.masks.sample(
            recipe.batch_size, recipe.grid, rng, progress=step / recipe.steps
        )
        _refuse_senseless(masks, recipe)
        # Rows hold all clips once for every copy: each copy is shared out by itself.
        context = masks.context.view(-1, recipe.batch_size, recipe.grid.tokens)[:, self._mine]
        targets = masks.targets.view(-1, recipe.batch_size, *masks.targets.shape[1:])[:, self._mine]
        return Masks(context=context.flatten(0, 1), targets=targets.flatten(0, 1))

    def _augment(self, waveform: Tensor, step: int, view: int) -> Tensor:
        augment = self.recipe.augment
        if augment is None:
            return waveform
        background = None
        if augment.snr_db is not None:
            rng = np.random.default_rng((self.seed, step, _BACKGROUND, view))
            # Sources that keep an order give a turn's clip again: the background is a neighbour's.
            others = max(self.recipe.crops.clips - 1, 1)
            background = self._crops(step, rng, shift=1 + view % others)
            background = background[:, : waveform.shape[1]]
        rngs = self._clip_rngs(step, _SCENES + view)
        return augment.apply(waveform, background, self.recipe.sample_rate_hz, rngs)

    def _clip_rngs(self, step: int, stream: int) -> list[np.random.Generator]:
        clips = range(self.recipe.batch_size)[self._mine]
        return [np.random.default_rng((self.seed, step, stream, clip)) for clip in clips]


def _refuse_senseless(masks: Masks, recipe: Recipe) -> None:
    """Refuse masks that no training can use, whoever's sampler drew them."""
    rows, tokens = masks.context.shape
    if rows % recipe.batch_size or tokens != recipe.grid.tokens:
        problem = f"{rows} rows of {tokens} tokens; expected copies of {recipe.batch_size} rows of "
        problem += f"{recipe.grid.tokens} tokens"
    elif not masks.context.any(1).all():
        problem = "a clip without a visible token; hide less"
    elif (masks.targets & masks.context[:, None]).any():
        problem = "a visible token is a target; hide what is predicted"
    else:
        return
    raise UserError(f"{type(recipe.masks).__name__} drew {problem}")


def seed_of(seed: int, step: int, rank: int) -> int:
    """Return the seed of what torch draws in one step on one process (directions, dropped keys)."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)
