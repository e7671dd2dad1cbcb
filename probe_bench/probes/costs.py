"""What probes that solve nothing convex cost: floating-point operations of one layer on one fold.

Rough averages of runs on the embedded corpora (docs/LOG.md): how many passes training takes before it
stops, and how far from the speed of a large matrix product it stays.
"""

from dataclasses import dataclass
from itertools import pairwise

from probe_bench.encoder import Layer
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.units import GRID_HZ
from probe_bench.task import ProbeName

__all__ = ["FoldSizes", "reading_operations", "trained_operations"]

_TRAIN = 6.0  # operations a weight and unit: scores, and the gradients of weights and inputs
_READ = 600.0  # operations that take as long as fetching, averaging and padding a number of a frame
_BEAM = 8e5  # the same for a frame of beam search
_BEAMED_VALID = 7  # times that beam search decodes the validation clips to settle the blank
_MLP_EPOCHS, _MLP_SLOWER = 15, 2.0
_ATTENTIVE_EPOCHS, _SUM_EPOCHS = 6, 20  # after the first, most frames are in memory
_LSTM_SLOWER = 3.0
_NEIGHBOURS_SLOWER = 3.0  # than the product of test and training units: the nearest must be found


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
        test_clips: Test clips.
    """

    units: float
    pooled: bool
    classes: int
    train_s: float
    valid_s: float
    test_s: float
    test_clips: int


def trained_operations(probe: ProbeName, layer: Layer, sizes: FoldSizes) -> float:
    """Estimate the operations of training one probe on one layer and fold; 0 where nothing is trained."""
    config, rate_hz = ProbeConfig(), float(layer.frame_rate_hz)
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
            frames = _ctc_hz(layer) * sizes.train_s * config.ctc_bilstm.epochs
            return _TRAIN * _lstm_weights(layer) * frames * _LSTM_SLOWER
        case "ctc-beam" | "ctc-bilstm-beam":
            return _BEAM * _ctc_hz(layer) * _BEAMED_VALID * sizes.valid_s
        case _:
            return 0.0


def reading_operations(probe: ProbeName, layer: Layer, sizes: FoldSizes) -> float:
    """Estimate the operations of one reading of the test clips; a run reads them once a degradation, too."""
    rate_hz = float(layer.frame_rate_hz)
    fetched = _READ * layer.dim * rate_hz * sizes.test_s
    match probe:
        case "knn":
            asked = sizes.test_clips if sizes.pooled else min(rate_hz, GRID_HZ) * sizes.test_s
            dim = layer.dim * (2 if sizes.pooled else 1)
            return 2 * dim * sizes.units * asked * _NEIGHBOURS_SLOWER + (not sizes.pooled) * fetched
        case "ctc-bilstm":
            return fetched + 2 * _lstm_weights(layer) * _ctc_hz(layer) * sizes.test_s * _LSTM_SLOWER
        case "ctc-beam" | "ctc-bilstm-beam":
            return _BEAM * _ctc_hz(layer) * sizes.test_s  # scores are there
        case "attentive":
            return fetched
        case _:
            return 0.0 if sizes.pooled else fetched


def _ctc_hz(layer: Layer) -> float:
    return min(float(layer.frame_rate_hz), ProbeConfig().ctc.max_frame_rate_hz)


def _lstm_weights(layer: Layer) -> int:
    width = ProbeConfig().ctc_bilstm.width
    return 8 * width * (layer.dim + width)
