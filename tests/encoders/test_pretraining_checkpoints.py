"""Checkpoints: what loads, what is chosen, what is refused, and by whom they can be read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.inference import load_encoder
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.errors import CheckpointError

from .micro import SYSTEMS, micro, wandering_tones


def _noise(samples: int, batch: int = 1) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize(("system", "expected"), [("wavjepa", 151.4), ("lejepa", None)])
def test_an_encoder_knows_how_long_its_masks_hid(system: str, expected: float | None) -> None:
    encoder = load_encoder(system, "", None)
    assert encoder.hidden_run_ms == (expected and pytest.approx(expected))


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
