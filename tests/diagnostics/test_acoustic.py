from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from probe_bench.audio import load
from probe_bench.corpus import Corpus
from probe_bench.diagnostics import acoustic
from probe_bench.diagnostics.acoustic import acoustic_types, control_labels
from probe_bench.logmel import log_mel
from probe_bench.probes.units import Units


def frames(clips: range, n: int) -> Units:
    times = np.tile((np.arange(n) + 0.5) / 50, len(clips))
    return Units(clip=np.repeat(np.array(clips), n), time_s=times, labels=("x",) * len(times))


def test_types_are_the_k_means_codes_of_frames_around_their_times(
    make_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus([1.0, 0.8, 1.2])
    monkeypatch.setattr(acoustic, "_MOST_TYPES", 6)
    train, test = acoustic_types(corpus, frames(range(2), 40), frames(range(2, 3), 50), [0])

    def spectra(clip: int, n: int) -> np.ndarray:
        padded = torch.nn.functional.pad(load(corpus.clips[clip].path, 16000), (400, 400))
        centres = [round((j + 0.5) / 50 * 16000) + 400 for j in range(n)]
        pieces = torch.stack([padded[c - 200 : c + 200] for c in centres])
        return log_mel(pieces, 16000, hop_samples=400, window_samples=400)[:, 0].double().numpy()

    x = np.concatenate([spectra(0, 40), spectra(1, 40)])
    centres = np.stack([x[train == k].mean(0) for k in range(6)])
    again = KMeans(6, init=centres, n_init=1, max_iter=1).fit(x)
    assert (again.labels_ == train).mean() > 0.95  # twenty rounds leave next to nothing to move
    distance = ((spectra(2, 50)[:, None] - centres) ** 2).sum(2)
    assert (distance.argmin(1) == test).mean() > 0.95


def test_clips_have_types_too_and_equal_sound_equal_types(
    make_corpus: Callable[..., Corpus],
) -> None:
    corpus = make_corpus([0.5] * 12)
    clips = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    train = Units(clip=clips, time_s=None, labels=("x",) * 8)
    types, same = acoustic_types(corpus, train, train, [0])
    assert np.array_equal(types, same)
    assert types.max() == 1  # four units a type


def test_control_labels_keep_the_frequencies_and_one_label_a_type() -> None:
    types = np.random.default_rng(0).integers(300, size=6000)
    labels = tuple(np.random.default_rng(1).choice(["a", "b", "c"], 6000, p=[0.6, 0.3, 0.1]))
    drawn = control_labels(types, labels, 300, [0])
    given = Counter(drawn[t] for t in types.tolist())
    for name, count in Counter(labels).items():
        assert given[name] == pytest.approx(count, abs=40)
    assert drawn == control_labels(types, labels, 300, [0])
    assert drawn != control_labels(types, labels, 300, [1])
    together = Counter(zip((drawn[t] for t in types.tolist()), labels, strict=True))
    assert together["a", "a"] / 6000 == pytest.approx(0.36, abs=0.02)  # independent of the task


def test_tags_are_drawn_as_whole_sets() -> None:
    labels = (("bell",), ("bell", "dog"), (), ("dog",)) * 10
    drawn = control_labels(np.arange(40) % 20, labels, 20, [0])
    assert Counter(drawn) == {("bell",): 5, ("bell", "dog"): 5, (): 5, ("dog",): 5}
