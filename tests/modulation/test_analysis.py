"""The whole way from audio files and cached features to numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.logmel import log_mel
from probe_bench.modulation import Reference, measure
from probe_bench.modulation.lowpass import low_pass


@dataclass(frozen=True)
class MadeFeatures:
    """Features held in memory."""

    layers: tuple[Layer, ...]
    held: Sequence[Sequence[Tensor]]
    encoder: str = "made"

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self.held[layer]])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self.held[layer]])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self.held[layer][i] for i in clips]


def layer(name: str, rate_hz: int, dim: int = 64) -> Layer:
    return Layer(
        name=name,
        dim=dim,
        depth=1.0,
        frame_rate_hz=Fraction(rate_hz),
        first_frame_s=Fraction(1, 80),
    )


@pytest.fixture(scope="module")
def corpus(
    tmp_path_factory: pytest.TempPathFactory, waveforms: tuple[list[Tensor], Tensor]
) -> Corpus:
    """Ninety clips of 1.5 to 3.5 s of ten speakers."""
    folder, clips = tmp_path_factory.mktemp("audio"), []
    for i, (waveform, speaker) in enumerate(zip(*waveforms, strict=True)):
        for j, part in enumerate(waveform.split([24_000, 56_000, 40_000, 40_000])[:3]):
            path = folder / f"{i}-{j}.flac"
            soundfile.write(path, (part / waveform.abs().max()).numpy(), 16_000)
            labels = {"speaker": f"s{int(speaker)}"}
            clips.append(
                Clip(id=path.stem, path=path, duration_s=len(part) / 16_000, labels=labels)
            )
    return Corpus(name="made", clips=tuple(clips), licence="none", revision="1")


@pytest.fixture(scope="module")
def features(corpus: Corpus) -> MadeFeatures:
    """Log-mel at 50 Hz, the same low-passed at 6 Hz, white noise, and nothing at all."""
    rng = torch.Generator().manual_seed(0)
    audio = [torch.from_numpy(soundfile.read(c.path, dtype="float32")[0]) for c in corpus]
    full = [log_mel(x, 16_000, hop_samples=160, window_samples=400) for x in audio]
    plain = [x[::2] for x in full]
    return MadeFeatures(
        (layer("in", 50), layer("L1", 50), layer("L2", 50), layer("L3", 50)),
        (
            plain,
            [low_pass(x, 100.0, 6.0)[::2] for x in full],
            [torch.randn(x.shape, generator=rng) for x in plain],
            [torch.ones_like(x) for x in plain],
        ),
    )


def test_measures_every_layer(corpus: Corpus, features: MadeFeatures) -> None:
    reference = Reference(corpus, max_minutes=2.0)
    plain, slow, noise, constant = measure(features, reference, seed=0, n_draws=100)
    assert plain.support.hz.bound == "at least"
    assert slow.support.hz.value == pytest.approx(6, rel=0.03)
    assert slow.support.hz.ci_low <= slow.support.hz.value <= slow.support.hz.ci_high
    assert slow.support.total_low_hz < slow.support.hz.value / 1.06
    assert slow.support.total_high_hz > slow.support.hz.value * 1.06
    assert slow.support.low_hz.bound == "at most"
    assert plain.support.r2.value > slow.support.r2.value > 0.5
    assert noise.support.hz.value is None
    assert "R²" in noise.support.reason
    assert noise.support.gain == ()
    assert constant.support.reason == constant.speed.reason == "the features are constant"
    assert slow.n_groups == 10
    assert slow.duration_s == pytest.approx(120, abs=4)


def test_curves_cover_the_range_and_say_what_the_cutoff_says(
    corpus: Corpus, features: MadeFeatures
) -> None:
    slow = measure(features, Reference(corpus, max_minutes=2.0), seed=0, n_draws=100)[1]
    freqs = [point.mod_freq_hz for point in slow.support.gain]
    assert 20 <= len(freqs) <= 30
    assert freqs == sorted(freqs)
    assert freqs[-1] == 40
    assert max(point.value for point in slow.support.gain) == pytest.approx(1, abs=0.01)
    for point in slow.support.gain:
        expected = 1 / (1 + (point.mod_freq_hz / 6) ** 8)
        assert point.value == pytest.approx(expected, abs=0.06)
        assert point.ci_low <= point.value + 0.02
    assert slow.speed.psd[-1].mod_freq_hz == 25
    assert 1 < slow.speed.hz.value < 5


def test_shuffled_clips_are_not_measurable(corpus: Corpus, features: MadeFeatures) -> None:
    null = measure(features, Reference(corpus), seed=0, n_draws=50, shuffled=True)[0]
    assert null.support.r2.value < 0.02
    assert null.support.hz.value is None


def test_same_seed_same_numbers_and_order_of_clips_does_not_matter(
    corpus: Corpus, features: MadeFeatures
) -> None:
    first = measure(features, Reference(corpus), seed=4, n_draws=50)
    assert measure(features, Reference(corpus), seed=4, n_draws=50) == first
    back = Corpus(name="made", clips=corpus.clips[::-1], licence="none", revision="1")
    turned = MadeFeatures(features.layers, [held[::-1] for held in features.held])
    again = measure(turned, Reference(back), seed=4, n_draws=50)
    assert again[1].support.hz.value == pytest.approx(first[1].support.hz.value, rel=0.01)


def test_says_why_support_cannot_be_measured(corpus: Corpus, features: MadeFeatures) -> None:
    two = Corpus(name="two", clips=corpus.clips[:9], licence="none", revision="1")
    found = measure(features, Reference(two), seed=0, n_draws=10)[0]
    assert found.support.reason.startswith("independent groups: 1; at least 3")
    few = measure(features, Reference(corpus, max_minutes=0.1), seed=0, n_draws=10)[0]
    assert "frames; at least 480 are needed" in few.support.reason


def test_refuses_short_clips(tmp_path: Path, corpus: Corpus, features: MadeFeatures) -> None:
    clips, held = [], []
    for i, clip in enumerate(corpus.clips):
        samples = soundfile.read(clip.path, dtype="float32")[0][:8000]
        path = tmp_path / f"{i}.flac"
        soundfile.write(path, samples, 16_000)
        clips.append(Clip(id=str(i), path=path, duration_s=0.5, labels=clip.labels))
        held.append(features.held[0][i][:24])
    short = Corpus(name="short", clips=tuple(clips), licence="none", revision="1")
    found = measure(MadeFeatures((layer("in", 50),), (held,)), Reference(short), seed=0, n_draws=10)
    assert "use longer clips" in found[0].support.reason
    assert found[0].support.hz.value is None
