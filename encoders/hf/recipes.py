"""Where the layers and frames of each kind of transformers model are."""

from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from probe_bench.encoders.adapter.conv import ConvTiming
from probe_bench.encoders.adapter.encoder import Recipe, standardise
from probe_bench.encoders.adapter.taps import Taps
from probe_bench.errors import CheckpointError, UserError

__all__ = ["recipe_of"]

_EPS = 1e-7  # of Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm
_CLERICAL = ("_name_or_path", "transformers_version", "dtype", "architectures", "auto_map")


def recipe_of(name: str, model: Any, extractor: Any | None) -> tuple[nn.Module, Recipe]:
    """Return the part of a model that encodes audio, and how to run it.

    Args:
        name: For messages.
        model: What `AutoModel` built.
        extractor: Its feature extractor; None for the library's default of its kind.

    Raises:
        UserError: If the model has no such part, or one whose frames cannot be placed in time.
    """
    if model.config.model_type == "whisper":
        return model.encoder, _whisper(name, model.encoder, extractor)
    parts = (getattr(model, "feature_extractor", None), getattr(model, "encoder", None))
    known = all(hasattr(model.config, field) for field in ("conv_kernel", "conv_stride"))
    if known and hasattr(parts[0], "conv_layers") and hasattr(parts[1], "layers"):
        if hasattr(parts[1], "upsample"):
            raise UserError(
                f"hf:{name}: {type(model).__name__} runs its blocks at a lower frame rate than its stem; "
                "probe-bench reads models of one frame rate; compute its features and use features:FOLDER"
            )
        return model, _waveform(model, extractor)
    raise UserError(
        f"hf:{name}: {type(model).__name__} is no audio encoder that probe-bench knows; expected the "
        "wav2vec 2.0 family (HuBERT, WavLM, data2vec-audio, UniSpeech ...) or Whisper; compute its "
        "features and use features:FOLDER"
    )


def _waveform(model: Any, extractor: Any | None) -> Recipe:
    """Wav2vec 2.0 and its family: an unpadded conv stem on the waveform, then blocks at its rate.

    No attention mask is passed: inputs are of equal length, and models with a group norm in the
    stem must not get one.
    """
    extractor = extractor or Wav2Vec2FeatureExtractor()
    normalise = bool(getattr(extractor, "do_normalize", False))
    timing = ConvTiming(kernels=model.config.conv_kernel, strides=model.config.conv_stride)
    return Recipe(
        taps=Taps(
            stem=model.feature_extractor,
            stem_frames=lambda output: output.transpose(1, 2),
            blocks=list(model.encoder.layers),
            norm=getattr(model.encoder, "layer_norm", None),
        ),
        run=lambda waveform: model(standardise(waveform, _EPS) if normalise else waveform),
        n_frames=timing.n_frames,
        settings=_settings(model, normalise=normalise),
        sample_rate_hz=extractor.sampling_rate,
        hop_samples=timing.hop_samples,
        centre_samples=timing.centre_samples,
        min_samples=timing.field_samples,
        window_samples=None,
    )


def _whisper(name: str, encoder: Any, extractor: Any | None) -> Recipe:
    """Whisper's encoder: always 30 s, silence after the clip, by the model's own definition.

    The clip is padded inside, alone, and the frames that lie in it are returned; they see the
    silence behind it, as in every use of the model. Its log-mel frames are centred on multiples of
    the hop, and the second convolution (kernel 3, stride 2, padding 1) keeps every other one, so
    frame k is centred at exactly 2 k hops.
    """
    config = encoder.config
    extractor = extractor or WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    if extractor.nb_max_frames != 2 * config.max_source_positions:
        raise CheckpointError(
            f"hf:{name}: its feature extractor gives {extractor.nb_max_frames} log-mel frames; the "
            f"encoder expects {2 * config.max_source_positions}; save the extractor with the model"
        )
    hop_samples = 2 * extractor.hop_length

    def run(waveform: Tensor) -> object:
        mel = extractor(
            list(waveform.cpu().numpy()),
            sampling_rate=extractor.sampling_rate,
            return_tensors="pt",
            device=str(waveform.device),
        )
        return encoder(mel["input_features"].to(waveform.device, torch.float32))

    return Recipe(
        taps=Taps(
            stem=encoder.conv2,
            stem_frames=lambda output: F.gelu(output).transpose(1, 2),
            blocks=list(encoder.layers),
            norm=encoder.layer_norm,
        ),
        run=run,
        n_frames=lambda n_samples: n_samples // hop_samples,
        settings=_settings(encoder, extractor=extractor.to_dict() | {"mel_filters": None}),
        sample_rate_hz=extractor.sampling_rate,
        hop_samples=hop_samples,
        centre_samples=Fraction(0),
        min_samples=hop_samples,
        window_samples=extractor.n_samples,
    )


def _settings(model: Any, **preprocessing: Any) -> dict[str, Any]:
    """Collect what the features depend on beside the weights."""
    config = {key: value for key, value in model.config.to_dict().items() if key not in _CLERICAL}
    return {
        "library": "transformers",
        "model": type(model).__name__,
        "config": config,
    } | preprocessing
