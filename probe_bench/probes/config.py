"""What a user may set about probes; saved with every result."""

from dataclasses import dataclass, field
from pathlib import Path

from probe_bench.probes.attentive import AttentiveConfig
from probe_bench.probes.ctc import CtcConfig
from probe_bench.probes.ctc_bilstm import BiLstmConfig
from probe_bench.probes.mlp import MlpConfig
from probe_bench.probes.weighted_sum import WeightedSumConfig

__all__ = ["ProbeConfig"]


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Strengths and sizes of all probes.

    Attributes:
        clip_l2: Strengths of logistic regression on clips, strongest first.
        frame_l2: The same on frames, which are too many to overfit by much.
        ridge_l2: Strengths of the ridge classifier, strongest first.
        max_train_frames: Training frames of frame tasks, thinned evenly; None for all of them.
        max_valid_frames: Validation frames of frame tasks, thinned evenly.
        knn_k: Neighbours that vote, most first.
        knn_temperature: A neighbour at cosine s votes with weight exp(s / temperature).
        max_trials: Verification trials.
        plda_dims: Principal dimensions that PLDA models, fewest first.
        as_norm_top: Training speakers that AS-norm compares a clip with, most first; before them
            come all that there are.
        ctc: Training of the CTC heads.
        ctc_bilstm: Training of the BiLSTM CTC heads.
        beam_width: Prefixes that the beam search of CTC heads keeps.
        mlp: Settings and training of the MLP heads.
        attentive: Settings and training of the attentive probes.
        weighted_sum: Settings and training of the weighted sum of layers.
        memory_bytes: Memory for the features of a solve; see `scratch.Room` for None.
        scratch: Folder for what exceeds it; the platform's temporary folder if None.
    """

    clip_l2: tuple[float, ...] = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
    frame_l2: tuple[float, ...] = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    ridge_l2: tuple[float, ...] = (100.0, 10.0, 1.0, 1e-1, 1e-2, 1e-3)
    max_train_frames: int | None = 16_000
    max_valid_frames: int = 8_000
    knn_k: tuple[int, ...] = (200, 100, 50, 20, 10, 5, 1)
    knn_temperature: float = 0.07
    max_trials: int = 20_000
    plda_dims: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    as_norm_top: tuple[int, ...] = (500, 200, 100, 50, 20, 10, 5)
    ctc: CtcConfig = field(default_factory=CtcConfig)
    ctc_bilstm: BiLstmConfig = field(default_factory=BiLstmConfig)
    beam_width: int = 8
    mlp: MlpConfig = field(default_factory=MlpConfig)
    attentive: AttentiveConfig = field(default_factory=AttentiveConfig)
    weighted_sum: WeightedSumConfig = field(default_factory=WeightedSumConfig)
    memory_bytes: int | None = None
    scratch: Path | None = None
