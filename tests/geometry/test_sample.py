"""Which frames are read."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.geometry import sample as sampling
from probe_bench.geometry.sample import draw, embeddings, picks

Make = Callable[..., Corpus]


def test_moments_are_spread_over_every_clip_and_do_not_change(made_corpus: Make) -> None:
    sample = draw(made_corpus(), 0)
    assert sample.time_s.shape == (96, 50)
    stretch = (sample.time_s / 2 * 50).floor()
    assert (stretch == torch.arange(50)).all()
    assert torch.equal(sample.time_s, draw(made_corpus(), 0).time_s)
    assert not torch.equal(sample.time_s, draw(made_corpus(), 1).time_s)
    assert sample.clips != tuple(range(96))
    assert sample.n_groups == 12
    assert sample.n_folds == 10


def test_labels_are_those_of_the_moments(made_corpus: Make) -> None:
    corpus = made_corpus()
    sample = draw(corpus, 0)
    names: dict[int, str] = {}
    for i, times, phones in zip(sample.clips, sample.time_s, sample.phone, strict=True):
        for time, phone in zip(times.tolist(), phones.tolist(), strict=True):
            (said,) = [s.label for s in corpus.clips[i].phones or () if s.start_s <= time < s.end_s]
            assert names.setdefault(phone, said) == said
    assert len(names) == len(set(names.values())) == 5
    for i, speaker in zip(sample.clips, sample.speaker.tolist(), strict=True):
        other = sample.clips[sample.speaker.tolist().index(speaker)]
        assert corpus.clips[i].labels == corpus.clips[other].labels


def test_moments_between_phones_have_none(made_corpus: Make) -> None:
    corpus = made_corpus()
    clips = tuple(replace(clip, phones=(clip.phones or ())[5:10]) for clip in corpus)
    sample = draw(replace(corpus, clips=clips), 0)
    inside = (sample.time_s >= 0.5) & (sample.time_s < 1.0)
    assert torch.equal(sample.phone >= 0, inside)


def test_large_corpora_are_thinned_from_all_groups(
    made_corpus: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_CLIPS", 24)
    monkeypatch.setattr(sampling, "_FRAMES", 240)
    sample = draw(made_corpus(), 0)
    assert sample.time_s.shape == (24, 10)
    assert torch.bincount(sample.group).tolist() == [2] * 12


@pytest.mark.parametrize(("labels", "expected"), [(["recording"], "recording"), ([], "clip")])
def test_without_speakers_the_next_unit_counts(
    made_corpus: Make, labels: list[str], expected: str
) -> None:
    corpus = made_corpus()
    clips = tuple(
        replace(clip, labels=dict.fromkeys(labels, clip.labels["speaker"]), phones=None)
        for clip in corpus
    )
    sample = draw(replace(corpus, clips=clips), 0)
    assert sample.group_label == expected
    assert sample.n_groups == (12 if labels else 96)
    assert (sample.speaker == -1).all()
    assert (sample.phone == -1).all()


def test_frames_of_any_rate_are_the_nearest_ones(
    made_corpus: Make, made_features: Callable[..., Features]
) -> None:
    corpus = made_corpus()
    sample = draw(corpus, 0)
    for rate_hz in (100, 25):
        centres = [torch.arange(2 * rate_hz)[:, None] / rate_hz + 0.01 for _ in corpus]
        clips = [x + 10 * i for i, x in enumerate(centres)]
        features = made_features(clips, rate_hz=rate_hz)
        found = picks(features, 0, sample)[..., 0]
        expected = sample.time_s + 10 * torch.tensor(sample.clips)[:, None]
        assert float((found - expected).abs().max()) <= 0.5 / rate_hz + 0.021
        assert float((found - expected).abs().median()) <= 0.5 / rate_hz
        means = embeddings(features, 0, sample)[:, 0]
        assert torch.allclose(means, torch.stack([clips[i].mean() for i in sample.clips]))
