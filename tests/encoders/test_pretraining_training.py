"""The training loop, resuming and checkpoints, for every bundled system."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.jepa import Jepa, MaskedBatch
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.masks import mask_of, select
from probe_bench.encoders.pretraining.masking.samplers import MultiMasks, PatchMasks
from probe_bench.encoders.pretraining.monitors import Row
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import Trainer, build_model

from .micro import SYSTEMS, TEACHERS, micro, wandering_tones

MASKED = [s for s in SYSTEMS if micro(s).masks is not None]


def _noise(samples: int, batch: int = 1) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


def _steps(recipe: Recipe, tape: Tape, n: int) -> tuple[Trainer, list[Row]]:
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    make = BatchMaker(recipe=recipe, source=tape, seed=0)
    return trainer, [trainer.step(step, make(step)) for step in range(n)]


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("system", SYSTEMS)
def test_interrupted_and_resumed_equals_uninterrupted(
    system: str, tmp_path: Path, tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = micro(system, steps=4)
    options = TrainOptions(out=tmp_path / "whole", checkpoint_every=2, monitor_every=1)
    whole = train(recipe, tape, options)
    options = dataclasses.replace(options, out=tmp_path / "parts")
    real_step = Trainer.step

    def step(self: Trainer, step: int, batch: MaskedBatch, *, monitored: bool = False) -> Row:
        if step == 3:  # the last checkpoint was written after step 2, a row of the log after 3
            raise KilledError
        return real_step(self, step, batch, monitored=monitored)

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(KilledError):
        train(recipe, tape, options)
    monkeypatch.undo()
    torch.manual_seed(99)  # the global generator decides nothing
    parts = train(recipe, tape, options)

    expected, got = load_file(whole), load_file(parts)
    assert expected.keys() == got.keys()
    assert any(name.startswith("optimiser.exp_avg_sq.") for name in got)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    logs = [(tmp_path / folder / "log.csv").read_text() for folder in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert [line.split(",")[0] for line in logs[0].splitlines()] == ["step", *"1234"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_batch_is_learnt_from_a_teacher_that_stands_still(system: str, tape: Tape) -> None:
    recipe = micro(system, steps=1000, batch_size=6)
    optimiser = dataclasses.replace(recipe.optimiser, lr=5e-4, warmup_fraction=0.0, clip_norm=5.0)
    still = recipe.teacher and dataclasses.replace(recipe.teacher, start=1.0, end=1.0)
    recipe = dataclasses.replace(recipe, optimiser=optimiser, teacher=still)
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    batch = BatchMaker(recipe=recipe, source=tape, seed=0)(0)
    rows = [trainer.step(step, batch, monitored=step == 19) for step in range(20)]
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert float(rows[-1]["rank_encoder"]) > 3


@pytest.mark.parametrize("system", SYSTEMS)
def test_gradient_reaches_all_but_the_teacher(system: str, tape: Tape) -> None:
    recipe = micro(system)
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    make = BatchMaker(recipe=recipe, source=tape, seed=0)
    for step in range(3):
        trainer.step(step, make(step))
    known = {id(p) for group in trainer.optimiser.param_groups for p in group["params"]}
    for name, parameter in trainer.model.named_parameters():
        assert not torch.equal(parameter, before[name]), name
        if name.startswith("teacher."):
            assert parameter.grad is None
            assert id(parameter) not in known
        else:
            assert parameter.grad is not None, name
            assert id(parameter) in known


@pytest.mark.parametrize("system", TEACHERS)
def test_teacher_moves_by_the_average_alone(system: str, tape: Tape) -> None:
    recipe = micro(system)
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    make = BatchMaker(recipe=recipe, source=tape, seed=0)
    assert isinstance(trainer.model, Jepa)
    assert recipe.teacher is not None
    student: torch.nn.Module = trainer.model.encoder
    if recipe.teacher.covers == "transformer":
        student = trainer.model.encoder.transformer
    for step in range(2):
        old = {n: p.detach().double() for n, p in trainer.model.teacher.named_parameters()}
        rate = float(trainer.step(step, make(step))["ema"])
        new = dict(student.named_parameters())
        for name, moved in trainer.model.teacher.named_parameters():
            expected = rate * old[name] + (1 - rate) * new[name].detach().double()
            torch.testing.assert_close(moved.double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("system", MASKED)
def test_padding_changes_no_prediction(system: str) -> None:
    """Rows with many tokens force padding onto rows with few; the few must not notice."""
    recipe = micro(system, regulariser=None)
    model = build_model(recipe, 0).eval()
    waveform = _noise(recipe.crop_samples, batch=2)
    n = recipe.grid.tokens
    context = torch.zeros(2, n, dtype=torch.bool)
    targets = torch.zeros(2, 1, n, dtype=torch.bool)
    context[0, :5] = context[1, :12] = True
    targets[0, 0, 15:17] = targets[1, 0, 15:21] = True

    def loss(rows: slice) -> Tensor:
        batch = MaskedBatch(
            waveform=waveform[rows],
            visible=context[rows],
            context=select(context[rows]),
            targets=select(targets[rows]),
        )
        return model(batch).loss  # type: ignore[no-any-return]

    both, first, second = loss(slice(0, 2)), loss(slice(0, 1)), loss(slice(1, 2))
    torch.testing.assert_close(both, (2 * first + 6 * second) / 8, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("system", [s for s in MASKED if micro(s).hiding != "after_encoder"])
def test_hidden_tokens_change_no_prediction(system: str) -> None:
    """The context encoder must not see what is predicted."""
    recipe = micro(system, regulariser=None, teacher=None, augment=None)
    model = build_model(dataclasses.replace(recipe, export="student"), 0).eval()
    assert isinstance(model, Jepa)
    n = recipe.grid.tokens
    visible = torch.zeros(1, n, dtype=torch.bool)
    visible[:, : n // 2] = True
    batch = MaskedBatch(
        waveform=_noise(recipe.crop_samples),
        visible=visible,
        context=select(visible),
        targets=select(~visible[:, None]),
    )
    generator = torch.Generator().manual_seed(1)
    tokens, change = torch.randn(2, 1, n, recipe.encoder.dim, generator=generator)
    hidden, seen = (~visible[..., None] * change, visible[..., None] * change)
    inputs = (tokens, tokens + hidden, tokens + seen)
    a, b, c = (model._predict(model._encode(x, batch), batch) for x in inputs)
    torch.testing.assert_close(a, b)
    assert (a - c).abs().max() > 1e-3


def test_loss_reads_the_predicted_tokens_alone() -> None:
    recipe = micro("wavjepa", targets=TargetRule(top_k=2, normalisation="instance"))
    model = build_model(recipe, 0)
    assert isinstance(model, Jepa)
    make = BatchMaker(recipe=recipe, source=wandering_tones(6), seed=0)
    batch = make(0)
    assert isinstance(batch, MaskedBatch)
    with torch.no_grad():
        tokens = model.encoder.tokens(model.encoder.frontend.features(batch.waveform))
        outputs = model.teach(batch.waveform, tokens)
        wanted = model._wanted(outputs, batch.targets)
        predicted = model._predict(model._encode(tokens, batch), batch)
        loss = model(batch).loss
    # A slow loop: every group of every row decoded by itself, without any padding.
    mean = torch.stack([torch.nn.functional.layer_norm(x, x.shape[1:]) for x in outputs[-2:]])
    target = mean.mean(0)
    errors = []
    hidden = mask_of(batch.targets, recipe.grid.tokens)
    for row in range(len(batch.visible)):
        for group in range(hidden.shape[1]):
            one = MaskedBatch(
                waveform=batch.waveform[row : row + 1],
                visible=batch.visible[row : row + 1],
                context=select(batch.visible[row : row + 1]),
                targets=select(hidden[row : row + 1, group : group + 1]),
            )
            with torch.no_grad():
                guess = model._predict(model._encode(tokens[row : row + 1], one), one)
            errors.append((guess - target[row, hidden[row, group]]).square().mean(1))
    assert len(predicted) == len(wanted) == sum(map(len, errors))
    torch.testing.assert_close(loss, torch.cat(errors).mean(), rtol=1e-5, atol=1e-6)


def test_a_batch_without_targets_costs_nothing() -> None:
    recipe = micro("wavjepa")
    model = build_model(recipe, 0)
    visible = torch.ones(2, recipe.grid.tokens, dtype=torch.bool)
    batch = MaskedBatch(
        waveform=_noise(recipe.crop_samples, batch=2),
        visible=visible,
        context=select(visible),
        targets=select(~visible[:, None].expand(-1, 3, -1)),
    )
    loss = model(batch).loss
    assert loss == 0
    loss.backward()


def test_several_masks_of_a_clip_share_its_targets(tape: Tape) -> None:
    sampler = MultiMasks(samplers=(PatchMasks(low=0.2, high=0.2), PatchMasks(low=0.7, high=0.7)))
    recipe = micro("audio-jepa", masks=sampler, targets=micro("ijepa").targets)
    batch = BatchMaker(recipe=recipe, source=tape, seed=0)(0)
    assert isinstance(batch, MaskedBatch)
    assert (len(batch.waveform), len(batch.visible)) == (4, 8)
    model = build_model(recipe, 0)

    def loss(rows: slice) -> Tensor:
        visible, hidden = batch.visible[rows], mask_of(batch.targets, recipe.grid.tokens)[rows]
        part = MaskedBatch(
            waveform=batch.waveform,
            visible=visible,
            context=select(visible),
            targets=select(hidden),
        )
        return model(part).loss  # type: ignore[no-any-return]

    n = [int((~batch.visible[rows]).sum()) for rows in (slice(0, 4), slice(4, 8))]
    expected = (n[0] * loss(slice(0, 4)) + n[1] * loss(slice(4, 8))) / sum(n)
    torch.testing.assert_close(model(batch).loss, expected, rtol=1e-4, atol=1e-5)


def test_dropped_keys_are_drawn_in_training_only() -> None:
    shape = TransformerShape(dim=16, depth=2, heads=2, key_drop=0.5)
    module = shape.build()
    x = torch.randn(2, 12, 16)
    plain = dataclasses.replace(shape, key_drop=0.0).build()
    plain.load_state_dict(module.state_dict())
    for a, b in zip(module.eval()(x), plain(x), strict=True):
        assert torch.equal(a, b)
    module.train()
    torch.manual_seed(0)
    one, two = module(x)[-1], module(x)[-1]
    assert not torch.allclose(one, two)
    everything = dataclasses.replace(shape, key_drop=0.99).build()
    short = torch.arange(12) < torch.tensor([[2], [12]])
    for _ in range(20):  # a clip that would lose every key keeps them
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.isfinite(everything(x)[-1]).all()
            assert torch.isfinite(everything(x, short)[-1]).all()


def test_dropped_keys_are_the_stated_share_and_never_padding() -> None:
    module = TransformerShape(dim=16, depth=1, heads=2, key_drop=0.1).build()
    valid = torch.ones(50, 200, dtype=torch.bool)
    valid[:, 100:] = False
    torch.manual_seed(0)
    keys = module._keys(torch.zeros(50, 200, 16), valid)
    assert keys is not None
    assert keys[..., 100:].sum() == 0
    assert keys[..., :100].float().mean().item() == pytest.approx(0.9, abs=0.01)


def test_the_teacher_drops_no_keys(tape: Tape) -> None:
    recipe = micro("a-jepa")
    assert isinstance(recipe.encoder, TransformerShape)
    assert recipe.encoder.key_drop > 0
    trainer, _ = _steps(recipe, tape, 1)
    make = BatchMaker(recipe=recipe, source=tape, seed=0)
    trainer.step(1, make(1), monitored=True)
    batch = make(2)
    assert isinstance(trainer.model, Jepa)
    assert trainer.model.encoder.training
    encoder = trainer.model.encoder
    tokens = encoder.tokens(encoder.frontend.features(batch.waveform))
    one, two = (trainer.model.teach(batch.waveform, tokens)[-1] for _ in range(2))
    assert torch.equal(one, two)


def test_weight_decay_spares_vectors_unless_all_decay() -> None:
    for decay_all in (False, True):
        rule = dataclasses.replace(
            micro("wavjepa").optimiser, decay_all=decay_all, weight_decay=0.1, weight_decay_end=0.3
        )
        trainer = Trainer.start(micro("wavjepa", optimiser=rule), seed=0, device="cpu")
        rule.set(trainer.optimiser, 50, 100)
        decays = {
            p.ndim >= 2: group["weight_decay"]
            for group in trainer.optimiser.param_groups
            for p in group["params"]
        }
        assert decays == pytest.approx({True: 0.2, False: 0.2 if decay_all else 0.0})


def test_gradients_are_clipped_at_the_stated_norm(tape: Tape) -> None:
    rule = dataclasses.replace(micro("wavjepa").optimiser, clip_norm=1e-3)
    trainer, rows = _steps(micro("wavjepa", optimiser=rule), tape, 1)
    grads = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    assert torch.stack([g.norm() for g in grads]).norm().item() == pytest.approx(1e-3, rel=1e-3)
    assert float(rows[0]["grad_norm"]) > 0.1  # what is logged is the norm before clipping


def test_bfloat16_is_for_the_forward_pass_alone(tape: Tape) -> None:
    for system in ("wavjepa", "glas-jepa", "lpjepa"):
        trainer, rows = _steps(micro(system, precision="bfloat16"), tape, 2)
        assert np.isfinite([float(row["loss"]) for row in rows]).all()
        assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
        _, full = _steps(micro(system), tape, 1)
        assert rows[0]["prediction"] == pytest.approx(full[0]["prediction"], rel=0.05)


class SignTargets(TargetRule):
    """A target rule from outside."""

    def build(self, outputs: Sequence[Tensor]) -> Tensor:
        """Signs of the last block."""
        return outputs[-1].float().sign()


def test_a_target_rule_of_ones_own_is_used(tape: Tape) -> None:
    recipe = micro("audio-jepa")
    own = dataclasses.replace(recipe, targets=SignTargets())
    (_, [plain]), (_, [signs]) = (_steps(r, tape, 1) for r in (recipe, own))
    assert 0.5 < float(signs["prediction"]) < 2
    assert signs["prediction"] != plain["prediction"]


def test_seed_decides_the_initialisation_and_leaves_the_global_generator() -> None:
    recipe = micro("wavjepa")
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, two, other = (build_model(recipe, seed).encoder.state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    name = "transformer.blocks.0.qkv.weight"
    assert torch.equal(one[name], two[name])
    assert not torch.equal(one[name], other[name])


def test_training_leaves_the_global_generators_alone(tmp_path: Path, tape: Tape) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    train(micro("a-jepa", steps=1), tape, TrainOptions(out=tmp_path))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # type: ignore[index] # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("system", ["wavjepa", "glas-jepa", "lejepa"])
def test_compiled_training_is_the_same_training(system: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.encoders.compiled", system],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plain, compiled = json.loads(done.stdout)
    assert len(plain) == 4
    assert compiled == pytest.approx(plain, rel=1e-3)
