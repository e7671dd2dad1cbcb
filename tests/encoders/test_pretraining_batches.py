"""Batches: functions of seed and step, shared out between processes, refused where they make no sense."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.data.augment import Augment
from probe_bench.encoders.pretraining.data.batches import BatchMaker, seed_of
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.data.tape import Tape, load_tape
from probe_bench.encoders.pretraining.jepa import MaskedBatch
from probe_bench.encoders.pretraining.masking.masks import Masks, mask_of
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.errors import CorpusError, UserError

from .micro import SYSTEMS, micro


@pytest.mark.parametrize("system", SYSTEMS)
def test_batches_depend_on_seed_and_step_alone(system: str, tape: Tape) -> None:
    maker = BatchMaker(recipe=micro(system), source=tape, seed=3)
    waveforms = [maker(7).waveform, maker(2).waveform, maker(7).waveform]
    assert torch.equal(waveforms[0], waveforms[2])
    assert not torch.equal(waveforms[0], waveforms[1])
    other = dataclasses.replace(maker, seed=4)(7).waveform
    assert not torch.equal(waveforms[0], other)


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("system", [*SYSTEMS, "vjepa"])
def test_processes_share_the_batch_of_one(system: str, world: int, tape: Tape) -> None:
    recipe = micro("ijepa", "vjepa-tiny") if system == "vjepa" else micro(system)
    noisy = Augment(gain_db=3.0, snr_db=(0.0, 10.0), rt60_s=(0.1, 0.2))
    if system in {"lejepa", "wavjepa"}:
        recipe = dataclasses.replace(recipe, augment=noisy)
    whole = BatchMaker(recipe=recipe, source=tape, seed=0)(5)
    parts = [
        BatchMaker(recipe=recipe, source=tape, seed=0, rank=rank, world=world)(5)
        for rank in range(world)
    ]
    assert torch.equal(torch.cat([part.waveform for part in parts]), whole.waveform)
    if isinstance(whole, ViewBatch):
        for n, view in enumerate(whole.views):
            assert torch.equal(torch.cat([p.views[n] for p in parts]), view)  # type: ignore[union-attr]
        return
    copies = len(whole.visible) // recipe.batch_size

    def rows(batch: MaskedBatch, *, targets: bool) -> Tensor:
        mask = mask_of(batch.targets, recipe.grid.tokens) if targets else batch.visible
        return mask.unflatten(0, (copies, -1))

    for targets in (False, True):
        shared = [rows(part, targets=targets) for part in parts]  # type: ignore[arg-type]
        assert torch.equal(torch.cat(shared, 1), rows(whole, targets=targets))


def test_seeds_of_steps_differ() -> None:
    seeds = {seed_of(n, step, rank) for n in range(10) for step in range(50) for rank in range(2)}
    assert len(seeds) == 1000
    assert min(seeds) >= 0


def test_crops_stay_on_the_tape_and_within_their_clip() -> None:
    tape = Tape(
        samples=np.arange(1000, dtype=np.int16),
        lengths=np.array([990, 10]),
    )
    rule = CropRule(batch=500, crop_samples=100)
    one, two = (
        tape.draw(np.arange(500), rule, seed=0, rng=np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)
    crops = tape.read(one, 100)
    steps = (crops * 32767).round().diff(dim=1)
    assert (steps == 1).all()
    assert (crops[:, 0] * 32767).round().max() <= 900


def test_too_little_audio_is_refused(make_corpus: Callable[..., Corpus]) -> None:
    with pytest.raises(CorpusError, match=r"0\.50 s of audio in all; expected at least one crop"):
        load_tape([make_corpus([0.5])], 16_000, 32_000)


def test_one_crop_is_no_batch(tape: Tape, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a batch of 1 over 1 processes; expected two crops"):
        train(micro("wavjepa", batch_size=1), tape, TrainOptions(out=tmp_path))


@dataclasses.dataclass(frozen=True)
class FixedMasks:
    """Always the same masks, sensible or not."""

    context: Tensor
    targets: Tensor

    def sample(self, *_: object, **__: object) -> Masks:
        """Give them."""
        return Masks(context=self.context, targets=self.targets)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("shape", r"drew 4 rows of 5 tokens; expected copies of 4 rows of \d+ tokens"),
        ("blind", "drew a clip without a visible token"),
        ("seen", "drew a visible token is a target"),
    ],
)
def test_senseless_masks_are_refused(fault: str, said: str, tape: Tape) -> None:
    recipe = micro("wavjepa")
    tokens = 5 if fault == "shape" else recipe.grid.tokens
    context = torch.zeros(4, tokens, dtype=torch.bool)
    context[:, 0] = True
    context[1, 0] = fault != "blind"
    targets = ~context[:, None]
    targets[2, 0, 0] = fault == "seen"
    recipe = dataclasses.replace(recipe, masks=FixedMasks(context, targets))
    with pytest.raises(UserError, match=said):
        BatchMaker(recipe=recipe, source=tape, seed=0)(0)


def test_a_batch_that_holds_no_whole_clips_is_refused(tmp_path: Path, tape: Tape) -> None:
    with pytest.raises(UserError, match=r"4 crops, 3 from each clip.*expected a multiple"):
        train(micro("wavjepa", crops_per_clip=3), tape, TrainOptions(out=tmp_path))
