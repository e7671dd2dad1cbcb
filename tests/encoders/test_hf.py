"""Transformers models: canonical layers, exact times, own normalisation, nothing run untrusted."""

import json
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from probe_bench.encoders.hf import ENCODER
from probe_bench.errors import CheckpointError, UserError

Save = Callable[..., Path]
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
KINDS = [
    ("Wav2Vec2", {}),
    ("Wav2Vec2", STABLE),
    ("Hubert", {}),
    ("WavLM", STABLE),
    ("Data2VecAudio", {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2}),
    ("UniSpeechSat", {}),
]


def noise(batch: int, n_samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(0))


def reference(folder: Path, waveform: torch.Tensor) -> tuple[Any, Any]:
    """What the library itself gives for one clip, through its own feature extractor."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(waveform.numpy(), sampling_rate=16000, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = model.encoder if model.config.model_type == "whisper" else model
    with torch.no_grad():
        output = model(inputs[model.main_input_name], output_hidden_states=True)
        if hasattr(model, "feature_extractor"):
            output["cnn"] = model.feature_extractor(inputs["input_values"]).transpose(1, 2)
    return output, model


@pytest.mark.parametrize(("kind", "overrides"), KINDS)
def test_layers_are_the_librarys_hidden_states(kind: str, overrides: Any, save_hf: Save) -> None:
    folder = save_hf(kind, **overrides)
    clip = noise(1, 16000)[0]
    expected, model = reference(folder, clip)
    encoder = ENCODER.load(str(folder), None)
    got = {
        layer.name: tensor[0]
        for layer, tensor in zip(encoder.layers, encoder.encode(clip[None]), strict=True)
    }
    stable = "out_norm" in got
    assert list(got) == ["cnn", "in", "L1", "L2"] + ["out_norm"] * stable
    assert stable == bool(overrides.get("do_stable_layer_norm"))
    for number, name in enumerate(["in", "L1"]):
        torch.testing.assert_close(got[name], expected.hidden_states[number][0])
    torch.testing.assert_close(got["out_norm" if stable else "L2"], expected.last_hidden_state[0])
    if stable:
        torch.testing.assert_close(model.encoder.layer_norm(got["L2"]), got["out_norm"])
    torch.testing.assert_close(got["cnn"], expected["cnn"][0])


def test_times_follow_from_the_convolutions(save_hf: Save) -> None:
    folder = save_hf("Wav2Vec2")
    encoder, model = ENCODER.load(str(folder), None), transformers.AutoModel.from_pretrained(folder)
    assert encoder.min_samples == 400
    for layer in encoder.layers:
        assert layer.frame_rate_hz == 50
        assert layer.first_frame_s == Fraction(399, 32000)
    for n_samples in (400, 719, 720, 17120, 31680):
        expected = int(model._get_feat_extract_output_lengths(n_samples))
        assert {layer.shape[1] for layer in encoder.encode(noise(1, n_samples))} == {expected}


@pytest.mark.parametrize("normalise", [True, False])
def test_each_clip_is_normalised_by_itself_if_at_all(normalise: bool, save_hf: Save) -> None:
    folder = save_hf("Hubert", normalise=normalise, **STABLE)
    encoder = ENCODER.load(str(folder), None)
    quiet = noise(1, 8000)
    both = encoder.encode(torch.cat([quiet, 5 * quiet]))[-1]
    alone = encoder.encode(quiet)[-1]
    torch.testing.assert_close(both[0], alone[0], atol=1e-5, rtol=1e-4)
    assert torch.allclose(both[1], both[0], atol=1e-3) == normalise


def test_whisper_sees_its_padded_window_and_returns_the_clips_frames(save_hf: Save) -> None:
    folder = save_hf("Whisper")
    encoder = ENCODER.load(str(folder), None)
    clip = noise(1, 16000)[0]
    expected, _ = reference(folder, clip)
    got = dict(
        zip([layer.name for layer in encoder.layers], encoder.encode(clip[None]), strict=True)
    )
    assert list(got) == ["cnn", "in", "L1", "L2", "out_norm"]
    assert encoder.window_samples == 32000
    assert encoder.layers[0].first_frame_s == 0
    assert encoder.layers[0].frame_rate_hz == 50
    torch.testing.assert_close(got["out_norm"][0], expected.last_hidden_state[0, :50])
    torch.testing.assert_close(got["in"][0], expected.hidden_states[0][0, :50])
    torch.testing.assert_close(got["L1"][0], expected.hidden_states[1][0, :50])


def test_whispers_extractor_must_fit_its_encoder(save_hf: Save) -> None:
    folder = save_hf("Whisper")
    transformers.WhisperFeatureExtractor(feature_size=40, chunk_length=3).save_pretrained(folder)
    with pytest.raises(CheckpointError, match="300 log-mel frames; the encoder expects 200"):
        ENCODER.load(str(folder), None)


def test_random_is_the_same_architecture_drawn_from_the_seed(save_hf: Save) -> None:
    folder = str(save_hf("Wav2Vec2"))
    state = torch.random.get_rng_state()
    trained, first, again, other = (ENCODER.load(folder, seed) for seed in (None, 0, 0, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.fingerprint == again.fingerprint
    assert len({trained.fingerprint, first.fingerprint, other.fingerprint}) == 3
    assert trained.layers == first.layers
    clip = noise(1, 4000)
    assert torch.equal(first.encode(clip)[-1], again.encode(clip)[-1])


def test_fingerprint_follows_weights_and_preprocessing_only(save_hf: Save) -> None:
    folders = [save_hf("Hubert"), save_hf("Hubert"), save_hf("Hubert", seed=2)]
    folders.append(save_hf("Hubert", normalise=False))
    one, same, weights, preprocessing = (ENCODER.load(str(f), None).fingerprint for f in folders)
    assert one == same
    assert len({one, weights, preprocessing}) == 3


def test_missing_folder_and_unknown_name_are_one_line() -> None:
    with pytest.raises(UserError, match="hf:/no/such: no such folder"):
        ENCODER.load("/no/such", None)
    with pytest.raises(UserError, match="hf:nobody/nothing: cannot be loaded") as caught:
        ENCODER.load("nobody/nothing", None)
    assert "\n" not in str(caught.value)


def test_a_model_without_audio_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        vocab_size=16,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="BertModel is no audio encoder"):
        ENCODER.load(str(tmp_path), None)


def test_incomplete_weights_are_refused(save_hf: Save) -> None:
    folder = save_hf("Wav2Vec2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(
        CheckpointError, match=r"weights of Wav2Vec2Model are missing, first encoder\.layers\.2"
    ):
        ENCODER.load(str(folder), None)


def test_weights_of_another_shape_are_refused(save_hf: Save) -> None:
    folder = save_hf("Wav2Vec2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        ENCODER.load(str(folder), None)


class Payload:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_with_code_is_refused(
    save_hf: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_hf("Wav2Vec2")
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"masked_spec_embed": Payload()}, file, protocol=2)
    with pytest.raises(UserError):
        ENCODER.load(str(folder), None)
    assert not Path("ran").exists()


def test_code_of_a_checkpoint_runs_only_when_trusted(save_hf: Save) -> None:
    folder = save_hf("Wav2Vec2")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "ours", "auto_map": {"AutoConfig": "ours.C", "AutoModel": "ours.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "ours.py").write_text(
        "from transformers import Wav2Vec2Config, Wav2Vec2Model\n"
        "class C(Wav2Vec2Config):\n    model_type = 'ours'\n"
        "class M(Wav2Vec2Model):\n    config_class = C\n"
    )
    with pytest.raises(UserError, match="--trust-code"):
        ENCODER.load(str(folder), None)
    assert ENCODER.load_trusted is not None
    assert ENCODER.load_trusted(str(folder), None).layers[0].name == "cnn"
