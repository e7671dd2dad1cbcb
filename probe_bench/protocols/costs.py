"""What a protocol costs: floating-point operations for one encoder on one task.

Rough averages of runs on one core (docs/LOG.md): how long heads train, what a step costs beside its
products, and how far those stay from the speed of a large matrix product.
"""

import math
from collections.abc import Sequence

import torch

from probe_bench.encoder import Layer
from probe_bench.jobs import Job
from probe_bench.probes.verification import MOST_CLIPS
from probe_bench.protocols.labels import learnable, verifies
from probe_bench.protocols.pairs import CROP_S
from probe_bench.protocols.protocol import Heads, Protocol, Sizes
from probe_bench.protocols.training import Regime
from probe_bench.protocols.xvector import weights_a_frame

__all__ = ["protocol_operations"]

_EPOCHS, _STEPS, _LOOKS_EPOCHS = 100, 2_500, 10  # until most heads have stopped
_TRAIN, _SLOWER = 6.0, 4.0  # operations a weight and unit: scores and two gradients
_STEP = 3e8  # operations that take as long as a step of small heads
_READ = 2.0  # operations a weight and frame of a clip that is only scored


def protocol_operations(protocol: Protocol, job: Job, layers: Sequence[Layer]) -> float:
    """Estimate the operations of all variants of a protocol on a task; 0 where it has no such task.

    Args:
        protocol: The protocol.
        job: Task with its divided clips.
        layers: Layers of the encoder.
    """
    task, n_folds = job.task, len(job.folds)
    if protocol.pairs and verifies(task):
        return _verifying(protocol, job, layers[-1], len(layers))
    frames = 1.0
    if task.label == "phones":
        variants = protocol.phones
        frames = float(layers[-1].frame_rate_hz) * job.corpus.duration_s / len(job.corpus)
    else:
        variants = protocol.clips(n_folds > 1, False) if learnable(task) else ()
    sizes = Sizes(layers=len(layers), dim=layers[-1].dim, classes=len(job.classes) + 1)
    trainings = (
        _training(variant.heads, sizes, len(fold.train), frames, once=variant.grid_once and k > 0)
        for variant in variants
        if variant.heads
        for k, fold in enumerate(job.folds)
    )
    return sum(trainings, 0.0)


def _training(heads: Heads, sizes: Sizes, clips: int, frames: float, *, once: bool) -> float:
    """Operations of one training of all candidates, or of the one that was chosen before."""
    regime, candidates = heads.regime, heads.candidates(sizes)
    with torch.device("meta"):
        weights = [sum(p.numel() for p in each.build().parameters()) for each in candidates]
    total = sum(weights) / len(weights) if once else sum(weights)
    units = min(regime.batch_size, clips) * frames
    return _steps(regime, clips) * (_TRAIN * _SLOWER * total * units + _STEP)


def _steps(regime: Regime, clips: int) -> int:
    """Count the steps after which most heads have stopped."""
    an_epoch = regime.steps_an_epoch(clips)
    if regime.counted_in == "epochs":
        return an_epoch * min(regime.longest, _EPOCHS if regime.patience else regime.longest)
    return min(regime.longest, max(_STEPS, _LOOKS_EPOCHS * an_epoch))


def _verifying(protocol: Protocol, job: Job, layer: Layer, n_layers: int) -> float:
    """Operations of all embeddings: crops in every step, whole clips of the trials at every look.

    Their products are large, so that they run at full speed.
    """
    sizes = Sizes(layers=n_layers, dim=layer.dim, classes=len(job.classes))
    weights, total = weights_a_frame(sizes), 0.0

    def frames(clips: Sequence[int], longest_s: float) -> float:
        read_s = (min(job.corpus.clips[i].duration_s, longest_s) for i in clips)
        return float(layer.frame_rate_hz) * sum(read_s)

    for heads in (variant.heads for variant in protocol.pairs if variant.heads):
        regime = heads.regime
        for fold in job.folds:
            steps = _steps(regime, len(fold.train))
            cropped = frames(fold.train, CROP_S) / len(fold.train) * regime.batch_size
            looks = steps / regime.check_every
            scored = looks * frames(fold.valid[:MOST_CLIPS], math.inf)
            scored += frames(fold.test, math.inf)
            of_all = len(heads.candidates(sizes)) * weights
            total += of_all * (_TRAIN * steps * cropped + _READ * scored)
    return total
