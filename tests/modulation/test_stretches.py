"""Stretches: of one length, never of two speakers, never longer than the encoder's window."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from probe_bench.corpus import Clip, Corpus
from probe_bench.modulation.stretches import cut_stretches
from probe_bench.studies.known_cutoffs import linear
from probe_bench.studies.made import MadeEncoder

RATE_HZ = 16_000


def corpus_of(folder: Path, lengths_s: dict[str, list[float]], *, labelled: bool = True) -> Corpus:
    """Clips whose samples tell speaker and clip: speaker / 10 + clip / 1000."""
    clips = []
    for s, (speaker, each_s) in enumerate(lengths_s.items(), start=1):
        for k, length_s in enumerate(each_s):
            path = folder / f"{speaker}-{k}.wav"
            samples = np.full(int(length_s * RATE_HZ), s / 10 + k / 1000)
            samples[::2] += 1e-4
            soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
            labels = {"speaker": speaker} if labelled else {}
            clips.append(Clip(id=path.stem, path=path, duration_s=length_s, labels=labels))
    return Corpus(name="made", clips=tuple(clips), licence="none", revision="1")


def encoder(window_samples: int | None = None) -> MadeEncoder:
    return MadeEncoder({"L1": linear(8.0)}, window_samples)


def test_short_clips_of_a_speaker_are_joined(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {name: [3.0] * 7 for name in "abcd"})
    found = cut_stretches(corpus, encoder(), total_s=80.0)
    assert found.waveform.shape == (8, 160_000)
    assert found.group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    speaker = (found.waveform * 10).int()
    assert speaker[:, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert (speaker == speaker[:, :1]).all()
    clips = ((found.waveform[1] - 0.1) * 1000).round().unique()
    assert clips.tolist() == [3, 4, 5, 6]


def test_no_stretch_is_longer_than_the_window(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {name: [3.0] * 7 for name in "abcd"})
    found = cut_stretches(corpus, encoder(32_160), total_s=40.0)
    assert found.waveform.shape == (20, 32_160)
    assert np.bincount(found.group).tolist() == [5, 5, 5, 5]


def test_more_speakers_than_stretches_are_spread_evenly(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {f"s{i}": [4.0] for i in range(9)})
    found = cut_stretches(corpus, encoder(), total_s=12.0)
    assert found.waveform.shape == (3, 64_000)
    assert (found.waveform[:, 0] * 10).round().int().tolist() == [1, 4, 7]
    assert found.n_groups == 3


def test_speakers_who_say_too_little_are_left_out(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {"a": [6.0], "b": [6.0, 6.5], "c": [2.0], "d": [6.0], "e": [1.0]})
    found = cut_stretches(corpus, encoder())
    assert found.waveform.shape == (4, 96_000)
    assert found.group.tolist() == [0, 1, 1, 2]


def test_clips_of_unknown_speakers_are_never_joined(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {"a": [2.0] * 4, "b": [3.0] * 4}, labelled=False)
    found = cut_stretches(corpus, encoder())
    assert float(found.duration_s) == pytest.approx(2.5)
    assert found.group.tolist() == [0, 1, 2, 3]
