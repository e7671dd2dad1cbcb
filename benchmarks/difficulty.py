"""Measure how hard the embedded corpora are for log-mel, and how much room is above it.

Writes `tasks/corpora/difficulty.csv`, which `probe-bench list tasks -v` shows. `fraction` is the
way from chance (0) to perfect (1). With `--headroom`, other simple features are measured as well;
they go to the terminal only.

    python benchmarks/difficulty.py [--headroom] [--folder FOLDER]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, recall_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probe_bench.corpus import Clip, Corpus
from probe_bench.logmel import log_mel
from probe_bench.registry import corpora, tasks
from probe_bench.splits import plan_folds

__all__ = ["COLUMNS", "CSV", "Difficulty", "measure"]

CSV = Path(__file__).parents[1] / "tasks" / "corpora" / "difficulty.csv"
COLUMNS = ("corpus", "revision", "task", "metric", "chance", "logmel", "fraction")
RATE_HZ = 16000
STRENGTHS = (0.003, 0.03, 0.3, 3.0)  # scikit-learn's C, chosen on the validation part

Array = NDArray[np.float64]
Parts = NDArray[np.int64]  # 0 train, 1 valid, 2 test
ClipFeature = Callable[[Array], Array]
FrameFeature = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """One row of the table; `fraction` is `(logmel - chance) / (1 - chance)`."""

    corpus: str
    revision: str
    task: str
    metric: str
    chance: float
    logmel: float
    fraction: float


def log_mels(clip: Clip) -> Array:
    """Log-mel frames of a clip: 64 bands, 10 ms hop, 25 ms window."""
    samples, rate_hz = soundfile.read(clip.path, dtype="float32")
    assert rate_hz == RATE_HZ, clip.path
    return (
        log_mel(torch.from_numpy(samples), RATE_HZ, hop_samples=160, window_samples=400)
        .double()
        .numpy()
    )


# --- features -------------------------------------------------------------------------------------


def pooled(frames: Array) -> Array:
    """Mean and standard deviation over frames."""
    return np.concatenate([frames.mean(0), frames.std(0)])


def _pooled_with_deltas(frames: Array) -> Array:
    return np.concatenate([pooled(frames), np.diff(frames, axis=0).std(0)])


def _channel_free(frames: Array) -> Array:
    """Statistics that a fixed linear channel cannot change: spread, deltas, covariance."""
    centred = frames - frames.mean(0)
    low = _cosines(centred)
    covariance = (low.T @ low / len(low))[np.triu_indices(low.shape[1])]
    return np.concatenate([centred.std(0), np.diff(frames, axis=0).std(0), covariance])


def _modulation(frames: Array) -> Array:
    """Log power of band modulations in half-octaves from 1 to 32 Hz, 8 band groups."""
    groups = (frames - frames.mean(0)).reshape(len(frames), 8, -1).mean(2)
    power = np.abs(np.fft.rfft(groups, 512, axis=0)) ** 2 / len(frames)
    freq_hz = np.fft.rfftfreq(512, 0.01)
    edges_hz = 2.0 ** np.arange(0, 5.5, 0.5)
    bands = [power[(low <= freq_hz) & (freq_hz < high)].mean(0) for low, high in pairwise(edges_hz)]
    return np.concatenate([np.log(np.concatenate(bands) + 1e-9), pooled(frames)])


def _cosines(frames: Array, n: int = 13) -> Array:
    """First cosine coefficients over bands (MFCC)."""
    bands = np.arange(frames.shape[1]) + 0.5
    basis = np.cos(np.pi * np.arange(n)[:, None] * bands / frames.shape[1])
    cosines: Array = frames @ basis.T
    return cosines


def _with_context(frames: Array, reach: int = 2, hop: int = 2) -> Array:
    """Each frame beside `reach` others on both sides, `hop` frames apart."""
    padded = np.pad(frames, ((reach * hop, reach * hop), (0, 0)), mode="edge")
    n = len(frames)
    return np.concatenate([padded[k * hop : k * hop + n] for k in range(2 * reach + 1)], axis=1)


CLIP_FEATURES: Mapping[str, ClipFeature] = {
    "logmel": pooled,
    "logmel + deltas": _pooled_with_deltas,
    "channel-free": _channel_free,
    "logmel + channel-free": lambda x: np.concatenate([pooled(x), _channel_free(x)]),
    "logmel + modulation": _modulation,
}
FRAME_FEATURES: Mapping[str, FrameFeature] = {
    "logmel": lambda x: x,
    "logmel, clip mean removed": lambda x: x - x.mean(0),
    "logmel, 5 frames": _with_context,
    "logmel, 9 frames, mean removed": lambda x: _with_context(x - x.mean(0), 4),
}

# --- splits ---------------------------------------------------------------------------------------


def parts_of(corpus: Corpus, task: str) -> Parts:
    """Return the part of every clip, as a run divides them."""
    (fold,) = plan_folds(corpus, tasks()[task], seed=0)
    parts = np.empty(len(corpus), dtype=np.int64)
    for number, clips in enumerate((fold.train, fold.valid, fold.test)):
        parts[list(clips)] = number
    return parts


# --- tasks ----------------------------------------------------------------------------------------


def classify(
    x: Array, y: NDArray[np.int64], parts: Parts, score: Callable[[Array, Array], float]
) -> float:
    """Test score of the multinomial logistic probe whose strength is best on the valid part."""
    best_valid, best_test = -1.0, 0.0
    for strength in STRENGTHS:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        probe.fit(x[parts == 0], y[parts == 0])
        valid = score(y[parts == 1], probe.predict(x[parts == 1]))
        if valid > best_valid:
            best_valid, best_test = valid, score(y[parts == 2], probe.predict(x[parts == 2]))
    return best_test


def tag(x: Array, y: NDArray[np.int64], parts: Parts) -> float:
    """Test mean average precision of one-vs-rest logistic probes."""
    best_valid, best_test = -1.0, 0.0
    for strength in STRENGTHS:
        probe = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=300))
        pipeline = make_pipeline(StandardScaler(), probe).fit(x[parts == 0], y[parts == 0])
        valid, test = (
            average_precision_score(y[parts == p], pipeline.decision_function(x[parts == p]))
            for p in (1, 2)
        )
        if valid > best_valid:
            best_valid, best_test = valid, test
    return float(best_test)


def uar(truth: Array, predicted: Array) -> float:
    """Unweighted average recall."""
    return float(recall_score(truth, predicted, average="macro"))


def _clip_task(
    corpus: Corpus,
    label: str,
    frames: Sequence[Array],
    feature: ClipFeature,
    score: Callable[[Array, Array], float],
) -> tuple[float, float]:
    x = np.stack([feature(f) for f in frames])
    classes, y = np.unique([clip.labels[label] for clip in corpus], return_inverse=True)
    return 1 / len(classes), classify(x, y, parts_of(corpus, label), score)


def speaker(corpus: Corpus, frames: Sequence[Array], feature: ClipFeature) -> tuple[float, float]:
    """Chance and accuracy of naming the speaker of a clip; every speaker is in every part."""
    return _clip_task(corpus, "speaker", frames, feature, accuracy_score)


def emotion(corpus: Corpus, frames: Sequence[Array], feature: ClipFeature) -> tuple[float, float]:
    """Chance and unweighted average recall; no speaker is in two parts."""
    return _clip_task(corpus, "emotion", frames, feature, uar)


def phoneme(corpus: Corpus, frames: Sequence[Array], feature: FrameFeature) -> tuple[float, float]:
    """Chance (majority) and accuracy of 50 Hz frames; no speaker is in two parts.

    Training takes every second of these frames.
    """
    part_of = parts_of(corpus, "phoneme")
    xs, ys, parts = [], [], []
    for clip, mel, part in zip(corpus, frames, part_of, strict=True):
        step = 4 if part == 0 else 2
        xs.append(feature(mel)[::step])
        ys.append(frame_labels(clip, len(mel))[::step])
        parts.append(np.full(len(xs[-1]), part))
    part = np.concatenate(parts)
    names, y = np.unique(np.concatenate(ys), return_inverse=True)
    majority = np.bincount(y[part == 0], minlength=len(names)).argmax()
    chance = float((y[part == 2] == majority).mean())
    return chance, classify(np.concatenate(xs).astype(np.float32), y, part, accuracy_score)


def frame_labels(clip: Clip, n_frames: int) -> NDArray[np.str_]:
    """Phone at the centre of every 10 ms frame."""
    phones = clip.phones or ()
    centres_s = (np.arange(n_frames) * 160 + 200) / RATE_HZ
    at = np.searchsorted([phone.end_s for phone in phones], centres_s, side="right")
    return np.array([phone.label for phone in phones])[np.minimum(at, len(phones) - 1)]


def tagging(corpus: Corpus, frames: Sequence[Array], feature: ClipFeature) -> tuple[float, float]:
    """Chance (mean prevalence) and mean average precision; no recording is in two parts."""
    classes = sorted({name for clip in corpus for name in clip.tags or ()})
    y = np.array(
        [[name in (clip.tags or ()) for name in classes] for clip in corpus], dtype=np.int64
    )
    parts = parts_of(corpus, "tagging")
    x = np.stack([feature(f) for f in frames])
    return float(y[parts == 2].mean()), tag(x, y, parts)


TASKS = {
    "speaker": ("speech", "accuracy", speaker, CLIP_FEATURES),
    "phoneme": ("speech", "accuracy", phoneme, FRAME_FEATURES),
    "emotion": ("speech", "uar", emotion, CLIP_FEATURES),
    "tagging": ("scenes", "map", tagging, CLIP_FEATURES),
}


def measure(
    load: Callable[[str], Corpus], *, names: Sequence[str] = tuple(TASKS), headroom: bool = False
) -> list[Difficulty]:
    """Measure log-mel on the tasks; with `headroom` print other features' fractions too."""
    rows = []
    for task in names:
        name, metric, score, features = TASKS[task]
        corpus = load(name)
        frames = [log_mels(clip) for clip in corpus]
        for feature, function in features.items() if headroom else [("logmel", features["logmel"])]:
            chance, value = score(corpus, frames, function)
            fraction = (value - chance) / (1 - chance)
            print(f"{task:8} {feature:32} {chance:.3f} {value:.3f} {fraction:6.1%}", flush=True)
            if feature == "logmel":
                rows.append(
                    Difficulty(
                        corpus=name,
                        revision=corpus.revision,
                        task=task,
                        metric=metric,
                        chance=chance,
                        logmel=value,
                        fraction=fraction,
                    )
                )
    return rows


def main() -> None:
    """Print the table and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out", "corpora"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--headroom", action="store_true")
    arguments = parser.parse_args()
    rows = measure(
        lambda name: corpora()[name].load(arguments.folder / name),
        names=arguments.tasks,
        headroom=arguments.headroom,
    )
    if set(arguments.tasks) == set(TASKS):
        table = pd.DataFrame(
            [[getattr(row, name) for name in COLUMNS] for row in rows], columns=COLUMNS
        )
        table.to_csv(CSV, index=False, float_format="%.4f", lineterminator="\n")


if __name__ == "__main__":
    main()
