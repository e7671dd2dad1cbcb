"""A model of another library as an encoder of ours."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoder import Encoder, Layer
from probe_bench.encoders.adapter.fingerprint import fingerprint
from probe_bench.encoders.adapter.taps import Taps, record

__all__ = ["Recipe", "TappedEncoder", "standardise"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is run and where its frames lie.

    Attributes:
        taps: Where its layers are.
        run: Runs the model on `batch samples` waveforms; what it returns is not looked at.
        n_frames: Number of frames that belong to a waveform of so many samples; frames of padding
            that the model's own definition adds lie after them and are dropped.
        settings: Preprocessing and architecture for the fingerprint.
        sample_rate_hz: Rate of its audio.
        hop_samples: Samples between frames.
        centre_samples: Centre of frame 0 in samples.
        min_samples: Shortest waveform that gives one frame.
        window_samples: Longest waveform it takes, or None.
    """

    taps: Taps
    run: Callable[[Tensor], object]
    n_frames: Callable[[int], int]
    settings: dict[str, Any]
    sample_rate_hz: int
    hop_samples: int
    centre_samples: Fraction
    min_samples: int
    window_samples: int | None


class TappedEncoder:
    """A frozen model whose layers are recorded by hooks; see `probe_bench.encoder.Encoder`.

    What layers there are and how wide, a forward pass on a short noise at construction tells.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._recipe = recipe
        self.name = ""
        self.sample_rate_hz = recipe.sample_rate_hz
        self.min_samples = recipe.min_samples
        self.window_samples = recipe.window_samples
        self.n_parameters = sum(parameter.numel() for parameter in model.parameters())
        self.fingerprint = fingerprint(model, recipe.settings)
        self.layers: tuple[Layer, ...] = tuple(
            self._layer(name, tensor)
            for name, tensor in self._record(_noise(recipe.min_samples)).items()
        )

    def to(self, device: str) -> Encoder:
        """Move the weights to `device` and return self."""
        self._model.to(device)
        return self

    def encode(self, waveform: Float[Tensor, "batch samples"]) -> list[Float[Tensor, "batch _ _"]]:
        """Return one `batch frames dim` tensor a layer; see `Encoder.encode`."""
        recorded = self._record(waveform)
        return [recorded[layer.name] for layer in self.layers]

    @torch.no_grad()
    def _record(self, waveform: Tensor) -> dict[str, Tensor]:
        """Run the model and keep the frames that belong to the waveform."""
        recorded = record(self._recipe.taps, lambda: self._recipe.run(waveform))
        n_frames = self._recipe.n_frames(waveform.shape[-1])
        return {name: tensor[:, :n_frames] for name, tensor in recorded.items()}

    def _layer(self, name: str, tensor: Tensor) -> Layer:
        """Describe a recorded layer; block k of N is at depth k / N."""
        depths = {"cnn": 0.0, "in": 0.0, "out_norm": 1.0}
        return Layer(
            name=name,
            dim=tensor.shape[-1],
            depth=depths[name] if name in depths else int(name[1:]) / len(self._recipe.taps.blocks),
            frame_rate_hz=Fraction(self.sample_rate_hz, self._recipe.hop_samples),
            first_frame_s=self._recipe.centre_samples / self.sample_rate_hz,
        )


def standardise(
    waveform: Float[Tensor, "batch samples"], eps: float
) -> Float[Tensor, "batch samples"]:
    """Bring each waveform by itself to zero mean and unit variance."""
    variance, mean = torch.var_mean(waveform, dim=-1, correction=0, keepdim=True)
    return (waveform - mean) / torch.sqrt(variance + eps)


def _noise(n_samples: int) -> Float[Tensor, "1 samples"]:
    return 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(0))
