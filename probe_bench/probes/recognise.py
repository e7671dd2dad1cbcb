"""Phone recognition on one task: CTC heads of every fold, read on test clips."""

from collections.abc import Sequence

import numpy as np

from probe_bench.corpus import Clip, Corpus
from probe_bench.features import Features
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.ctc import CtcHead, frame_stride, train_ctc, transcribe
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["phone_sequence", "recognise"]

SILENCE = "sil"


def phone_sequence(clip: Clip) -> tuple[str, ...]:
    """Phones of a clip in order, from the transcript or else from the alignment, without silence."""
    if clip.phone_sequence is not None:
        return clip.phone_sequence
    return tuple(segment.label for segment in clip.phones or () if segment.label != SILENCE)


def recognise(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Train CTC heads on all layers and transcribe the test clips, also from `further` features.

    Clips without any phone are left out: an error rate needs a reference. Nothing is returned
    where a part is left without clips.
    """
    sequences = {i: phone_sequence(clip) for i, clip in enumerate(corpus.clips)}
    plans = [
        tuple([i for i in part if sequences[i]] for part in (fold.train, fold.valid, fold.test))
        for fold in folds
    ]
    if not all(clips for plan in plans for clips in plan):
        return []
    parts = []
    for train, valid, test in plans:
        heads: dict[int, CtcHead] = {}
        for group in _alike(features):
            trained = train_ctc(
                features, group, train, valid, sequences, seed=seed, config=config.ctc
            )
            heads.update(zip(group, trained, strict=True))
        parts.append(_read(heads, features, test, sequences, config, further))
    return [
        stitch(
            parts,
            probe=measure.probe,
            unit="clip",
            metric="per",
            layers=tuple(layer.name for layer in features.layers),
            classes=(),
            corpus=corpus,
            task=task,
        )
        for measure in measures
    ]


def _alike(features: Features) -> list[list[int]]:
    """Layers of equal dim and timing, which stack."""
    kinds = [(x.dim, x.frame_rate_hz, x.first_frame_s) for x in features.layers]
    return [[k for k, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)]


def _read(
    heads: dict[int, CtcHead],
    features: Features,
    test: Sequence[int],
    sequences: dict[int, tuple[str, ...]],
    config: ProbeConfig,
    further: Sequence[Features],
) -> FoldPredictions:
    layers = range(len(features.layers))
    hypotheses, *others = [
        np.array([transcribe(heads[k], source, k, test) for k in layers], dtype=object)
        for source in (features, *further)
    ]
    rates = [x.frame_rate_hz / frame_stride(x, config.ctc) for x in features.layers]
    return FoldPredictions(
        clip=np.array(test),
        targets=np.array([" ".join(sequences[clip]) for clip in test], dtype=object),
        predicted=hypotheses,
        settings=tuple(f"ctc_frame_rate_hz={float(rate):g}" for rate in rates),
        valid_values=tuple(heads[k].valid_per for k in layers),
        further=tuple(others),
    )
