"""Tiny models: ours after two steps, and those of other libraries as they save them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train

from .micro import micro, wandering_tones

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # read when transformers is imported: no test waits for a network
)

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture
def save_hf(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that saves a tiny transformers model of a kind and returns its folder."""

    def save(kind: str, *, normalise: bool = True, seed: int = 1, **overrides: Any) -> Path:
        import transformers  # noqa: PLC0415 (after HF_HUB_OFFLINE is set)

        folder = tmp_path / f"{kind.lower()}-{len(list(tmp_path.iterdir()))}"
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if kind == "Whisper":
                model, extractor = _whisper(transformers)
            else:
                config = getattr(transformers, f"{kind}Config")(**(SHAPE | overrides))
                model = getattr(transformers, f"{kind}Model")(config)
                extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
        return folder

    return save


def _whisper(transformers: Any) -> tuple[Any, Any]:
    """Whisper with a window of 2 s."""
    config = transformers.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        max_source_positions=100,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        num_mel_bins=40,
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=40, chunk_length=2)
    return transformers.WhisperModel(config), extractor


@pytest.fixture
def tiny_bundle(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add a tiny bundle with a normalised waveform to torchaudio's pipelines and return its name."""
    from dataclasses import replace  # noqa: PLC0415

    from torchaudio import pipelines  # noqa: PLC0415

    base = pipelines.WAV2VEC2_LARGE_LV60K
    params = base._params | {
        "extractor_conv_layer_config": [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2],
        "encoder_embed_dim": 32,
        "encoder_pos_conv_kernel": 16,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 64,
    }
    monkeypatch.setattr(pipelines, "TINY", replace(base, _params=params), raising=False)
    return "TINY"


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
