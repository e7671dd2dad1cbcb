"""Log-mel patches: the front end of spectrogram systems."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.frontends.frontend import Frontend, standardise
from probe_bench.encoders.pretraining.ranges import Count, Positive, Ranged, Whole
from probe_bench.logmel import kaldi_log_mel, log_mel

__all__ = ["MelPatches", "MelPatchesShape", "bring_to_peak"]

_SPECTROGRAMS: Mapping[str, Callable[..., Tensor]] = {"slaney": log_mel, "kaldi": kaldi_log_mel}


@dataclass(frozen=True, kw_only=True)
class MelPatchesShape(Ranged):
    """Geometry of the log-mel spectrogram and its patches.

    Attributes:
        bands: Mel bands.
        hop_samples: Samples between spectrogram frames.
        window_samples: Samples in a spectrogram frame.
        patch_frames: Spectrogram frames in a patch.
        patch_bands: Mel bands in a patch.
        mean: Subtracted from the log-mel of the levelled waveform.
        std: The result is divided by this.
        spectrogram: `log_mel` (Slaney's scale and area norm) or `kaldi_log_mel`.
        level: Bring each waveform to unit standard deviation, or to a largest magnitude of 1.
        pad_frames: Frames of zeros after the last one (Audio-JEPA: 10 s give 254 frames, patches
            need 256), so that the last patch may hold less sound than the others.
    """

    bands: Count
    hop_samples: Count
    window_samples: Count
    patch_frames: Count
    patch_bands: Count
    mean: float = 0.0
    std: Positive = 1.0
    spectrogram: Literal["slaney", "kaldi"] = "slaney"
    level: Literal["standardise", "peak"] = "standardise"
    pad_frames: Whole = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bands % self.patch_bands:
            raise ValueError(
                f"patch_bands is {self.patch_bands}; expected a divisor of bands, {self.bands}"
            )

    @property
    def patch_pixels(self) -> int:
        """Log-mel values in a patch."""
        return self.patch_frames * self.patch_bands

    @property
    def receptive_field_samples(self) -> int:
        """Samples under all frames of one patch."""
        return self.window_samples + (self.patch_frames - 1) * self.hop_samples

    @property
    def stride_samples(self) -> int:
        """Samples between patches."""
        return self.patch_frames * self.hop_samples

    @property
    def min_samples(self) -> int:
        """Samples under the frames of one patch that are not padding."""
        heard = max(self.patch_frames - self.pad_frames, 1)
        return self.window_samples + (heard - 1) * self.hop_samples

    def frames(self, samples: int) -> int:
        """Patches along the time of a waveform."""
        spectra = (samples - self.window_samples) // self.hop_samples + 1
        return (spectra + self.pad_frames) // self.patch_frames if spectra > 0 else 0

    @property
    def first_frame_samples(self) -> Fraction:
        """Centre of the first patch."""
        return Fraction(self.receptive_field_samples, 2)

    @property
    def token_bands(self) -> int:
        """Patches in one time step."""
        return self.bands // self.patch_bands

    @property
    def feature_dim(self) -> int | None:
        """None: the patches are the log-mel baseline itself, which has a row of its own."""
        return None

    def build(self, sample_rate_hz: int, dim: int) -> "MelPatches":
        """Make the front end."""
        return MelPatches(self, sample_rate_hz, dim)


class MelPatches(Frontend):
    """Levelled waveform -> log-mel -> non-overlapping patches -> linear."""

    learns_features = False

    def __init__(self, shape: MelPatchesShape, sample_rate_hz: int, dim: int) -> None:
        super().__init__()
        self.shape, self.sample_rate_hz = shape, sample_rate_hz
        self.projection = nn.Linear(shape.patch_pixels, dim)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def features(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch patches pixels"]:
        """Cut the normalised log-mel into patches, time-major; frames that fill no patch go."""
        shape = self.shape
        mel = (self._spectrogram(waveform) - shape.mean) / shape.std
        mel = F.pad(mel, (0, 0, 0, shape.pad_frames))
        patches = mel.unfold(1, shape.patch_frames, shape.patch_frames)
        patches = patches.unfold(2, shape.patch_bands, shape.patch_bands)
        return patches.flatten(1, 2).flatten(2)

    def _spectrogram(self, waveform: Tensor) -> Tensor:
        shape = self.shape
        peak = shape.level == "peak"
        levelled = bring_to_peak(waveform) if peak else standardise(waveform, eps=1e-5)
        return _SPECTROGRAMS[shape.spectrogram](
            levelled,
            self.sample_rate_hz,
            bands=shape.bands,
            hop_samples=shape.hop_samples,
            window_samples=shape.window_samples,
        )

    def project(
        self, features: Float[Tensor, "batch patches pixels"]
    ) -> Float[Tensor, "batch patches dim"]:
        """Embed every patch."""
        return self.projection(features)  # type: ignore[no-any-return]


def bring_to_peak(waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """Bring each waveform to zero mean and a largest magnitude of 1; silence stays zero."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    return centred / centred.abs().amax(-1, keepdim=True).clamp_min(1e-8)
