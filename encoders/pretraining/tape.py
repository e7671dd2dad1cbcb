"""Training audio: corpora in memory as one 16-bit tape, and random crops from it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench import audio
from probe_bench.corpus import Corpus
from probe_bench.errors import CorpusError

__all__ = ["Tape", "load_tape"]

_FULL_SCALE = 32767.0


@dataclass(frozen=True, kw_only=True)
class Tape:
    """All clips one after the other.

    Attributes:
        samples: 16-bit audio.
        starts: First sample of every clip.
        lengths: Samples of every clip.
    """

    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def digest(self) -> str:
        """Return the sha256 of samples and clip lengths."""
        total = hashlib.sha256(self.samples.tobytes())
        total.update(self.lengths.astype(np.int64).tobytes())
        return total.hexdigest()

    def crops(
        self, batch: int, crop_samples: int, rng: np.random.Generator
    ) -> Float[Tensor, "batch samples"]:
        """Draw crops: clips in proportion to their length, starts uniform within a clip.

        A clip shorter than the crop is followed by its neighbour on the tape, as in a dialogue;
        repeating it instead would let the model copy a masked frame from its twin.
        """
        clips = rng.choice(len(self.lengths), size=batch, p=self.lengths / self.lengths.sum())
        room = np.maximum(self.lengths[clips] - crop_samples, 0)
        first = self.starts[clips] + (rng.random(batch) * (room + 1)).astype(np.int64)
        first = np.minimum(first, len(self.samples) - crop_samples)
        crops = np.stack([self.samples[start : start + crop_samples] for start in first])
        return torch.from_numpy(crops.astype(np.float32) / _FULL_SCALE)


def load_tape(corpora: Sequence[Corpus], sample_rate_hz: int, crop_samples: int) -> Tape:
    """Read every clip of some corpora.

    Raises:
        CorpusError: If all clips together are shorter than one crop.
    """
    clips = [clip for corpus in corpora for clip in corpus]
    pieces = [_to_int16(audio.load(clip.path, sample_rate_hz)) for clip in clips]
    lengths = [len(piece) for piece in pieces]
    if sum(lengths) < crop_samples:
        raise CorpusError(
            f"{', '.join(corpus.name for corpus in corpora) or 'no corpus'}: "
            f"{sum(lengths) / sample_rate_hz:.2f} s of audio in all; expected at least one crop of "
            f"{crop_samples / sample_rate_hz:.2f} s; give more or longer clips"
        )
    return Tape(
        samples=np.concatenate(pieces),
        starts=np.array([0, *accumulate(lengths)][:-1]),
        lengths=np.array(lengths),
    )


def _to_int16(samples: Tensor) -> np.ndarray:
    scaled: np.ndarray = (samples.clamp(-1, 1) * _FULL_SCALE).round().to(torch.int16).numpy()
    return scaled
