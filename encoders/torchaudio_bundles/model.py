"""torchaudio's wav2vec 2.0 family with all layers, normalised clip by clip.

Differences from `bundle.get_model().extract_features`: the stem's output, the input of the first
block and, in pre-norm models, the final norm are layers too; and a bundle that wants normalised
waveforms gets each waveform normalised by itself, where torchaudio normalises a batch as a whole, so
that a clip's features would depend on its neighbours.
"""

from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torchaudio import models, pipelines

from probe_bench.encoders.adapter.conv import ConvTiming
from probe_bench.encoders.adapter.encoder import Recipe, TappedEncoder, standardise
from probe_bench.encoders.adapter.taps import Taps
from probe_bench.errors import CheckpointError, UserError
from probe_bench.registry import find

__all__ = ["build"]

_EPS = 1e-5  # of torchaudio's layer_norm on waveforms


def build(name: str, random_seed: int | None) -> TappedEncoder:
    """Build the encoder of a bundle.

    Args:
        name: Name in `torchaudio.pipelines`.
        random_seed: None for the published weights (from torch hub's folder, downloaded at first
            use), else the seed of a fresh initialisation, which needs no network.

    Raises:
        UserError: If there is no such bundle, or its weights cannot be had.
        CheckpointError: If the file in torch hub's folder does not fit the bundle.
    """
    known = {n: b for n, b in vars(pipelines).items() if isinstance(b, pipelines.Wav2Vec2Bundle)}
    bundle = find("torchaudio bundle", name, known)
    model = _trained(name, bundle) if random_seed is None else _fresh(bundle, random_seed)
    return TappedEncoder(model, _recipe(model, bundle))


def _trained(name: str, bundle: Any) -> nn.Module:
    """Load the published weights."""
    file = f"{torch.hub.get_dir()}/checkpoints/{bundle._path.rsplit('/')[-1]}"  # noqa: SLF001
    try:
        model = bundle.get_model(dl_kwargs={"map_location": "cpu", "weights_only": True})
    except OSError as error:
        raise UserError(
            f"torchaudio:{name}: its weights cannot be downloaded ({error}); connect to the network, "
            f"put them at {file}, or use random:torchaudio:{name}"
        ) from error
    except (RuntimeError, KeyError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{file}: not the weights of {name} ({reason}); remove it to download it again"
        ) from error
    # Some bundles wrap their model to normalise a whole batch; `_recipe` does it clip by clip.
    return getattr(model, "model", model)  # type: ignore[no-any-return]


def _fresh(bundle: Any, seed: int) -> nn.Module:
    """Draw the weights as the library's constructor does."""
    constructors = {"Wav2Vec2": models.wav2vec2_model, "WavLM": models.wavlm_model}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return constructors[bundle._model_type](**bundle._params)  # type: ignore[no-any-return]  # noqa: SLF001


def _recipe(model: Any, bundle: Any) -> Recipe:
    """Say where the layers and frames of a bundle's model are."""
    normalise, params = bundle._normalize_waveform, bundle._params  # noqa: SLF001
    _, kernels, strides = zip(*params["extractor_conv_layer_config"], strict=True)
    timing = ConvTiming(kernels=kernels, strides=strides)
    transformer = model.encoder.transformer

    def run(waveform: Tensor) -> object:
        features, _ = model.feature_extractor(
            standardise(waveform, _EPS) if normalise else waveform, None
        )
        return model.encoder(features, None)

    return Recipe(
        taps=Taps(
            stem=model.feature_extractor,
            stem_frames=lambda output: output[0],
            blocks=list(transformer.layers),
            norm=transformer.layer_norm,
        ),
        run=run,
        n_frames=timing.n_frames,
        settings={"library": "torchaudio", "normalise": normalise, "params": params},
        sample_rate_hz=int(bundle.sample_rate),
        hop_samples=timing.hop_samples,
        centre_samples=timing.centre_samples,
        min_samples=timing.field_samples,
        window_samples=None,
    )
