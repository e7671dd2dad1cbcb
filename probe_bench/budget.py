"""What a run will cost, measured on this machine just before it starts."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from probe_bench.corpus import Corpus
from probe_bench.degradations import Degradation
from probe_bench.diagnostics.cost import passes
from probe_bench.encoder import Encoder, Layer
from probe_bench.extract import encode_clips
from probe_bench.geometry.abx import CONDITIONS, count_cells, installed, triphones
from probe_bench.geometry.sample import draw
from probe_bench.jobs import Job
from probe_bench.lineup import Contestant
from probe_bench.modulation.stretches import TOTAL_S
from probe_bench.parallel import shared_out, width
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.costs import FoldSizes, reading_operations, trained_operations
from probe_bench.probes.units import GRID_HZ
from probe_bench.protocols.costs import protocol_operations
from probe_bench.protocols.protocol import Protocol
from probe_bench.splits import Fold

__all__ = [
    "Cost",
    "degrading_slowness",
    "encoding_speed",
    "probing_seconds",
    "rippling_seconds",
    "total",
]

_PROBE_S = 4.0  # noise that is encoded to time an encoder
_PROBE_HZ = 16000
_CLIPS = 4
_PASSES_TIMED = 3

# Rough averages of many runs; a convex solve takes between a half and twice as many passes.
_PASSES = {"frame": 300, "clip": 900}  # over the training data, per layer of a linear probe, all
# strengths together: clips have more of them, and weaker ones
_CTC_PASSES = 100  # what a CTC head costs, in passes of a linear probe over its frames
_SCORE_DIMS = 128  # what a score costs beyond its product, in dimensions: exponentials, sums
# Operations of a product that take as long as an analysis takes for a number of a frame that it reads.
_ANALYSES = {"modulation": 18_000, "geometry": 13_500}
_ABX_CELL = 1.2e7  # the same, of a cell
_MODULATION_S = 600  # of audio that modulation reads at most
_GEOMETRY_FRAMES = 1 << 14
_PRODUCTS_TIMED = 20
_ROWS_TIMED = {"cpu": 2048, "cuda": 8192}  # as a solve blocks them; enough to keep a GPU busy


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Expected cost of one extraction.

    Attributes:
        encoder: Name.
        corpus: Name.
        clips: Number of clips.
        audio_s: Seconds of audio.
        missing_s: Seconds of audio that are not in the cache yet.
        seconds: Expected time for them.
        n_bytes: Size of the complete cache entry.
    """

    encoder: str
    corpus: str
    clips: int
    audio_s: float
    missing_s: float
    seconds: float
    n_bytes: int


def encoding_speed(encoder: Encoder, device: str, passes_timed: int = _PASSES_TIMED) -> float:
    """Return seconds of audio encoded per second, the best of some passes over noise.

    Args:
        encoder: Moved to `device`.
        device: Where it will run.
        passes_timed: Passes; the first ones pay for caches and memory.
    """
    encoder = encoder.to(device)
    generator = torch.Generator().manual_seed(0)
    samples = max(int(_PROBE_S * encoder.sample_rate_hz), encoder.min_samples)
    noise = list(0.1 * torch.randn(_CLIPS, samples, generator=generator))
    taken_s = []
    for _ in range(passes_timed):
        start = time.perf_counter()
        encode_clips(encoder, noise, device)
        taken_s.append(time.perf_counter() - start)
    return _CLIPS * samples / encoder.sample_rate_hz / min(taken_s)


def degrading_slowness(degradation: Degradation | None) -> float:
    """Return the seconds that degrading one second of audio takes; 0 for clean audio."""
    if degradation is None:
        return 0.0
    samples = int(_PROBE_S * _PROBE_HZ)
    noise = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    degradation.apply(noise, _PROBE_HZ, "")  # the first one pays for tables and delays
    start = time.perf_counter()
    degradation.apply(noise, _PROBE_HZ, "")
    return (time.perf_counter() - start) / _PROBE_S


def total(costs: Sequence[Cost]) -> list[Cost]:
    """Add up the costs of one encoder that go by one corpus name (severities of a degradation)."""
    found: dict[tuple[str, str], Cost] = {}
    for cost in costs:
        before = found.get((cost.encoder, cost.corpus))
        found[cost.encoder, cost.corpus] = cost if before is None else _sum(before, cost)
    return list(found.values())


def _sum(one: Cost, other: Cost) -> Cost:
    names = ("clips", "audio_s", "missing_s", "seconds", "n_bytes")
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in names})


def probing_seconds(
    jobs: Sequence[Job],
    analyses: Sequence[tuple[str, Corpus]],
    contestants: Sequence[Contestant],
    device: torch.device,
    config: ProbeConfig,
    diagnostics: Sequence[str] = (),
    protocols: Sequence[Protocol] = (),
    n_degradations: int = 0,
) -> float:
    """Estimate the time of all probes, diagnostics, protocols and analyses, to within about a factor of two.

    Args:
        jobs: Tasks with their divided clips.
        analyses: Names of analyses, with the corpora that they read.
        contestants: Every layer of each is probed.
        device: Where the probes run; its matrix products are timed.
        config: Sizes of the probes.
        diagnostics: Names.
        protocols: Published protocols that read the tasks as well.
        n_degradations: How often test clips are read beside once.
    """
    layers = [layer for contestant in contestants for layer in contestant.layers]
    probed = sum(
        _operations(job, fold, layer, config, diagnostics)
        + _by_probe(job, fold, layer, config, 1 + n_degradations)
        for job in jobs
        for fold in job.folds
        for layer in layers
    )
    probed += sum(
        protocol_operations(protocol, job, contestant.layers)
        for protocol in protocols
        for job in jobs
        for contestant in contestants
    )
    analysed = sum(_analysed(*pair, layer) for pair in analyses for layer in layers)
    analysed += len(layers) * sum(
        _by_abx(corpus) for name, corpus in analyses if name == "geometry"
    )
    n_pieces = len(contestants) * max(len(jobs), len({corpus.name for _, corpus in analyses}))
    return sum(
        operations / _product_speed(where, n_pieces)
        for operations, where in ((probed, device), (analysed, torch.device("cpu")))
        if operations
    )


def rippling_seconds(
    n_corpora: int, contestants: Sequence[Contestant], device: torch.device
) -> float:
    """Estimate the time of two passes over rippled audio, by one timed pass of every encoder."""
    encoders = [c.encoder for c in contestants if c.encoder] if n_corpora else []
    slowness = sum(1 / encoding_speed(encoder, str(device), 1) for encoder in encoders)
    return n_corpora * 2 * TOTAL_S * slowness


def _analysed(analysis: str, corpus: Corpus, layer: Layer) -> float:
    """Floating-point operations that an analysis of one layer is worth."""
    if analysis == "modulation":
        frames = float(layer.frame_rate_hz) * min(corpus.duration_s, _MODULATION_S)
    else:
        frames = min(corpus.duration_s * GRID_HZ / 2, _GEOMETRY_FRAMES)
    return float(_ANALYSES[analysis] * layer.dim * frames)


def _by_abx(corpus: Corpus) -> float:
    """Floating-point operations that ABX of one layer is worth; none where it is not to be had."""
    if not installed():
        return 0.0
    tokens = triphones(corpus, draw(corpus, seed=0).clips)
    return _ABX_CELL * sum(count_cells(tokens, condition) for condition in CONDITIONS)


def _operations(
    job: Job, fold: Fold, layer: Layer, config: ProbeConfig, diagnostics: Sequence[str]
) -> float:
    """Floating-point operations of one layer's probes on one fold."""
    n_passes = _PASSES[job.task.unit] + passes(diagnostics)
    if job.task.unit == "clip":  # whose statistics are mean and standard deviation
        per_pass = 4.0 * (2 * layer.dim + _SCORE_DIMS) * len(job.classes)
        return n_passes * per_pass * len(fold.train)
    per_pass = 4.0 * (layer.dim + _SCORE_DIMS) * len(job.classes)  # scores, then their gradient
    train_s = sum(job.corpus.clips[clip].duration_s for clip in fold.train)
    frames = min(GRID_HZ * train_s, config.max_train_frames or float("inf"))
    ctc_hz = min(float(layer.frame_rate_hz), config.ctc.max_frame_rate_hz)
    return per_pass * (n_passes * frames + _CTC_PASSES * ctc_hz * train_s)


def _by_probe(job: Job, fold: Fold, layer: Layer, config: ProbeConfig, n_readings: int) -> float:
    """Floating-point operations of training probes of one layer on one fold, and of reading by all."""
    train_s, valid_s, test_s = (
        sum(job.corpus.clips[clip].duration_s for clip in part)
        for part in (fold.train, fold.valid, fold.test)
    )
    pooled = job.task.unit == "clip"
    frames = min(GRID_HZ * train_s, config.max_train_frames or float("inf"))
    sizes = FoldSizes(
        units=float(len(fold.train) if pooled else frames),
        pooled=pooled,
        classes=len(job.classes),
        train_s=train_s,
        valid_s=valid_s,
        test_s=test_s,
        test_clips=len(fold.test),
    )
    return sum(
        trained_operations(measure.probe, layer, sizes)
        + n_readings * reading_operations(measure.probe, layer, sizes)
        for measure in job.task.measures
    )


def _product_speed(device: torch.device, n_pieces: int) -> float:
    """Return float32 operations a second, of all pieces done at once, in products as probes make them.

    The fastest of many counts: on a busy machine most of them wait for their turn.
    """
    rows = _ROWS_TIMED[device.type]
    a, b = torch.randn(64, 512, device=device), torch.randn(512, rows, device=device)
    at_once, best_s = width(device, n_pieces), math.inf
    with shared_out(at_once):
        for _ in range(_PRODUCTS_TIMED):
            start = time.perf_counter()
            float((a @ b).sum())  # to a number: a GPU answers before it is done
            best_s = min(best_s, time.perf_counter() - start)
    return at_once * 2.0 * a.numel() * rows / best_s
