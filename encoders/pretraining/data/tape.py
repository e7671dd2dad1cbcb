"""Training audio in memory: corpora as one 16-bit tape."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from probe_bench import audio
from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining.data.cuts import CropRule, Timeline
from probe_bench.errors import CorpusError

__all__ = ["Tape", "load_tape"]

_FULL_SCALE = 32767.0


@dataclass(frozen=True, kw_only=True)
class Tape:
    """All clips one after the other; a `Source`.

    Attributes:
        samples: 16-bit audio.
        lengths: Samples of every clip.
    """

    samples: np.ndarray
    lengths: np.ndarray

    @cached_property
    def _timeline(self) -> Timeline:
        return Timeline(name="training audio", lengths=self.lengths.astype(np.int64))

    @property
    def n_clips(self) -> int:
        """Number of clips."""
        return len(self.lengths)

    @property
    def n_samples(self) -> int:
        """Length of all clips."""
        return len(self.samples)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: a corpus is whole, or was not loaded."""
        return ()

    def digest(self) -> str:
        """Return the sha256 of samples and clip lengths."""
        total = hashlib.sha256(self.samples.tobytes())
        total.update(self.lengths.astype(np.int64).tobytes())
        return total.hexdigest()

    def draw(
        self,
        turns: Int64[np.ndarray, " clips"],
        rule: CropRule,
        *,
        seed: int,  # noqa: ARG002  (everything here comes from the step's generator)
        rng: np.random.Generator,
    ) -> Int64[np.ndarray, " cuts"]:
        """Draw clips in proportion to their length, starts uniform within a clip."""
        return self._timeline.cuts(self._timeline.draw_clips(len(turns), rng), rule, rng)

    def read(
        self, cuts: Int64[np.ndarray, " batch"], crop_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Copy the crops that start at some cuts."""
        crops = np.stack([self.samples[start : start + crop_samples] for start in cuts])
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
        lengths=np.array(lengths),
    )


def _to_int16(samples: Tensor) -> np.ndarray:
    scaled: np.ndarray = (samples.clamp(-1, 1) * _FULL_SCALE).round().to(torch.int16).numpy()
    return scaled
