"""ONNX: windows and their frames in numpy around a session of onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime
from jaxtyping import Float32

from probe_bench.encoders.export.shipped.cutting import first_frames, window_starts
from probe_bench.encoders.export.shipped.interface import Interface

__all__ = ["OnnxModel"]

_BATCH_S = 32  # audio encoded at once: bounds memory whatever the clips' lengths


class OnnxModel:
    """Clips of any length: short ones padded with zeros, long ones in windows, frames joined."""

    def __init__(self, interface: Interface, path: str | Path) -> None:
        self.interface = interface
        self.layer_names = [layer.name for layer in interface.layers]
        self._session = onnxruntime.InferenceSession(str(path))

    def __call__(
        self, waveform: Float32[np.ndarray, "batch samples"]
    ) -> list[Float32[np.ndarray, "batch frames _"]]:
        """Encode waveforms in [-1, 1]; one `batch frames dim` array a layer."""
        about = self.interface
        missing = max(0, about.min_samples - waveform.shape[1])
        waveform = np.pad(waveform, ((0, 0), (0, missing)))
        starts = window_starts(waveform.shape[1], about.window_samples, about.hop_samples)
        length = min(waveform.shape[1], about.window_samples)
        windows = np.concatenate([waveform[:, start : start + length] for start in starts])
        rows = max(1, _BATCH_S * about.sample_rate_hz // length)
        encoded = [
            self._session.run(None, {"waveform": windows[row : row + rows]})
            for row in range(0, len(windows), rows)
        ]
        return [self._join(np.concatenate(layer), starts) for layer in zip(*encoded, strict=True)]

    def _join(
        self, frames: Float32[np.ndarray, "rows frames dim"], starts: list[int]
    ) -> Float32[np.ndarray, "batch joined dim"]:
        """Keep each window's own share of the clip's frames."""
        about = self.interface
        firsts = first_frames(
            starts,
            about.window_samples,
            about.hop_samples,
            *about.first_frame_samples.as_integer_ratio(),
        )
        ends = [*firsts[1:], None]
        windows = np.split(frames, len(starts))
        offsets = [start // about.hop_samples for start in starts]
        kept = [
            window[:, first - offset : end and end - offset]
            for window, first, end, offset in zip(windows, firsts, ends, offsets, strict=True)
        ]
        return np.concatenate(kept, axis=1)
