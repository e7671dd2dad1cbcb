"""Tokenizer: waveforms to integers at a stated rate, and back."""

import hashlib
import json
from fractions import Fraction
from math import ceil
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoders.density_jepa.codec import Codec
from probe_bench.encoders.density_jepa.codec_checkpoint import CodecCheckpoint, part, read
from probe_bench.encoders.density_jepa.fsq import quantise
from probe_bench.encoders.density_jepa.packing import pack, unpack
from probe_bench.encoders.pretraining.checkpoint import fill
from probe_bench.encoders.pretraining.recipe import to_json
from probe_bench.errors import AudioError, CheckpointError

__all__ = ["Tokenizer"]


class Tokenizer:
    """A trained codec, frozen.

    Attributes:
        sample_rate_hz: Rate of the waveforms.
        hop_samples: Samples of a frame.
        frame_rate_hz: Frames per second.
        tokens_per_frame: Tokens in a frame.
        vocabularies: Number of values of each of a frame's tokens.
        fingerprint: sha256 over weights and shapes; tokens of another tokenizer mean nothing here.
    """

    def __init__(self, checkpoint: CodecCheckpoint, path: Path) -> None:
        """Fill a codec from a checkpoint; `path` is for messages."""
        encoder, self._tokens = checkpoint.encoder, checkpoint.recipe.tokens
        self._codec = Codec(encoder, checkpoint.recipe)
        fill(self._codec, {n: t.float() for n, t in part(checkpoint, "codec").items()}, path)
        self._codec.eval().requires_grad_(False)
        self.sample_rate_hz = encoder.sample_rate_hz
        self.hop_samples = encoder.frontend.stride_samples
        self.frame_rate_hz = Fraction(self.sample_rate_hz, self.hop_samples)
        self.tokens_per_frame = self._tokens.tokens_per_frame
        self.vocabularies = self._tokens.vocabularies
        self.fingerprint = _fingerprint(checkpoint, self._codec)
        self._window, self._shortest = encoder.crop_samples, encoder.frontend.min_samples
        self._window_frames = encoder.frontend.frames(encoder.crop_samples)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load what `train_codec` or `export_codec` wrote.

        Args:
            path: File, or folder with a `codec.safetensors`.

        Raises:
            CheckpointError: If it is missing, damaged or no codec.
        """
        file = path / "codec.safetensors" if path.is_dir() else path
        return cls(read(file), file)

    @property
    def token_rate_hz(self) -> Fraction:
        """Tokens per second."""
        return self._tokens.token_rate_hz(self.frame_rate_hz)

    @property
    def bitrate_bps(self) -> float:
        """Bits per second that tell all token sequences apart."""
        return self._tokens.information_bps(self.frame_rate_hz)

    @property
    def stored_bps(self) -> float:
        """Bits per second if every token takes the bits of the largest vocabulary."""
        return self._tokens.stored_bps(self.frame_rate_hz)

    @property
    def rates(self) -> str:
        """Frame rate, token rate and bitrates in words."""
        return (
            f"{float(self.frame_rate_hz):g} frames/s, {float(self.token_rate_hz):g} tokens/s, "
            f"{self.bitrate_bps:g} bit/s ({self.stored_bps:g} bit/s in tokens of equal size)"
        )

    def to(self, device: str) -> "Tokenizer":
        """Move the weights to `device` and return self."""
        self._codec.to(device)
        return self

    @torch.inference_mode()
    def encode(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> Int[Tensor, "batch frames tokens"]:
        """Turn waveforms into ceil(samples / hop) frames of tokens.

        The encoder sees windows as long as its training crops, whose frames follow one another
        without a gap; the end is padded with silence until it fills its last frame.

        Raises:
            AudioError: If there are no samples.
        """
        if not waveform.shape[-1]:
            raise AudioError("0 samples to encode; expected audio")
        frames = ceil(waveform.shape[-1] / self.hop_samples)
        starts = range(0, frames, self._window_frames)
        levels = [self._encode_window(waveform, start, frames - start) for start in starts]
        order, group = self._tokens.order, self._tokens.group
        return pack(torch.cat(levels, dim=1), self._tokens.radices, group=group, order=order)

    def _encode_window(self, waveform: Tensor, first: int, left: int) -> Tensor:
        """Levels of the frames from `first`, as many as are left or as a window gives."""
        frames = min(left, self._window_frames)
        needed = self._shortest + (frames - 1) * self.hop_samples
        start = first * self.hop_samples
        # A full window is as long as a training crop, whose last samples may belong to no frame.
        length = self._window if frames == self._window_frames else needed
        window = waveform[:, start : start + length]
        window = F.pad(window, (0, max(0, needed - window.shape[-1])))
        return quantise(self._codec.embed(window)[:, :frames], self._tokens)

    @torch.inference_mode()
    def decode(self, tokens: Int[Tensor, "batch frames tokens"]) -> Float[Tensor, "batch samples"]:
        """Turn tokens into frames * hop samples of waveform in (-1, 1).

        Raises:
            CheckpointError: If a token is out of its vocabulary, as another tokenizer's may be.
        """
        sizes = torch.tensor(self.vocabularies, device=tokens.device)
        if tokens.shape[-1] != len(sizes) or not bool(((tokens >= 0) & (tokens < sizes)).all()):
            raise CheckpointError(
                f"{tokens.shape[-1]} tokens a frame, values {int(tokens.min())} to "
                f"{int(tokens.max())}; expected {len(sizes)} below {max(self.vocabularies)}; "
                "decode with the tokenizer that encoded"
            )
        order, group = self._tokens.order, self._tokens.group
        levels = unpack(tokens.long(), self._tokens.radices, group=group, order=order)
        return self._codec.decode(levels)[:, : tokens.shape[1] * self.hop_samples]


def _fingerprint(checkpoint: CodecCheckpoint, codec: Codec) -> str:
    parts = [checkpoint.encoder.inference, to_json(checkpoint.recipe.tokens)]
    parts.append(to_json(checkpoint.recipe.decoder))
    total = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for name, tensor in sorted(codec.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
