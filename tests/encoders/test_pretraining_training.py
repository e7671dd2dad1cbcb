"""The training loop, resuming and checkpoints, for every bundled system."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.inference import load_encoder
from probe_bench.encoders.pretraining.masks import select
from probe_bench.encoders.pretraining.pretrain import presets, pretrain, train
from probe_bench.encoders.pretraining.recipe import Recipe, from_json, to_json
from probe_bench.encoders.pretraining.tape import Tape, load_tape
from probe_bench.encoders.pretraining.trainer import Trainer, build_jepa
from probe_bench.errors import CheckpointError, CorpusError, UserError

SYSTEMS = sorted(presets())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Models this small spend more on the second thread than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def micro(system: str, **changes: object) -> Recipe:
    """Shrink the tiny preset to 0.77 s crops and a few thousand weights."""
    recipe = presets()[system]["tiny"]
    small = dataclasses.replace(
        recipe, batch_size=3, steps=6, crop_samples=12_240, precision="float32"
    )
    encoder = dataclasses.replace(recipe.encoder, dim=16, depth=2)
    predictor = dataclasses.replace(recipe.predictor, dim=12, depth=1)
    small = dataclasses.replace(small, encoder=encoder, predictor=predictor)
    return dataclasses.replace(small, **changes)  # type: ignore[arg-type]


@pytest.fixture
def noise(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus([2.5, 1.0, 3.0])


@pytest.fixture
def trained(tmp_path: Path, noise: Corpus) -> Path:
    return train(micro("wavjepa", steps=2), corpora=[noise], out=tmp_path / "trained")


def test_both_bundled_systems_are_found() -> None:
    assert {"audio-jepa", "wavjepa"} <= set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_recipes_survive_json(system: str, size: str) -> None:
    recipe = presets()[system][size]  # type: ignore[index]
    assert (recipe.system, recipe.size) == (system, size)
    assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize("system", SYSTEMS)
def test_interrupted_and_resumed_equals_uninterrupted(
    system: str, tmp_path: Path, noise: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = micro(system)
    whole = train(recipe, corpora=[noise], out=tmp_path / "whole", monitor_every=1)

    class KilledError(Exception):
        pass

    real_step = Trainer.step

    def step(self: Trainer, step: int, *, monitor: bool = False) -> dict[str, int | float | str]:
        if step == 5:  # the last checkpoint was written after step 4
            raise KilledError
        return real_step(self, step, monitor=monitor)

    options = {"corpora": [noise], "checkpoint_every": 2, "monitor_every": 1}
    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(KilledError):
        train(recipe, out=tmp_path / "parts", **options)  # type: ignore[arg-type]
    monkeypatch.undo()
    parts = train(recipe, out=tmp_path / "parts", **options)  # type: ignore[arg-type]

    expected, got = load_file(whole), load_file(parts)
    assert expected.keys() == got.keys()
    assert any(name.startswith("optimiser.exp_avg_sq.") for name in got)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert (tmp_path / "whole/log.csv").read_text() == (tmp_path / "parts/log.csv").read_text()


@pytest.mark.parametrize("system", SYSTEMS)
def test_loss_falls_and_features_stay_alive(system: str) -> None:
    optimiser = dataclasses.replace(presets()[system]["tiny"].optimiser, warmup_fraction=0.0)
    recipe = micro(system, steps=1000, batch_size=6, optimiser=optimiser)
    # Tones whose pitch and level wander slowly: something to see and something to predict.
    rng = np.random.default_rng(0)
    time = np.arange(20 * 16_000)
    pitch_hz, level = np.exp(
        [np.interp(time, time[::4000], rng.standard_normal(80)) for _ in range(2)]
    )
    samples = level * np.sin(2 * np.pi * np.cumsum(500 * pitch_hz) / 16_000)
    samples = 20_000 * samples / np.abs(samples).max() + rng.standard_normal(len(time))
    tape = Tape(
        samples=samples.astype(np.int16), starts=np.array([0]), lengths=np.array([len(time)])
    )
    trainer = Trainer.start(recipe, tape, seed=0, device="cpu")
    losses = [float(trainer.step(n)["loss"]) for n in range(30)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.02
    assert trainer.step(30, monitor=True)["verdict"] == "healthy"


@pytest.mark.parametrize("system", SYSTEMS)
def test_gradient_reaches_all_but_the_teacher(system: str, noise: Corpus) -> None:
    recipe = micro(system)
    tape = load_tape([noise], recipe.sample_rate_hz, recipe.crop_samples)
    trainer = Trainer.start(recipe, tape, seed=0, device="cpu")
    before = {n: p.clone() for n, p in trainer.model.named_parameters()}
    trainer.step(0)
    trainer.step(1)
    for name, parameter in trainer.model.named_parameters():
        if not name.startswith("teacher."):
            assert parameter.grad is not None, name
            assert not torch.equal(parameter, before[name]), name
        else:
            assert parameter.grad is None
            assert not torch.equal(parameter, before[name])


@pytest.mark.parametrize("system", SYSTEMS)
def test_padding_changes_no_prediction(system: str) -> None:
    """Rows with many tokens force padding onto rows with few; the few must not notice."""
    recipe = micro(system)
    model = build_jepa(recipe, 0)
    rng = np.random.default_rng(0)
    waveform = torch.from_numpy(rng.standard_normal((2, recipe.crop_samples)).astype(np.float32))
    n = recipe.grid.tokens
    context = torch.zeros(2, n, dtype=torch.bool)
    targets = torch.zeros(2, 1, n, dtype=torch.bool)
    context[0, :5] = context[1, :30] = True
    targets[0, 0, 40:50] = targets[1, 0, 40:70] = True
    both = model(waveform, select(context), select(targets)).loss
    alone = [
        model(waveform[i : i + 1], select(context[i : i + 1]), select(targets[i : i + 1])).loss
        for i in range(2)
    ]
    torch.testing.assert_close(both, (10 * alone[0] + 30 * alone[1]) / 40, rtol=1e-4, atol=1e-5)


def test_crops_depend_on_seed_and_step_alone_and_stay_on_the_tape() -> None:
    tape = Tape(
        samples=np.arange(1000, dtype=np.int16),
        starts=np.array([0, 990]),
        lengths=np.array([990, 10]),
    )
    one = tape.crops(500, 100, np.random.default_rng((0, 7)))
    two = tape.crops(500, 100, np.random.default_rng((0, 7)))
    assert torch.equal(one, two)
    steps = (one * 32767).round().diff(dim=1)
    assert (steps == 1).all()
    assert (one[:, 0] * 32767).round().max() <= 900


def test_too_little_audio_is_refused(make_corpus: Callable[..., Corpus]) -> None:
    with pytest.raises(CorpusError, match=r"0\.50 s of audio in all; expected at least one crop"):
        load_tape([make_corpus([0.5])], 16_000, 32_000)


def test_unknown_system_is_refused(tmp_path: Path, noise: Corpus) -> None:
    with pytest.raises(UserError, match="did you mean 'wavjepa'"):
        pretrain("wavejepa", corpora=[noise], out=tmp_path)


def test_another_recipe_or_seed_in_the_folder_is_refused(trained: Path, noise: Corpus) -> None:
    with pytest.raises(CheckpointError, match=r"another recipe .*2 steps.*expected .*3 steps"):
        train(micro("wavjepa", steps=3), corpora=[noise], out=trained.parent)
    with pytest.raises(CheckpointError, match="another seed"):
        train(micro("wavjepa", steps=2), corpora=[noise], out=trained.parent, seed=1)


def test_seed_decides_the_initialisation_and_leaves_the_global_generator() -> None:
    recipe = micro("wavjepa")
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, two, other = (build_jepa(recipe, seed).encoder.state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    name = "transformer.blocks.0.qkv.weight"
    assert torch.equal(one[name], two[name])
    assert not torch.equal(one[name], other[name])


def test_export_keeps_the_encoder_and_its_features(trained: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    checkpoints.export_encoder(trained, small)
    assert all(name.startswith("encoder.") for name in load_file(small))
    assert small.stat().st_size < trained.stat().st_size / 3
    waveform = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    full, exported = (load_encoder("wavjepa", str(path), None) for path in (trained.parent, small))
    assert full.fingerprint == exported.fingerprint
    for a, b in zip(full.encode(waveform), exported.encode(waveform), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("system", SYSTEMS)
def test_teacher_weights_are_exported_where_the_recipe_says_so(
    system: str, tmp_path: Path, noise: Corpus
) -> None:
    path = train(micro(system, export="teacher", steps=2), corpora=[noise], out=tmp_path / "t")
    tensors = load_file(path)
    exported = checkpoints.encoder_tensors(checkpoints.read(path))
    name = "transformer.blocks.1.fc2.weight"
    whole = "teacher.transformer.norm.weight" in tensors
    assert torch.equal(
        exported[name], tensors[f"teacher.{name}" if whole else f"teacher.{name[12:]}"]
    )
    assert not torch.equal(exported[name], tensors[f"encoder.{name}"])
    small = tmp_path / "small.safetensors"
    checkpoints.export_encoder(path, small)
    ours, theirs = (load_encoder(system, str(p), None) for p in (path, small))
    assert ours.fingerprint == theirs.fingerprint


def _rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
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
        load_encoder("wavjepa", str(trained), None)


def test_a_wrong_shape_says_what_was_expected(trained: Path) -> None:
    name = "encoder.frontend.projection.weight"
    _rewritten(trained, lambda t: t.update({name: t[name][:-1]}))
    with pytest.raises(CheckpointError, match=r"has shape \(15, 96\); expected \(16, 96\)"):
        load_encoder("wavjepa", str(trained), None)


def test_damaged_missing_and_foreign_files_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_encoder("wavjepa", str(tmp_path / "nowhere.safetensors"), None)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="format None; expected"):
        load_encoder("wavjepa", str(foreign), None)
    with pytest.raises(CheckpointError, match="a checkpoint of wavjepa; expected audio-jepa"):
        load_encoder("audio-jepa", str(trained), None)
    trained.write_bytes(trained.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or not safetensors"):
        load_encoder("wavjepa", str(trained), None)


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
