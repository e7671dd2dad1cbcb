"""Log-mel spectrogram at any frame rate, with nothing skipped and exact times."""

import hashlib
import json
from fractions import Fraction

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoder import Encoder, Layer
from probe_bench.errors import UserError
from probe_bench.logmel import log_mel

__all__ = ["LogMel", "build"]

_SAMPLE_RATE_HZ = 16_000
_WINDOW_SAMPLES = 400  # 25 ms
_BANDS = 64
_FINE_RATE_HZ = 100
_FASTEST_HZ = 1000


class LogMel:
    """Log-mel frames near 100 Hz, mean-pooled in whole groups to the wanted frame rate.

    At R Hz a frame is the mean of m = max(1, round(100 / R)) spectrogram frames that are
    `16000 / (R m)` samples apart, so at every rate up to 100 Hz all of the signal is heard, under
    the same 25 ms window. Where that hop is no whole number (75 Hz: 213 1/3), each
    spectrogram frame stands on the nearest sample, at most 31 us from its stated time.

    Attributes are those of `probe_bench.encoder.Encoder`.
    """

    def __init__(self, frame_rate_hz: Fraction) -> None:
        self._group = max(1, round(_FINE_RATE_HZ / frame_rate_hz))
        self._hop = _SAMPLE_RATE_HZ / (frame_rate_hz * self._group)
        self.name = "logmel"
        self.sample_rate_hz = _SAMPLE_RATE_HZ
        self.layers: tuple[Layer, ...] = (self._layer(frame_rate_hz),)
        self.fingerprint = self._digest()
        self.n_parameters = 0
        self.min_samples = _nearest((self._group - 1) * self._hop) + _WINDOW_SAMPLES
        self.window_samples: int | None = None

    def to(self, device: str) -> Encoder:  # noqa: ARG002 (nothing to move)
        """Return self: the spectrogram is computed where the waveform is."""
        return self

    def encode(self, waveform: Float[Tensor, "batch samples"]) -> list[Float[Tensor, "batch _ _"]]:
        """Return one `batch frames 64` tensor; see `Encoder.encode`."""
        windows = waveform.unfold(-1, _WINDOW_SAMPLES, 1)
        starts = self._starts(windows.shape[1])
        spectrogram = log_mel(
            windows[:, starts.to(waveform.device)],
            _SAMPLE_RATE_HZ,
            bands=_BANDS,
            hop_samples=_WINDOW_SAMPLES,
            window_samples=_WINDOW_SAMPLES,
        ).squeeze(-2)
        groups = spectrogram.reshape(len(waveform), -1, self._group, _BANDS)
        return [groups.mean(dim=2)]

    def _starts(self, n_positions: int) -> Int[Tensor, " frames"]:
        """First samples of all spectrogram frames that stand in whole groups."""
        index = torch.arange(int(n_positions / self._hop) + 2)
        # the nearest sample to j p/q, halves up: floor((2 j p + q) / 2 q)
        p, q = self._hop.numerator, self._hop.denominator
        starts = (2 * index * p + q) // (2 * q)
        fitting = int((starts < n_positions).sum())
        return starts[: fitting // self._group * self._group]

    def _layer(self, frame_rate_hz: Fraction) -> Layer:
        """Describe the one layer, centred on its group: frame j is centred at j hops + 12.5 ms."""
        centre = (self._group - 1) * self._hop / 2 + Fraction(_WINDOW_SAMPLES, 2)
        return Layer(
            name="in",
            dim=_BANDS,
            depth=0.0,
            frame_rate_hz=frame_rate_hz,
            first_frame_s=centre / _SAMPLE_RATE_HZ,
        )

    def _digest(self) -> str:
        """Digest everything the features depend on."""
        settings = [
            _SAMPLE_RATE_HZ,
            _WINDOW_SAMPLES,
            _BANDS,
            self._group,
            str(self._hop),
            "log_mel 1",
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


def build(argument: str, random_seed: int | None) -> LogMel:
    """Build the baseline from the text after `logmel:`.

    Raises:
        UserError: If the frame rate is not a number in (0, 1000], or a random one is asked for.
    """
    if random_seed is not None:
        raise UserError("random:logmel: log-mel has no weights to draw at random; use logmel")
    try:
        rate_hz = Fraction(argument or _FINE_RATE_HZ)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(_refusal(argument)) from error
    if not 0 < rate_hz <= _FASTEST_HZ:
        raise UserError(_refusal(argument))
    return LogMel(rate_hz)


def _refusal(argument: str) -> str:
    return (
        f"logmel:{argument}: {argument!r} is no frame rate; expected frames per second above 0 and "
        f"up to {_FASTEST_HZ}, e.g. logmel:50 or logmel:25/4"
    )


def _nearest(samples: Fraction) -> int:
    """Round to the nearest whole sample, halves up."""
    return (2 * samples.numerator + samples.denominator) // (2 * samples.denominator)
