"""Training steps of the published repositories, run from checkouts given by path.

Nothing of theirs is copied: their modules are imported, their model, collator or masker, loss, AdamW
groups, schedulers and teacher update are called as their Lightning trainer would call them. The
training services around them (Lightning, wandb, hydra ...) need not be installed: they are replaced by
empty modules, with the few attributes that the step reads. `einops` is needed for WavJEPA.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.encoders.pretraining.masking.samplers import SpanMasks
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PublishedStep", "audio_jepa", "wavjepa"]

# Services of a training, and WavJEPA's data module, which its checkout lacks.
_SERVICES = (
    *("lightning", "lightning_utilities", "pytorch_lightning", "wandb", "hydra", "omegaconf"),
    *("av", "h5py", "data_modules"),
)
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


class _Module(nn.Module):
    """What the step reads of a LightningModule."""

    trainer: Any
    global_step = 0
    current_epoch = 10
    logger = None
    chosen_optimiser: torch.optim.Optimizer

    def __init__(self, **_: object) -> None:
        super().__init__()

    def save_hyperparameters(self, *_: object, **__: object) -> None:
        """Keep the arguments of the constructor that calls this."""
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        self.hparams = SimpleNamespace(**frame.f_back.f_locals)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def optimizers(self) -> torch.optim.Optimizer:
        return self.chosen_optimiser

    def log(self, *_: object, **__: object) -> None:
        """Log nothing."""

    log_dict = log


class _Empty(ModuleType):
    """Module in which every name is there: classes with nothing in them, decorators that do nothing."""

    __path__: MutableSequence[str] = []  # noqa: RUF012 - as the import system wants it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "LightningModule":
            return _Module
        value = type(name, (), {}) if name[0].isupper() else _Empty(name)
        setattr(self, name, value)
        return value

    def __call__(self, decorated: Any = None, *_: object, **__: object) -> Any:
        return decorated


class _Services(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that makes missing training services empty modules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        wanted = name.partition(".")[0] in _SERVICES
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def _importing(path: Path) -> Iterator[None]:
    """Import from a checkout; installed services win over empty ones."""
    services = _Services()
    sys.path.insert(0, str(path))
    sys.meta_path.append(services)
    try:
        yield
    finally:
        sys.meta_path.remove(services)
        sys.path.remove(str(path))


def audio_jepa(path: Path, recipe: Recipe, device: str) -> PublishedStep:
    """Build LudovicTuncay/Audio-JEPA's step at the geometry of a recipe."""
    shape, encoder, predictor = recipe.frontend, recipe.encoder, recipe.predictor
    assert isinstance(shape, MelPatchesShape)
    assert isinstance(encoder, TransformerShape)
    assert isinstance(predictor, TransformerPredictor)
    patch = (shape.patch_frames, shape.patch_bands)
    size = (recipe.grid.frames * patch[0], shape.bands)
    with _importing(path):
        vit = importlib.import_module("src.models.components.vision_transformer")
        module = importlib.import_module("src.models.jepa_module")
        loss = importlib.import_module("src.models.components.loss").Loss
        update = importlib.import_module("src.callbacks.MA_weight_update_callback").MAWeightUpdate
        lr = importlib.import_module("src.optimizers.warmup_cosine").WarmupCosineScheduler
        decay = importlib.import_module("src.optimizers.cosine_wd").CosineWDScheduler
        collator = importlib.import_module("src.masks.components.random_block").MaskCollator
        mel = importlib.import_module("src.data.components.mel_spec").MelSpecTransform
    model = module.JEPAModule(
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
    ).to(device)
    model.trainer = SimpleNamespace(
        estimated_stepping_batches=_STEPS, train_dataloader=range(_STEPS), max_epochs=50
    )
    (optimiser,), schedulers = model.configure_optimizers()
    model.chosen_optimiser = optimiser
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
        collate=collate,
        forward=forward,
        finish=finish,
        optimiser=optimiser,
    )


def wavjepa(path: Path, recipe: Recipe, device: str, *, compiled: bool = False) -> PublishedStep:
    """Build labhamlet/wavjepa's step at the geometry of a recipe, one crop a clip."""
    shape, encoder, predictor = recipe.frontend, recipe.encoder, recipe.predictor
    masks = recipe.masks
    assert isinstance(shape, ConvStemShape)
    assert isinstance(encoder, TransformerShape)
    assert isinstance(predictor, TransformerPredictor)
    assert isinstance(masks, SpanMasks)
    with _importing(path):
        types = importlib.import_module("wavjepa.types")
        configs = importlib.import_module("wavjepa.types.wavjepa_configs")
        for name in ("ForwardReturn", "TransformerLayerCFG", "TransformerEncoderCFG"):
            setattr(types, name, getattr(configs, name))  # the package's own list swaps the names
        network = importlib.import_module("wavjepa.jepa").JEPA
        stem = importlib.import_module("wavjepa.extractors").ConvFeatureExtractor
        masker = importlib.import_module("wavjepa.masking").TimeInverseBlockMasker
    layers = configs.TransformerEncoderCFG.create
    layer = configs.TransformerLayerCFG.create
    model = network(
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
    ).to(device)
    model.trainer = SimpleNamespace(max_steps=375_000)
    found = model.configure_optimizers()
    optimiser, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
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
        collate=collate,
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
