"""What a user may set about probes; saved with every result."""

from dataclasses import dataclass, field
from pathlib import Path

from probe_bench.probes.ctc import CtcConfig

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
        max_trials: Verification trials.
        ctc: Training of the CTC heads.
        memory_bytes: Memory for the features of a solve; see `scratch.Room` for None.
        scratch: Folder for what exceeds it; the platform's temporary folder if None.
    """

    clip_l2: tuple[float, ...] = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
    frame_l2: tuple[float, ...] = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    ridge_l2: tuple[float, ...] = (100.0, 10.0, 1.0, 1e-1, 1e-2, 1e-3)
    max_train_frames: int | None = 16_000
    max_valid_frames: int = 8_000
    max_trials: int = 20_000
    ctc: CtcConfig = field(default_factory=CtcConfig)
    memory_bytes: int | None = None
    scratch: Path | None = None
