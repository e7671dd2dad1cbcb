"""torchaudio's bundles: the same layers as transformers', clip by clip, with or without a network."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
import transformers
from torchaudio import pipelines
from torchaudio.models.wav2vec2.utils import import_huggingface_model
from torchaudio.models.wav2vec2.utils.import_huggingface import _get_config, _get_config_wavlm

from probe_bench.encoders import hf, torchaudio_bundles
from probe_bench.errors import CheckpointError, UserError

Save = Callable[..., Path]
ENCODER = torchaudio_bundles.ENCODER
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch hub's folder of downloaded checkpoints, empty, and no network."""

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def bundle_of(folder: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Make a transformers model the bundle `TINY`, its weights in torch hub's folder."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    wavlm = model.config.model_type == "wavlm"
    params = (_get_config_wavlm if wavlm else _get_config)(model.config) | {"aux_num_out": None}
    torch.save(import_huggingface_model(model).state_dict(), hub / "tiny.pth")
    bundle = replace(
        pipelines.WAVLM_BASE if wavlm else pipelines.WAV2VEC2_BASE,
        _path="tiny.pth",
        _params=params,
        **fields,
    )
    monkeypatch.setattr(pipelines, "TINY", bundle, raising=False)


@pytest.mark.parametrize(
    ("kind", "overrides"), [("Wav2Vec2", {}), ("Wav2Vec2", STABLE), ("WavLM", {})]
)
@pytest.mark.parametrize("normalise", [False, True])
def test_same_weights_give_the_same_layers_as_transformers(
    kind: str,
    overrides: Any,
    normalise: bool,
    save_hf: Save,
    hub: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = save_hf(kind, normalise=normalise, **overrides)
    bundle_of(folder, hub, monkeypatch, _normalize_waveform=normalise)
    ours, theirs = ENCODER.load("TINY", None), hf.ENCODER.load(str(folder), None)
    assert ours.layers == theirs.layers
    # At unit variance the libraries' different eps (1e-5, 1e-7) in the normalisation don't show.
    clips = torch.randn(2, 12345, generator=torch.Generator().manual_seed(0))
    for layer, a, b in zip(ours.layers, ours.encode(clips), theirs.encode(clips), strict=True):
        torch.testing.assert_close(
            a, b, atol=1e-4, rtol=1e-4, msg=lambda m, n=layer.name: f"{n}: {m}"
        )


def test_waveforms_are_normalised_one_by_one(
    save_hf: Save, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle_of(save_hf("Wav2Vec2", **STABLE), hub, monkeypatch, _normalize_waveform=True)
    encoder = ENCODER.load("TINY", None)
    clip = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    beside_a_loud_one = encoder.encode(torch.cat([clip, 9 * clip]))[-1][:1]
    torch.testing.assert_close(beside_a_loud_one, encoder.encode(clip)[-1], atol=1e-5, rtol=1e-4)


def test_a_forced_alignment_bundle_is_unwrapped(
    tiny_bundle: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = getattr(pipelines, tiny_bundle)._params | {"aux_num_out": 4}
    fields = {"_path": "tiny.pth", "_params": params, "_remove_aux_axis": ()}
    monkeypatch.setattr(pipelines, "TINY_FA", replace(pipelines.MMS_FA, **fields), raising=False)
    torch.save(torchaudio.models.wav2vec2_model(**params).state_dict(), hub / "tiny.pth")
    names = [layer.name for layer in ENCODER.load("TINY_FA", None).layers]
    assert names == ["cnn", "in", "L1", "L2", "out_norm"]


def test_a_random_bundle_needs_no_network(hub: Path) -> None:
    state = torch.random.get_rng_state()
    encoder = ENCODER.load("WAV2VEC2_BASE", 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not list(hub.iterdir())
    assert [layer.name for layer in encoder.layers] == [
        "cnn",
        "in",
        *(f"L{i}" for i in range(1, 13)),
    ]
    assert [layer.dim for layer in encoder.layers] == [512] + [768] * 13
    assert 90e6 < encoder.n_parameters < 100e6


def test_random_weights_follow_the_seed(
    save_hf: Save, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle_of(save_hf("Wav2Vec2"), hub, monkeypatch)
    trained, first, again, other = (ENCODER.load("TINY", seed) for seed in (None, 0, 0, 1))
    assert first.fingerprint == again.fingerprint
    assert len({trained.fingerprint, first.fingerprint, other.fingerprint}) == 3


@pytest.mark.usefixtures("hub")
def test_weights_that_cannot_be_had_are_one_line() -> None:
    with pytest.raises(
        UserError, match="WAV2VEC2_BASE: its weights cannot be downloaded"
    ) as caught:
        ENCODER.load("WAV2VEC2_BASE", None)
    assert "\n" not in str(caught.value)
    assert "wav2vec2_fairseq_base_ls960.pth" in str(caught.value)


def test_another_models_weights_are_refused(
    save_hf: Save, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle_of(save_hf("Wav2Vec2"), hub, monkeypatch)
    torch.save({"encoder.weight": torch.zeros(3)}, hub / "tiny.pth")
    with pytest.raises(CheckpointError, match=r"tiny\.pth: not the weights of TINY") as caught:
        ENCODER.load("TINY", None)
    assert "\n" not in str(caught.value)


def test_unknown_bundle_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'HUBERT_BASE'"):
        ENCODER.load("HUBERT_BAES", None)
