"""The second stage: it learns, resumes bit for bit, and its tokenizer goes to tokens and back."""

import csv
import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from probe_bench.encoders.density_jepa import codec_checkpoint as codecs
from probe_bench.encoders.density_jepa.codec import CodecRecipe
from probe_bench.encoders.density_jepa.codec_presets import CODECS
from probe_bench.encoders.density_jepa.codec_trainer import CodecTrainer, level_bits
from probe_bench.encoders.density_jepa.decoder import WaveDecoderShape
from probe_bench.encoders.density_jepa.discriminators import DiscriminatorShape
from probe_bench.encoders.density_jepa.frontend import DensityStemShape
from probe_bench.encoders.density_jepa.fsq import FsqShape
from probe_bench.encoders.density_jepa.predictor import ConvPredictorShape
from probe_bench.encoders.density_jepa.spans import DensitySpanMasks
from probe_bench.encoders.density_jepa.token_files import decode_files, encode_files, read_tokens
from probe_bench.encoders.density_jepa.tokenizer import Tokenizer
from probe_bench.encoders.density_jepa.train_codec import CodecOptions, train_codec
from probe_bench.encoders.density_jepa.waveform_losses import stft_distance
from probe_bench.encoders.pretraining import checkpoint as encoders
from probe_bench.encoders.pretraining import tensor_file
from probe_bench.encoders.pretraining.blocks.conformer import ConformerShape
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.inference import load_encoder
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.monitors import Row
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule
from probe_bench.encoders.pretraining.trainer import build_model
from probe_bench.errors import AudioError, CheckpointError, UserError

FIRST = Recipe(
    system="density-jepa",
    preset="test",
    sample_rate_hz=4_000,
    crop_samples=1_210,
    batch_size=4,
    steps=10,
    frontend=DensityStemShape(
        channels=(6, 8, 12), strides=(5, 8), residual_blocks=0, initial="fan_in", standardised=True
    ),
    encoder=ConformerShape(dim=16, depth=1, heads=2, kernel=5, activation="gelu", norm="clip"),
    position_scale=0.0,
    predictor=ConvPredictorShape(heads=2, kernel=5),
    masks=DensitySpanMasks(),
    hiding="after_encoder",
    targets=TargetRule(top_k=1, normalisation="none"),
    objective="mse",
    teacher=EmaRule(start=0.996, end=0.996),
    optimiser=OptimiserRule(lr=1e-3),
)
SECOND = CodecRecipe(
    tokens=FsqShape(dims=16, group=3),
    decoder=WaveDecoderShape(channels=(24, 16, 8), strides=(8, 5), kernels=(5,), dilations=(1, 3)),
    discriminators=DiscriminatorShape(
        periods=(3,),
        period_channels=(4, 8),
        scales=1,
        scale_channels=(4, 4, 4, 4, 4, 4),
    ),
    batch_size=2,
    steps=6,
    lr=3e-3,
    discriminator_lr=1e-3,
    discriminators_from=2,
    adversarial_from=1,
)


@pytest.fixture
def tape() -> Tape:
    """Hums of four pitches that come and go."""
    n = np.arange(4_000 * 6)
    rng = np.random.default_rng(0)
    clips = []
    for pitch_hz in (110, 180, 240, 320):
        phase = 2 * np.pi * pitch_hz * n / 4_000
        hum = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.02 * rng.standard_normal(len(n))
        clips.append(0.25 * hum * (1 + np.sin(2 * np.pi * 1.5 * n / 4_000)) / 2)
    samples = (np.concatenate(clips) * 32767).astype(np.int16)
    lengths = np.full(4, len(n))
    return Tape(samples=samples, lengths=lengths)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """Write an encoder checkpoint with fresh weights."""
    path = tmp_path / "encoder.safetensors"
    state = encoders.Checkpoint(
        recipe=FIRST,
        step=0,
        seed=0,
        corpora=(),
        audio_sha256="",
        tensors=build_model(FIRST, 0).state_dict(),
    )
    encoders.write(state, path)
    return path


Train = Callable[..., Path]


@pytest.fixture
def train(encoder: Path, tape: Tape, tmp_path: Path) -> Train:
    """Return a function that trains in a folder of its own."""

    def run(name: str, recipe: CodecRecipe = SECOND, **options: int) -> Path:
        chosen = CodecOptions(out=tmp_path / name, **options)  # type: ignore[arg-type]
        return train_codec(encoder, recipe, tape, chosen, corpora=("hums",))

    return run


@pytest.fixture
def untrained(tmp_path: Path) -> Train:
    """Return a function that writes a codec with fresh weights."""

    def write(name: str = "untrained", recipe: CodecRecipe = SECOND, seed: int = 0) -> Path:
        trainer = CodecTrainer.start(FIRST, recipe, seed=seed, device="cpu")
        state = codecs.CodecCheckpoint(
            encoder=FIRST,
            recipe=recipe,
            encoder_sha256="",
            step=1,
            seed=seed,
            corpora=(),
            audio_sha256="",
            tensors=trainer.tensors(),
        )
        path = tmp_path / name / "codec.safetensors"
        path.parent.mkdir()
        codecs.write(state, path)
        return path

    return write


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("tuned", [False, True])
def test_an_interrupted_training_ends_with_the_same_bytes(
    tuned: bool, train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(SECOND, tune_encoder=tuned)
    whole = train("whole", recipe, monitor_every=2, checkpoint_every=100)
    steps = CodecTrainer.step

    def killed(self: CodecTrainer, step: int, waveform: Tensor, *, monitored: bool) -> Row:
        if step == 4:
            raise KeyboardInterrupt
        return steps(self, step, waveform, monitored=monitored)

    monkeypatch.setattr(CodecTrainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train("halves", recipe, monitor_every=2, checkpoint_every=3)
    monkeypatch.setattr(CodecTrainer, "step", steps)
    halves = train("halves", recipe, monitor_every=2, checkpoint_every=3)
    expected, got = codecs.read(whole), codecs.read(halves)
    assert got.step == expected.step == recipe.steps
    assert got.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(got.tensors[n], tensor) for n, tensor in expected.tensors.items())
    assert any(name.startswith("optimiser.discriminators") for name in got.tensors)
    assert (tmp_path / "halves/log.csv").read_bytes() == (tmp_path / "whole/log.csv").read_bytes()
    assert train("halves", recipe) == halves  # nothing is left to do


def test_the_encoder_is_left_alone_unless_it_is_tuned(train: Train, encoder: Path) -> None:
    before = {
        f"encoder.{n}": t for n, t in encoders.encoder_tensors(encoders.read(encoder)).items()
    }
    for tuned in (False, True):
        path = train(f"tuned-{tuned}", dataclasses.replace(SECOND, tune_encoder=tuned))
        after = codecs.part(codecs.read(path), "codec")
        same = [torch.equal(after[name], tensor) for name, tensor in before.items()]
        assert all(same) is not tuned


def test_judges_learn_only_from_their_step_on(train: Train, tmp_path: Path) -> None:
    late = dataclasses.replace(SECOND, steps=3, discriminators_from=9, adversarial_from=2)
    path = train("late", late, monitor_every=1)
    rows = _rows(tmp_path / "late")
    assert [row["adversarial"] == "nan" for row in rows] == [True, True, False]
    assert {row["discriminators"] for row in rows} == {"nan"}
    fresh = CodecTrainer.start(FIRST, late, seed=0, device="cpu").discriminators.state_dict()
    trained = codecs.part(codecs.read(path), "discriminators")
    assert all(torch.equal(trained[name], tensor) for name, tensor in fresh.items())
    learnt = codecs.part(codecs.read(train("learnt")), "discriminators")
    assert not any(torch.equal(learnt[name], tensor) for name, tensor in fresh.items())


def test_it_learns_to_speak_better_than_silence(train: Train, tape: Tape, tmp_path: Path) -> None:
    quiet = dataclasses.replace(
        SECOND, steps=40, batch_size=4, adversarial_from=1_000, discriminators_from=1_000
    )
    path = train("learning", quiet, monitor_every=1)
    losses = [float(row["loss"]) for row in _rows(tmp_path / "learning")]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    tokenizer = Tokenizer.load(path)
    cuts = np.arange(8) * FIRST.crop_samples // 2
    original = tape.read(cuts, FIRST.crop_samples)
    decoded = tokenizer.decode(tokenizer.encode(original))[:, : original.shape[1]]
    to_decoded = stft_distance(decoded, original[:, : decoded.shape[1]])
    to_silence = stft_distance(torch.zeros_like(original), original)
    assert to_decoded < 0.5 * to_silence


def test_tokens_have_the_stated_rate_and_shape(untrained: Train) -> None:
    tokenizer = Tokenizer.load(untrained().parent)
    assert tokenizer.frame_rate_hz == 100
    assert tokenizer.tokens_per_frame == 6  # 16 dims in groups of 3
    assert tokenizer.token_rate_hz == Fraction(600)
    assert tokenizer.bitrate_bps == 100 * 16 * 2
    assert tokenizer.stored_bps == 600 * 6
    assert tokenizer.rates.startswith("100 frames/s, 600 tokens/s, 3200 bit/s (3600 bit/s")
    assert tokenizer.vocabularies == (64,) * 5 + (4,)
    waveform = torch.randn(2, 4_000)
    tokens = tokenizer.encode(waveform)
    assert tokens.shape == (2, 100, 6)
    assert (tokens >= 0).all()
    assert (tokens < torch.tensor(tokenizer.vocabularies)).all()
    assert tokenizer.decode(tokens).shape == (2, 4_000)
    torch.testing.assert_close(tokenizer.encode(waveform[1:]), tokens[1:])


@pytest.mark.parametrize("samples", [1, 39, 40, 41, 1_199, 1_210, 1_250, 2_421, 5_000])
def test_every_length_has_all_its_frames(samples: int, untrained: Train) -> None:
    tokenizer = Tokenizer.load(untrained())
    tokens = tokenizer.encode(torch.randn(1, samples))
    frames = -(-samples // 40)
    assert tokens.shape[1] == frames
    assert tokenizer.decode(tokens).shape == (1, 40 * frames)


def test_windows_follow_one_another_on_one_frame_grid(untrained: Train) -> None:
    tokenizer = Tokenizer.load(untrained())
    window_frames = FIRST.frontend.frames(FIRST.crop_samples)
    waveform = torch.randn(1, 5_000)
    tokens = tokenizer.encode(waveform)
    second = waveform[:, 40 * window_frames :][:, : FIRST.crop_samples]
    alone = tokenizer.encode(second)[:, :window_frames]
    assert torch.equal(tokens[:, window_frames : 2 * window_frames], alone)


def test_files_of_tokens_and_back(untrained: Train, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(untrained())
    recording = tmp_path / "hum.wav"
    soundfile.write(recording, 0.3 * np.sin(np.arange(8_100) / 9), 8_000)
    (written,) = encode_files(tokenizer, [recording], tmp_path / "tokens")
    assert written.name == "hum.tokens.safetensors"
    file = read_tokens(written)
    assert file.tokens.shape == (102, 6)
    assert file.n_samples == 4_050
    (decoded,) = decode_files(tokenizer, [written], tmp_path / "decoded")
    samples, rate_hz = soundfile.read(decoded)
    assert (len(samples), rate_hz, decoded.name) == (4_050, 4_000, "hum.wav")
    expected = tokenizer.decode(file.tokens[None])[0, :4_050]
    np.testing.assert_allclose(samples, expected.numpy(), atol=1e-4)
    other = Tokenizer.load(untrained("others", seed=1))
    with pytest.raises(CheckpointError, match=r"decode with the codec that encoded"):
        decode_files(other, [written], tmp_path / "decoded")
    with pytest.raises(UserError, match=r"2 recordings of this name"):
        encode_files(tokenizer, [recording, tmp_path / "elsewhere/hum.flac"], tmp_path / "tokens")
    with pytest.raises(CheckpointError, match=r"expected a token file"):
        read_tokens(recording)


def test_exports(train: Train, tmp_path: Path) -> None:
    path = train("exported", dataclasses.replace(SECOND, tune_encoder=True, steps=3))
    codecs.export_codec(path, tmp_path / "codec.safetensors")
    small, whole = Tokenizer.load(tmp_path / "codec.safetensors"), Tokenizer.load(path)
    waveform = torch.randn(1, 2_000)
    assert torch.equal(small.encode(waveform), whole.encode(waveform))
    assert small.fingerprint == whole.fingerprint
    assert (tmp_path / "codec.safetensors").stat().st_size < path.stat().st_size / 2
    codecs.export_encoder(path, tmp_path / "tuned.safetensors")
    tuned = load_encoder("density-jepa", str(tmp_path / "tuned.safetensors"), None)
    embedded = whole._codec.embed(waveform[:, :1_210])
    torch.testing.assert_close(tuned.encode(waveform[:, :1_210])[-1], embedded)


def test_what_does_not_belong_together_is_refused(
    train: Train, encoder: Path, tape: Tape, tmp_path: Path
) -> None:
    path = train("first", dataclasses.replace(SECOND, steps=1))
    with pytest.raises(CheckpointError, match=r"another recipe .* give another --out"):
        train("first")
    with pytest.raises(CheckpointError, match=r"another seed"):
        train("first", dataclasses.replace(SECOND, steps=1), seed=3)
    options = CodecOptions(out=tmp_path / "other")
    with pytest.raises(UserError, match=r"this decoder expects 1 of 64 every 640"):
        train_codec(encoder, CODECS["tiny"], tape, options)
    with pytest.raises(CheckpointError, match=r"use a codec that"):
        Tokenizer.load(encoder)
    with pytest.raises(CheckpointError, match=r"no such codec"):
        Tokenizer.load(tmp_path / "nowhere")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"damaged or not safetensors"):
        codecs.read(path)


def test_tokens_that_cannot_be_are_refused(untrained: Train) -> None:
    tokenizer = Tokenizer.load(untrained())
    for tokens in (torch.full((1, 3, 6), 64), torch.zeros(1, 3, 5, dtype=torch.long)):
        with pytest.raises(CheckpointError, match=r"expected 6 below 64"):
            tokenizer.decode(tokens)
    with pytest.raises(AudioError, match=r"0 samples to encode"):
        tokenizer.encode(torch.zeros(1, 0))


def test_level_bits_are_the_entropy_of_the_levels() -> None:
    even = torch.arange(4).repeat(6).view(1, 24, 1)
    assert level_bits(even, 4) == pytest.approx(2)
    assert level_bits(torch.zeros_like(even), 4) == 0
    assert level_bits(torch.cat([even, torch.zeros_like(even)], dim=2), 4) == pytest.approx(1)


def test_a_kill_while_writing_leaves_the_old_file(
    untrained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = untrained()
    before = path.read_bytes()
    checkpoint = codecs.read(path)

    def torn(_tensors: object, temporary: Path, _about: object) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(tensor_file, "save_file", torn)
    with pytest.raises(KeyboardInterrupt):
        codecs.write(checkpoint, path)
    assert path.read_bytes() == before
