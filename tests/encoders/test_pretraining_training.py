"""The training loop, resuming and checkpoints, for every bundled system."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.data.augment import Augment
from probe_bench.encoders.pretraining.data.batches import BatchMaker, seed_of
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.data.tape import Tape, load_tape
from probe_bench.encoders.pretraining.inference import load_encoder
from probe_bench.encoders.pretraining.jepa import Jepa, MaskedBatch
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.masks import Masks, mask_of, select
from probe_bench.encoders.pretraining.masking.samplers import MultiMasks, PatchMasks
from probe_bench.encoders.pretraining.monitors import Row
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import Trainer, build_model
from probe_bench.errors import CheckpointError, CorpusError, UserError

from .micro import SYSTEMS, TEACHERS, micro, wandering_tones

MASKED = [s for s in SYSTEMS if micro(s).masks is not None]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Models this small spend more on the second thread than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return wandering_tones()


@pytest.fixture
def trained(tmp_path: Path, tape: Tape) -> Path:
    return train(micro("wavjepa", steps=2), tape, TrainOptions(out=tmp_path / "trained"))


@pytest.fixture(scope="module")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory, tape: Tape) -> Callable[[str], Path]:
    """Return a function that gives a system's checkpoint after two steps, trained once."""
    done: dict[str, Path] = {}

    def get(system: str) -> Path:
        if system not in done:
            recipe = micro(system, steps=2)
            options = TrainOptions(out=tmp_path_factory.mktemp(system))
            done[system] = train(recipe, tape, options)
        return done[system]

    return get


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


@pytest.mark.parametrize("system", SYSTEMS)
def test_checkpoint_loads_as_an_encoder(
    system: str, checkpoint_of: Callable[[str], Path], tmp_path: Path
) -> None:
    path = checkpoint_of(system)
    recipe = micro(system)
    encoder = load_encoder(system, str(path.parent), None)
    samples = recipe.frontend.min_samples + 9 * recipe.frontend.stride_samples
    outputs = encoder.encode(_noise(samples, batch=2))
    assert len(outputs) == len(encoder.layers)
    frames = recipe.frontend.frames(samples)
    for layer, x in zip(encoder.layers, outputs, strict=True):
        assert x.shape == (2, frames, layer.dim), layer.name
        assert torch.isfinite(x).all()
    bands = 1 if recipe.pool_bands else recipe.frontend.token_bands
    assert encoder.layers[-1].dim == bands * recipe.encoder.dim
    small = tmp_path / "small.safetensors"
    checkpoints.export_encoder(path, small)
    assert all(name.startswith("encoder.") for name in load_file(small))
    exported = load_encoder(system, str(small), None)
    assert exported.fingerprint == encoder.fingerprint
    for a, b in zip(outputs, exported.encode(_noise(samples, batch=2)), strict=True):
        assert torch.equal(a, b)
    fresh = load_encoder(system, str(path), 0)
    assert fresh.name.startswith("random:")
    assert fresh.fingerprint != encoder.fingerprint


@pytest.mark.parametrize("system", SYSTEMS)
def test_student_and_teacher_can_be_chosen(
    system: str, checkpoint_of: Callable[[str], Path], tmp_path: Path
) -> None:
    path = checkpoint_of(system)
    recipe, tensors = micro(system), load_file(path)
    student = load_encoder(system, f"{path}#student", None)
    if recipe.teacher is None:
        with pytest.raises(CheckpointError, match="no teacher in this checkpoint"):
            load_encoder(system, f"{path}#teacher", None)
        assert student.fingerprint == load_encoder(system, str(path), None).fingerprint
        return
    teacher = load_encoder(system, f"{path}#teacher", None)
    name = next(n for n in tensors if n.startswith("encoder.transformer.") and n.endswith("weight"))
    name = name.removeprefix("encoder.transformer.")
    whole = any(n.startswith("teacher.transformer.") for n in tensors)
    of = {"student": student, "teacher": teacher}
    for which, prefix in (
        ("student", "encoder.transformer."),
        ("teacher", "teacher.transformer." if whole else "teacher."),
    ):
        held = dict(of[which].backbone.transformer.named_parameters())
        assert torch.equal(held[name], tensors[prefix + name])
    default = load_encoder(system, str(path), None)
    assert default.fingerprint == of[recipe.export].fingerprint
    small = tmp_path / "small.safetensors"
    checkpoints.export_encoder(path, small)
    assert load_encoder(system, f"{small}#{recipe.export}", None).fingerprint == default.fingerprint
    other = {"student": "teacher", "teacher": "student"}[recipe.export]
    with pytest.raises(CheckpointError, match=f"no {other} in this checkpoint"):
        load_encoder(system, f"{small}#{other}", None)


def test_a_wrong_choice_is_refused(trained: Path) -> None:
    with pytest.raises(CheckpointError, match="expected #student or #teacher"):
        load_encoder("wavjepa", f"{trained}#decoder", None)


def test_two_microphones_hear_a_mono_waveform(checkpoint_of: Callable[[str], Path]) -> None:
    encoder = load_encoder("wavjepa-nat", str(checkpoint_of("wavjepa-nat")), None)
    mono = _noise(4000)
    outputs = encoder.encode(mono)
    features = encoder.backbone.frontend.features
    torch.testing.assert_close(features(mono[:, None].expand(-1, 2, -1)), features(mono))
    assert outputs[1].shape[2] == 2 * micro("wavjepa-nat").encoder.dim


def test_pooled_bands_are_the_mean_of_those_side_by_side(
    checkpoint_of: Callable[[str], Path], tmp_path: Path
) -> None:
    path = checkpoint_of("jepa-v0")
    held = checkpoints.read(path)
    assert held.recipe.pool_bands
    apart = tmp_path / "apart.safetensors"
    checkpoints.write(
        dataclasses.replace(held, recipe=dataclasses.replace(held.recipe, pool_bands=False)), apart
    )
    pooled, wide = (load_encoder("jepa-v0", str(p), None) for p in (path, apart))
    assert pooled.fingerprint != wide.fingerprint
    for a, b in zip(pooled.encode(_noise(9000)), wide.encode(_noise(9000)), strict=True):
        torch.testing.assert_close(a, b.unflatten(2, (-1, a.shape[2])).mean(2))


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


def test_another_recipe_seed_or_corpus_in_the_folder_is_refused(trained: Path, tape: Tape) -> None:
    options = TrainOptions(out=trained.parent)
    with pytest.raises(CheckpointError, match=r"another recipe \(steps 2; now 3\)"):
        train(micro("wavjepa", steps=3), tape, options)
    masks = dataclasses.replace(micro("wavjepa").masks, span=3)  # type: ignore[type-var]
    with pytest.raises(CheckpointError, match=r"another recipe \(masks\.span 8; now 3\)"):
        train(micro("wavjepa", steps=2, masks=masks), tape, options)
    with pytest.raises(CheckpointError, match="another seed"):
        train(micro("wavjepa", steps=2), tape, dataclasses.replace(options, seed=1))
    with pytest.raises(CheckpointError, match="another audio_sha256"):
        train(micro("wavjepa", steps=2), wandering_tones(6), options)
    before = trained.read_bytes()
    assert train(micro("wavjepa", steps=2), tape, options) == trained
    assert trained.read_bytes() == before


def test_an_exported_encoder_is_not_trained_on(trained: Path, tape: Tape, tmp_path: Path) -> None:
    read = checkpoints.read(trained)
    weights = {n: t for n, t in read.tensors.items() if not n.startswith("optimiser.")}
    checkpoints.write(
        dataclasses.replace(read, step=1, tensors=weights), tmp_path / "checkpoint.safetensors"
    )
    with pytest.raises(CheckpointError, match="holds no optimiser state"):
        train(micro("wavjepa", steps=2), tape, TrainOptions(out=tmp_path))


def test_whoever_may_read_the_folder_may_read_the_checkpoint(trained: Path) -> None:
    assert trained.stat().st_mode & 0o777 == trained.parent.stat().st_mode & 0o666


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


def test_a_batch_that_holds_no_whole_clips_is_refused(tmp_path: Path, tape: Tape) -> None:
    with pytest.raises(UserError, match=r"4 crops, 3 from each clip.*expected a multiple"):
        train(micro("wavjepa", crops_per_clip=3), tape, TrainOptions(out=tmp_path))


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


def _rewritten(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a checkpoint and leave its config."""
    loaded = checkpoints.read(path)
    tensors = dict(loaded.tensors)
    change(tensors)
    checkpoints.write(dataclasses.replace(loaded, tensors=tensors), path)


def test_missing_and_unknown_tensors_are_listed(trained: Path) -> None:
    name = "encoder.transformer.norm.weight"
    _rewritten(trained, lambda t: t.update({"encoder.extra": t.pop(name)}))
    with pytest.raises(
        CheckpointError, match=r"missing tensors transformer\.norm\.weight, unknown tensors extra"
    ):
        load_encoder("wavjepa", f"{trained}#student", None)


def test_a_wrong_shape_says_what_was_expected(trained: Path) -> None:
    name = "encoder.frontend.projection.weight"
    _rewritten(trained, lambda t: t.update({name: t[name][:-1]}))
    with pytest.raises(CheckpointError, match=r"has shape \(15, 8\); expected \(16, 8\)"):
        load_encoder("wavjepa", f"{trained}#student", None)


def test_damaged_missing_and_foreign_files_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_encoder("wavjepa", str(tmp_path / "nowhere.safetensors"), None)
    with pytest.raises(CheckpointError, match="a checkpoint of wavjepa; expected audio-jepa"):
        load_encoder("audio-jepa", str(trained), None)
    trained.write_bytes(trained.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or not safetensors"):
        load_encoder("wavjepa", str(trained), None)


def test_files_of_another_version_or_maker_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="expected"):
        load_encoder("glas-jepa", str(foreign), None)
    old = {"format": "probe-bench-jepa-1", "system": "wavjepa"}
    save_file({"x": torch.zeros(1)}, foreign, old)
    with pytest.raises(CheckpointError, match="format 'probe-bench-jepa-1'; expected"):
        load_encoder("wavjepa", str(foreign), None)


@pytest.mark.parametrize(
    "recipe",
    [
        '"a word"',
        '{"kind": "pretraining.nowhere:Recipe"}',
        '{"kind": "os:system"}',
        '{"kind": "pretraining.recipe:Recipe", "colour": 1}',
    ],
)
def test_a_config_that_is_no_recipe_is_one_line(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    config = f'{{"recipe": {recipe}, "step": 1, "seed": 0, "corpora": [], "audio_sha256": "0"}}'
    about = {"format": "probe-bench-jepa-2", "system": "wavjepa", "config": config}
    save_file({"x": torch.zeros(1)}, path, about)
    with pytest.raises(CheckpointError, match=r"its config (cannot be read|holds a)"):
        load_encoder("wavjepa", str(path), None)


def test_a_kill_while_writing_leaves_the_old_checkpoint(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trained.read_bytes()
    loaded = checkpoints.read(trained)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.write(dataclasses.replace(loaded, step=99), trained)
    assert trained.read_bytes() == before


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
