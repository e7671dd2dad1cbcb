"""A pretrained (or freshly initialised) encoder as the suite sees it."""

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.checkpoint import encoder_tensors, fill, is_ours, read
from probe_bench.encoders.pretraining.frontends.frontend import first_frame_s, frame_rate_hz
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import build_model
from probe_bench.encoders.pretraining.training_record import realised_masks
from probe_bench.errors import CheckpointError

__all__ = ["JepaEncoder", "load_encoder"]


class JepaEncoder:
    """Frozen encoder of a recipe; satisfies `probe_bench.encoder.Encoder`.

    Tokens of one time step (the frequency patches of spectrogram systems) stand side by side in the
    feature dimension, low band first, or are averaged where the recipe pools them, so every layer is
    frames x dim.
    """

    def __init__(self, recipe: Recipe, backbone: Backbone, name: str) -> None:
        self.name = name
        self.sample_rate_hz = recipe.sample_rate_hz
        self.window_samples: int | None = recipe.crop_samples
        self.min_samples = recipe.frontend.min_samples
        self.layers = _layers(recipe)
        self.fingerprint = _fingerprint(recipe, backbone)
        self.n_parameters = sum(p.numel() for p in backbone.parameters())
        self.recipe, self.backbone = recipe, backbone.eval().requires_grad_(False)
        self._bands, self._pooled = recipe.frontend.token_bands, recipe.pool_bands
        self._has_cnn = recipe.frontend.feature_dim is not None

    @property
    def hidden_run_ms(self) -> float | None:
        """Mean length of what the recipe's masks hide in time; None where there are none."""
        masks = realised_masks(self.recipe)
        return None if masks is None else float(masks["mean_hidden_gap_ms"])

    def to(self, device: str) -> "JepaEncoder":
        """Move the weights to `device` and return self."""
        self.backbone.to(device)
        return self

    @torch.inference_mode()
    def encode(self, waveform: Float[Tensor, "batch samples"]) -> list[Float[Tensor, "batch _ _"]]:
        """Encode equal-length waveforms of `min_samples` to `window_samples`."""
        backbone = self.backbone
        features = backbone.frontend.features(waveform)
        tokens = backbone.tokens(features)
        outputs = [tokens, *backbone.transformer(tokens)]
        outputs.append(backbone.transformer.norm(outputs[-1]))
        steps = [x.unflatten(1, (-1, self._bands)) for x in outputs]
        frames = [x.mean(2) if self._pooled else x.flatten(2) for x in steps]
        return [features, *frames] if self._has_cnn else frames


def _layers(recipe: Recipe) -> tuple[Layer, ...]:
    bands = 1 if recipe.pool_bands else recipe.frontend.token_bands
    dim = recipe.encoder.dim * bands
    depth = recipe.encoder.depth
    named = [("in", dim, 0.0)]
    named += [(f"L{n}", dim, n / depth) for n in range(1, depth + 1)]
    named.append(("out_norm", dim, 1.0))
    if recipe.frontend.feature_dim is not None:
        named.insert(0, ("cnn", recipe.frontend.feature_dim, 0.0))
    return tuple(
        Layer(
            name=name,
            dim=width,
            depth=place,
            frame_rate_hz=frame_rate_hz(recipe.frontend, recipe.sample_rate_hz),
            first_frame_s=first_frame_s(recipe.frontend, recipe.sample_rate_hz),
        )
        for name, width, place in named
    )


def _fingerprint(recipe: Recipe, backbone: Backbone) -> str:
    total = hashlib.sha256(json.dumps(recipe.inference, sort_keys=True).encode())
    # The positions are no weights, but a published file may bring a table of its own.
    for name, tensor in sorted({**backbone.state_dict(), "positions": backbone.positions}.items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def load_encoder(system: str, argument: str, random_seed: int | None) -> JepaEncoder:
    """Load a bundled system.

    Args:
        system: Registered name.
        argument: Checkpoint file, or folder that `pretrain` wrote, or a file that the system's
            authors published, or empty for the bundled one; `#student` or `#teacher` after it
            chooses whose weights.
        random_seed: None for the trained weights, else the seed of a fresh initialisation of the
            checkpoint's architecture.

    Raises:
        CheckpointError: If the checkpoint is missing, damaged or of another system.
    """
    file, _, which = argument.partition("#")
    if which not in {"", "student", "teacher"}:
        raise CheckpointError(f"{argument}: #{which}; expected #student or #teacher")
    path = _locate(system, file)
    read_any = _read_ours if is_ours(path) else _published_reader(system, path)
    recipe, tensors = read_any(path, which)
    if recipe.system != system:
        raise CheckpointError(
            f"{path}: a checkpoint of {recipe.system}; expected {system}; "
            f"use --encoder {recipe.system}:{path}"
        )
    backbone = build_model(recipe, random_seed or 0).encoder
    positions = tensors.pop("positions", None)
    if positions is not None:
        backbone.positions.copy_(positions)
    if random_seed is None:
        fill(backbone, tensors, path)
    name = f"{system}:{argument}" if argument else system
    return JepaEncoder(recipe, backbone, name if random_seed is None else f"random:{name}")


def _locate(system: str, argument: str) -> Path:
    if argument:
        path = Path(argument).expanduser()
        return path / "checkpoint.safetensors" if path.is_dir() else path
    folder = files("probe_bench.encoders") / system.replace("-", "_")
    return Path(str(folder / "tiny.safetensors"))


def _read_ours(path: Path, which: str) -> tuple[Recipe, dict[str, Tensor]]:
    checkpoint = read(path)
    tensors = encoder_tensors(checkpoint, which or None)
    return checkpoint.recipe, {name: tensor.float() for name, tensor in tensors.items()}


def _published_reader(
    system: str, path: Path
) -> Callable[[Path, str], tuple[Recipe, dict[str, Tensor]]]:
    """Find what reads the files that a system's authors published."""
    package = f"probe_bench.encoders.{system.replace('-', '_')}"
    if importlib.util.find_spec(f"{package}.published") is None:
        raise CheckpointError(
            f"{path}: not a checkpoint of `probe-bench pretrain`; expected one, because no weights "
            f"of {system} were published"
        )
    module = importlib.import_module(f"{package}.published")
    return module.read  # type: ignore[no-any-return]
