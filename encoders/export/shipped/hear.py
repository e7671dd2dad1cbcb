"""HEAR: functions around a model with a rate and two embedding sizes."""

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.export.shipped.windowed import Piece, Windowed

__all__ = ["HearModel", "get_scene_embeddings", "get_timestamp_embeddings"]


class HearModel(Windowed):
    """An encoder with the attributes that HEAR asks for."""

    def __init__(self, interface: Interface, piece: Piece) -> None:
        super().__init__(interface, piece)
        self.sample_rate = interface.sample_rate_hz
        self.scene_embedding_size = self.timestamp_embedding_size = interface.dim


@torch.no_grad()
def get_timestamp_embeddings(
    audio: Float[Tensor, "sounds samples"], model: HearModel
) -> tuple[Float[Tensor, "sounds frames dim"], Float[Tensor, "sounds frames"]]:
    """Frames of mono audio in [-1, 1], and their centres in milliseconds."""
    embeddings = torch.cat(model(audio), dim=2)
    frames = torch.arange(embeddings.shape[1], dtype=torch.float64)
    centres = model.first_numerator / model.first_denominator + frames * model.hop_samples
    # A last patch may be centred in padding, where there is no sound to place an event in.
    heard = max(1, int((centres <= audio.shape[1]).sum()))
    times_ms = centres[:heard].clamp_max(audio.shape[1]) * 1000 / model.sample_rate
    return embeddings[:, :heard], times_ms.to(embeddings).expand(len(audio), -1)


@torch.no_grad()
def get_scene_embeddings(
    audio: Float[Tensor, "sounds samples"], model: HearModel
) -> Float[Tensor, "sounds dim"]:
    """Average of the frames of mono audio in [-1, 1]."""
    return torch.cat(model(audio), dim=2).mean(dim=1)
