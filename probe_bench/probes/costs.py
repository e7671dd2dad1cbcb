"""What the trained probes cost: floating-point operations of one layer on one fold.

Rough averages of runs on the embedded corpora (docs/LOG.md): how many passes training takes before it
stops, and how far from the speed of a large matrix product it stays.
"""

from dataclasses import dataclass
from itertools import pairwise

from probe_bench.encoder import Layer
from probe_bench.probes.config import ProbeConfig
from probe_bench.task import ProbeName

__all__ = ["FoldSizes", "trained_operations"]

_TRAIN = 6.0  # operations a weight and unit: scores, and the gradients of weights and inputs
_READ = 600.0  # operations that take as long as fetching, averaging and padding a number of a frame
_BEAM = 8e5  # the same for a frame of beam search
_BEAMED_VALID = 7  # times that beam search decodes the validation clips to settle the blank
_MLP_EPOCHS, _MLP_SLOWER = 15, 2.0
_ATTENTIVE_EPOCHS, _SUM_EPOCHS = 6, 20  # after the first, most frames are in memory
_LSTM_SLOWER = 3.0


@dataclass(frozen=True, kw_only=True)
class FoldSizes:
    """What one fold of a task holds.

    Attributes:
        units: Training units.
        pooled: Whether they are clips.
        classes: Classes, tags or phones.
        train_s: Seconds of training audio.
        valid_s: Seconds of validation audio.
        test_s: Seconds of test audio.
    """

    units: float
    pooled: bool
    classes: int
    train_s: float
    valid_s: float
    test_s: float


def trained_operations(probe: ProbeName, layer: Layer, sizes: FoldSizes) -> float:
    """Estimate the operations of one trained probe on one layer and fold; 0 for all others."""
    config, rate_hz = ProbeConfig(), float(layer.frame_rate_hz)
    ctc_hz = min(rate_hz, config.ctc.max_frame_rate_hz)
    match probe:
        case "mlp":
            ends = (layer.dim * (2 if sizes.pooled else 1), *config.mlp.hidden, sizes.classes)
            weights = sum(a * b for a, b in pairwise(ends))
            heads = len(config.mlp.settings)
            return _TRAIN * weights * heads * sizes.units * _MLP_EPOCHS * _MLP_SLOWER
        case "attentive":
            numbers = layer.dim * rate_hz * sizes.train_s
            return _READ * numbers * _ATTENTIVE_EPOCHS
        case "weighted-sum":
            return _READ * layer.dim * sizes.units * _SUM_EPOCHS
        case "ctc-bilstm":
            width = config.ctc_bilstm.width
            weights = 8 * width * (layer.dim + width)
            frames = ctc_hz * sizes.train_s * config.ctc_bilstm.epochs
            return _TRAIN * weights * frames * _LSTM_SLOWER
        case "ctc-beam" | "ctc-bilstm-beam":
            return _BEAM * ctc_hz * (_BEAMED_VALID * sizes.valid_s + sizes.test_s)
        case _:
            return 0.0
