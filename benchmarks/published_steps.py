"""Training steps of the published repositories, run from checkouts given by path.

Nothing of theirs is copied: their modules are imported, their model, collator or masker, loss, AdamW
groups, schedulers and teacher update are called as their Lightning trainer would call them. The
training services around them (Lightning, wandb, hydra ...) need not be installed
(`published_services`). `einops` is needed for WavJEPA.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from published_services import importing
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.encoders.pretraining.masking.samplers import SpanMasks
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PublishedStep", "audio_jepa", "wavjepa"]

_STEPS = 100_000  # length of the published schedules, which the step itself does not depend on


@dataclass(frozen=True, kw_only=True)
class PublishedStep:
    """One system's published training step.

    Attributes:
        parameters: Number of trained weights.
        collate: Makes a batch from waveforms on the CPU, as their data loader does.
        forward: From a batch on the device to the loss.
        finish: After the gradients are there: clip, optimiser, teacher, schedule.
        optimiser: Theirs.
    """

    parameters: int
    collate: Callable[[Tensor], Any]
    forward: Callable[[Any], Tensor]
    finish: Callable[[], None]
    optimiser: torch.optim.Optimizer


def _audio_jepa_model(path: Path, recipe: Recipe) -> nn.Module:
    """Build their model with its loss, optimiser, schedules and teacher update."""
    shape, encoder, predictor = recipe.frontend, recipe.encoder, recipe.predictor
    assert isinstance(shape, MelPatchesShape)
    assert isinstance(encoder, TransformerShape)
    assert isinstance(predictor, TransformerPredictor)
    patch = (shape.patch_frames, shape.patch_bands)
    size = (recipe.grid.frames * patch[0], shape.bands)
    with importing(path):
        vit = importlib.import_module("src.models.components.vision_transformer")
        module = importlib.import_module("src.models.jepa_module")
        loss = importlib.import_module("src.models.components.loss").Loss
        update = importlib.import_module("src.callbacks.MA_weight_update_callback").MAWeightUpdate
        lr = importlib.import_module("src.optimizers.warmup_cosine").WarmupCosineScheduler
        decay = importlib.import_module("src.optimizers.cosine_wd").CosineWDScheduler
    model: nn.Module = module.JEPAModule(
        vit.VisionTransformer(
            input_size=size,
            patch_size=patch,
            in_chans=1,
            embed_dim=encoder.dim,
            depth=encoder.depth,
            num_heads=encoder.heads,
            mlp_ratio=encoder.mlp_ratio,
        ),
        vit.VisionTransformerPredictor(
            num_patches_h=recipe.grid.frames,
            num_patches_w=recipe.grid.bands,
            embed_dim=encoder.dim,
            predictor_embed_dim=predictor.dim,
            depth=predictor.depth,
            num_heads=predictor.heads,
            mlp_ratio=predictor.mlp_ratio,
        ),
        loss(loss_type="norm_mse", norm_pix_loss=True),
        partial(torch.optim.AdamW, lr=3e-4, weight_decay=0.05, betas=(0.9, 0.95)),
        partial(lr, warmup_steps=1000, start_lr=1e-6, ref_lr=1e-3, final_lr=0.0),
        partial(decay, ref_wd=1e-6, final_wd=1e-6),
        update(),
        compile=False,
    )
    return model


def _audio_jepa_collate(path: Path, recipe: Recipe) -> Callable[[Tensor], Any]:
    """Build what their data loader does: spectrograms, then masks."""
    shape = recipe.frontend
    assert isinstance(shape, MelPatchesShape)
    patch = (shape.patch_frames, shape.patch_bands)
    size = (recipe.grid.frames * patch[0], shape.bands)
    with importing(path):
        collator = importlib.import_module("src.masks.components.random_block").MaskCollator
        mel = importlib.import_module("src.data.components.mel_spec").MelSpecTransform
    mask = collator(ratio=(0.4, 0.6), input_size=size, patch_size=patch)
    rate_hz = recipe.sample_rate_hz
    spectrogram = mel(
        sr=rate_hz,
        n_mels=shape.bands,
        clip_length=recipe.crop_samples / rate_hz,
        target_time_bins=size[0],
        frame_length=1000 * shape.window_samples / rate_hz,
        hop_length=1000 * shape.hop_samples / rate_hz,
    )

    def collate(waveform: Tensor) -> Any:
        items = [
            {
                "waveform": w,
                "target": 0,
                "audio_name": "",
                "transformed_waveform": spectrogram(w[None]),
            }
            for w in waveform
        ]
        return mask(items)

    return collate


def audio_jepa(path: Path, recipe: Recipe, device: str) -> PublishedStep:
    """Build LudovicTuncay/Audio-JEPA's step at the geometry of a recipe."""
    model: Any = _audio_jepa_model(path, recipe).to(device)
    model.trainer = SimpleNamespace(
        estimated_stepping_batches=_STEPS, train_dataloader=range(_STEPS), max_epochs=50
    )
    (optimiser,), schedulers = model.configure_optimizers()
    model.chosen_optimiser = optimiser

    def forward(batch: Any) -> Tensor:
        batch.spectrograms = batch.spectrograms.to(device)
        batch.context_masks = [m.to(device) for m in batch.context_masks]
        batch.prediction_masks = [m.to(device) for m in batch.prediction_masks]
        value: Tensor = model.training_step(batch, 0)
        return value

    def finish() -> None:
        optimiser.step()
        model.global_step += 1
        model.on_train_batch_end(None, None, 0)
        for schedule in schedulers:
            schedule["scheduler"].step()

    return PublishedStep(
        parameters=_trained(model),
        collate=_audio_jepa_collate(path, recipe),
        forward=forward,
        finish=finish,
        optimiser=optimiser,
    )


def _wavjepa_model(path: Path, recipe: Recipe, *, compiled: bool) -> nn.Module:
    """Build their model with its optimiser and schedule."""
    shape, encoder, predictor = recipe.frontend, recipe.encoder, recipe.predictor
    assert isinstance(shape, ConvStemShape)
    assert isinstance(encoder, TransformerShape)
    assert isinstance(predictor, TransformerPredictor)
    with importing(path):
        types = importlib.import_module("wavjepa.types")
        configs = importlib.import_module("wavjepa.types.wavjepa_configs")
        for name in ("ForwardReturn", "TransformerLayerCFG", "TransformerEncoderCFG"):
            setattr(types, name, getattr(configs, name))  # the package's own list swaps the names
        network = importlib.import_module("wavjepa.jepa").JEPA
        stem = importlib.import_module("wavjepa.extractors").ConvFeatureExtractor
    layers = configs.TransformerEncoderCFG.create
    layer = configs.TransformerLayerCFG.create
    model: nn.Module = network(
        feature_extractor=stem(
            conv_layers_spec=list(zip(shape.channels, shape.kernels, shape.strides, strict=True)),
            in_channels=1,
        ),
        transformer_encoder_cfg=layers(num_layers=encoder.depth),
        transformer_encoder_layers_cfg=_layer(layer, encoder),
        transformer_decoder_cfg=layers(num_layers=predictor.depth),
        transformer_decoder_layers_cfg=_layer(layer, predictor),
        lr=4e-4,
        adam_betas=(0.9, 0.98),
        adam_weight_decay=0.04,
        resample_sr=recipe.sample_rate_hz,
        process_audio_seconds=recipe.crop_samples / recipe.sample_rate_hz,
        nr_samples_per_audio=1,
        compile_modules=compiled,
        average_top_k_layers=recipe.targets.top_k,
    )
    return model


def _wavjepa_collate(path: Path, recipe: Recipe) -> Callable[[Tensor], Any]:
    """Build what their data loader does: waveforms beside masks."""
    masks = recipe.masks
    assert isinstance(masks, SpanMasks)
    with importing(path):
        masker = importlib.import_module("wavjepa.masking").TimeInverseBlockMasker
    mask = masker(
        target_masks_per_context=masks.groups,
        context_mask_prob=masks.context_probability,
        context_mask_length=masks.span,
        target_prob=masks.target_probability,
        target_length=masks.span,
        ratio_cutoff=masks.min_context,
    )

    def collate(waveform: Tensor) -> Any:
        drawn = [mask(1, recipe.grid.frames, 1) for _ in waveform]
        return waveform, *(torch.stack(part) for part in zip(*drawn, strict=True))

    return collate


def wavjepa(path: Path, recipe: Recipe, device: str, *, compiled: bool = False) -> PublishedStep:
    """Build labhamlet/wavjepa's step at the geometry of a recipe, one crop a clip."""
    model: Any = _wavjepa_model(path, recipe, compiled=compiled).to(device)
    model.trainer = SimpleNamespace(max_steps=375_000)
    found = model.configure_optimizers()
    optimiser, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]

    def forward(batch: Any) -> Tensor:
        moved = tuple(part.to(device) for part in batch)
        crops, *selected = model.on_after_batch_transfer(moved, 0)
        if not torch.is_autocast_enabled(torch.device(device).type):
            crops = crops.float()  # they train in bfloat16 only
        value: Tensor = model.training_step((crops, *selected), 0)["loss"]
        return value

    def finish() -> None:
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 5.0)
        optimiser.step()
        schedule.step()
        model.global_step += 1

    return PublishedStep(
        parameters=_trained(model),
        collate=_wavjepa_collate(path, recipe),
        forward=forward,
        finish=finish,
        optimiser=optimiser,
    )


def _layer(create: Callable[..., Any], shape: TransformerShape) -> Any:
    return create(
        d_model=shape.dim,
        nhead=shape.heads,
        norm_first=shape.norm == "pre",
        mlp_ratio=shape.mlp_ratio,
        layer_norm_eps=shape.norm_eps,
    )


def _trained(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
