"""Log-mel through a filter of known cutoff: what the modulation analysis has to read, known beforehand."""

import hashlib
import json
from fractions import Fraction

from jaxtyping import Float
from torch import Tensor

from probe_bench.encoder import Encoder, Layer
from probe_bench.errors import UserError
from probe_bench.logmel import log_mel
from probe_bench.modulation.lowpass import low_pass

__all__ = ["LowPass", "build"]

_SAMPLE_RATE_HZ = 16_000
_WINDOW_SAMPLES = 400  # 25 ms
_HOP_SAMPLES = 160  # the filter works at 100 frames/s
_STRIDE = 2  # and every second frame is kept
_BANDS = 64
_ORDER = 4


class LowPass:
    """Log-mel at 100 frames/s, low-passed without phase (Butterworth magnitude of order 4), at 50.

    Attributes are those of `probe_bench.encoder.Encoder`.
    """

    def __init__(self, cutoff_hz: Fraction) -> None:
        self._cutoff_hz = cutoff_hz
        self.name = "lowpass"
        self.sample_rate_hz = _SAMPLE_RATE_HZ
        self.layers: tuple[Layer, ...] = (
            Layer(
                name="in",
                dim=_BANDS,
                depth=0.0,
                frame_rate_hz=Fraction(_SAMPLE_RATE_HZ, _HOP_SAMPLES * _STRIDE),
                first_frame_s=Fraction(_WINDOW_SAMPLES, 2 * _SAMPLE_RATE_HZ),
            ),
        )
        settings = ["lowpass 1", str(cutoff_hz), _ORDER, _HOP_SAMPLES, _STRIDE, "log_mel 1"]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        self.n_parameters = 0
        self.min_samples = _WINDOW_SAMPLES
        self.window_samples: int | None = None

    def to(self, device: str) -> Encoder:  # noqa: ARG002 (nothing to move)
        """Return self: everything is computed where the waveform is."""
        return self

    def encode(self, waveform: Float[Tensor, "batch samples"]) -> list[Float[Tensor, "batch _ _"]]:
        """Return one `batch frames 64` tensor; see `Encoder.encode`."""
        frames = log_mel(
            waveform,
            _SAMPLE_RATE_HZ,
            bands=_BANDS,
            hop_samples=_HOP_SAMPLES,
            window_samples=_WINDOW_SAMPLES,
        )
        rate_hz = _SAMPLE_RATE_HZ / _HOP_SAMPLES
        passed = low_pass(frames, rate_hz, float(self._cutoff_hz), order=_ORDER)
        return [passed[:, ::_STRIDE]]


def build(argument: str, random_seed: int | None) -> LowPass:
    """Build the filter from the text after `lowpass:`.

    Raises:
        UserError: If the cutoff is not a number in (0, 50), or a random one is asked for.
    """
    if random_seed is not None:
        raise UserError(f"random:lowpass:{argument}: no weights to draw at random; use lowpass")
    try:
        cutoff_hz = Fraction(argument)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(_refusal(argument)) from error
    if not 0 < cutoff_hz < _SAMPLE_RATE_HZ / (2 * _HOP_SAMPLES):
        raise UserError(_refusal(argument))
    return LowPass(cutoff_hz)


def _refusal(argument: str) -> str:
    return (
        f"lowpass:{argument}: {argument!r} is no cutoff; expected Hz above 0 and below 50, "
        "e.g. lowpass:8"
    )
