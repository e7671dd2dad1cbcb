"""Log-mel patches: the front end of spectrogram systems."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.frontend import Frontend, standardise
from probe_bench.logmel import log_mel

__all__ = ["MelPatches", "MelPatchesShape"]


@dataclass(frozen=True, kw_only=True)
class MelPatchesShape:
    """Geometry of the log-mel spectrogram and its patches.

    Attributes:
        bands: Mel bands.
        hop_samples: Samples between spectrogram frames.
        window_samples: Samples in a spectrogram frame.
        patch_frames: Spectrogram frames in a patch.
        patch_bands: Mel bands in a patch.
        mean: Subtracted from the log-mel of the standardised waveform.
        std: The result is divided by this.
    """

    bands: int
    hop_samples: int
    window_samples: int
    patch_frames: int
    patch_bands: int
    mean: float = 0.0
    std: float = 1.0

    @property
    def receptive_field_samples(self) -> int:
        """Samples under all frames of one patch."""
        return self.window_samples + (self.patch_frames - 1) * self.hop_samples

    @property
    def stride_samples(self) -> int:
        """Samples between patches."""
        return self.patch_frames * self.hop_samples

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
    """Standardised waveform -> log-mel -> non-overlapping patches -> linear."""

    def __init__(self, shape: MelPatchesShape, sample_rate_hz: int, dim: int) -> None:
        super().__init__()
        self.shape, self.sample_rate_hz = shape, sample_rate_hz
        self.projection = nn.Linear(shape.patch_frames * shape.patch_bands, dim)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def features(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch patches pixels"]:
        """Cut the normalised log-mel into patches, time-major; frames that fill no patch go."""
        shape = self.shape
        mel = log_mel(
            standardise(waveform, eps=1e-5),
            self.sample_rate_hz,
            bands=shape.bands,
            hop_samples=shape.hop_samples,
            window_samples=shape.window_samples,
        )
        mel = (mel - shape.mean) / shape.std
        patches = mel.unfold(1, shape.patch_frames, shape.patch_frames)
        patches = patches.unfold(2, shape.patch_bands, shape.patch_bands)
        return patches.flatten(1, 2).flatten(2)

    def project(
        self, features: Float[Tensor, "batch patches pixels"]
    ) -> Float[Tensor, "batch patches dim"]:
        """Embed every patch."""
        return self.projection(features)  # type: ignore[no-any-return]
