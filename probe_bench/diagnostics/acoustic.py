"""Acoustic types and the control task on them: labels that only a probe's memory can give.

A control task (Hewitt and Liang 2019, arXiv 1909.03368) draws a random label for every *type*, once, and
asks for it wherever the type occurs. A probe that gets it right has memorised types; selectivity is
what its score on the task exceeds that by. Their type is the word: something that everyone reads off the
input alike, that occurs in train and in test, and that is far finer than the labels.

Sound has no such tokens given. What comes nearest is how a unit sounds before any encoder: its type here
is the nearest of up to 512 k-means centres of log-mel (64 bands; frames: a 25 ms window; clips: mean and
standard deviation over frames, standardised), fitted on train, at least four train units to a centre on
average. Every encoder gets the same types and labels. Not types: *speakers* do not occur in both parts of
a split by speaker, and are the label of the speaker task; *recordings* and *texts* mostly occur once.

Limits. Whatever keeps log-mel well can tell these types best, so a log-mel baseline is the least
selective by construction. Types of a closed vocabulary (digits, phones) would be fewer and easier. A
test unit far from all centres still gets the nearest one. Selectivity compares encoders on one task; it
has no meaning as a number across tasks.

Labels: types in random order take the sorted labels of the training units by cumulative share, so the
control task has the class frequencies of the task as nearly as whole types allow.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2, vq

from probe_bench.audio import load
from probe_bench.corpus import Corpus
from probe_bench.logmel import log_mel
from probe_bench.probes.units import GRID_HZ, Label, Units

__all__ = ["acoustic_types", "control_labels"]

_RATE_HZ = 16_000
_HOP, _WINDOW = _RATE_HZ // GRID_HZ, 400
_MOST_TYPES, _UNITS_A_TYPE = 512, 4
_ITERATIONS = 20


def acoustic_types(
    corpus: Corpus, train: Units, test: Units, key: Sequence[object]
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Return the acoustic type of every unit; reads the audio of their clips.

    Args:
        corpus: Clips that the units index.
        train: Units that the centres are fitted on.
        test: Units that are given the nearest centre.
        key: Decides where the centres start; plain values.
    """
    known = np.concatenate(list(_spectra(corpus, train)))
    mean, std = known.mean(0), known.std(0)
    if train.time_s is not None:
        std[:] = 1  # bands of one frame are on one scale already
    known = (known - mean) / np.maximum(std, 1e-6)
    n_types = min(_MOST_TYPES, max(2, len(known) // _UNITS_A_TYPE))
    generator = _generator(["types", *key])
    start = known[generator.choice(len(known), n_types, replace=False)]
    # An empty cell keeps its centre: `warn` would print, and no train unit is lost by it.
    centres, types = kmeans2(known, start, iter=_ITERATIONS, minit="matrix", missing="warn")
    found = [vq((x - mean) / np.maximum(std, 1e-6), centres)[0] for x in _spectra(corpus, test)]
    return types.astype(np.int64), np.concatenate(found).astype(np.int64)


def control_labels(
    types: Int[np.ndarray, " train"], labels: Sequence[Label], n_types: int, key: Sequence[object]
) -> list[Label]:
    """Draw the label of every type.

    Args:
        types: Type of each training unit.
        labels: Label of each training unit, for their frequencies alone.
        n_types: Types to label, those without a training unit among them.
        key: Decides the draw; plain values.
    """
    order = _generator(["control", *key]).permutation(n_types)
    mass = np.bincount(types, minlength=n_types)[order].astype(float)
    middle = (mass.cumsum() - mass / 2) / mass.sum()
    ranked = sorted(labels)
    place = np.minimum((middle * len(ranked)).astype(int), len(ranked) - 1)
    drawn: list[Label] = [ranked[0]] * n_types
    for kind, rank in zip(order.tolist(), place.tolist(), strict=True):
        drawn[kind] = ranked[rank]
    return drawn


def _spectra(corpus: Corpus, units: Units) -> Iterator[Float[np.ndarray, "some bands"]]:
    """Yield the log-mel of the units of one clip after another, centred at the units' times."""
    clips, starts = np.unique(units.clip, return_index=True)
    stops = np.append(starts[1:], len(units))
    order = np.argsort(starts)
    for clip, start, stop in zip(clips[order], starts[order], stops[order], strict=True):
        waveform = load(corpus.clips[int(clip)].path, _RATE_HZ)
        # Grid point j is at (j + 1/2) hops; frame j covers a window around it.
        padded = torch.nn.functional.pad(waveform, ((_WINDOW - _HOP) // 2, _WINDOW))
        bands = log_mel(padded, _RATE_HZ, hop_samples=_HOP, window_samples=_WINDOW).double()
        if units.time_s is None:
            inside = bands[: max(1, len(waveform) // _HOP)]
            yield torch.cat([inside.mean(0), inside.std(0, correction=0)])[None].numpy()
        else:
            index = np.minimum((units.time_s[start:stop] * GRID_HZ).astype(int), len(bands) - 1)
            yield bands[torch.from_numpy(index)].numpy()


def _generator(key: Sequence[object]) -> np.random.Generator:
    digest = hashlib.sha256(json.dumps(list(key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
