"""Reference frames lie where tokens lie, and clips are chosen evenly."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.logmel import log_mel
from probe_bench.modulation.pairing import pair
from probe_bench.modulation.reference import Reference, band_grid
from probe_bench.modulation.tokens import flatten, without_position_mean


def layer(rate_hz: Fraction, first_s: Fraction) -> Layer:
    return Layer(name="L1", dim=4, depth=1.0, frame_rate_hz=rate_hz, first_frame_s=first_s)


def corpus(folder: Path, durations_s: list[float], speakers: list[str | None]) -> Corpus:
    rng = np.random.default_rng(0)
    clips = []
    for i, (duration_s, speaker) in enumerate(zip(durations_s, speakers, strict=True)):
        path = folder / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(round(duration_s * 16_000)), 16_000)
        labels = {"speaker": speaker} if speaker else {}
        clips.append(Clip(id=str(i), path=path, duration_s=duration_s, labels=labels))
    return Corpus(name="noise", clips=tuple(clips), licence="none", revision="1")


@pytest.mark.parametrize(
    ("rate_hz", "first_s", "per_token"),
    [
        (Fraction(50), Fraction(1, 80), 2),
        (Fraction(100), Fraction(1, 200), 1),
        (Fraction(25, 2), Fraction(1, 20), 8),
        (Fraction(44_100, 882), Fraction(3, 1000), 2),
        (Fraction(16_000, 317), Fraction(0), 2),
    ],
)
def test_every_token_falls_exactly_on_a_row(
    rate_hz: Fraction, first_s: Fraction, per_token: int
) -> None:
    grid = band_grid(layer(rate_hz, first_s))
    assert grid.per_token == per_token
    assert grid.rate_hz >= 100
    for n in (0, 1, 77):
        row = grid.first_token + n * grid.per_token
        assert grid.first_s + row / grid.rate_hz == first_s + n / rate_hz
    assert Fraction(1, 80) <= grid.first_s < Fraction(1, 80) + 1 / grid.rate_hz


def test_bands_are_those_of_the_spectrogram_where_frames_agree(tmp_path: Path) -> None:
    reference = Reference(corpus(tmp_path, [2.0, 3.0], ["a", "b"]))
    bands = reference.bands(layer(Fraction(50), Fraction(1, 80)))
    clips = []
    for name in ("0.wav", "1.wav"):
        samples = torch.from_numpy(soundfile.read(tmp_path / name, dtype="float32")[0])
        clips.append(log_mel(samples, 16_000, hop_samples=160, window_samples=400))
    expected = without_position_mean(flatten(clips))
    assert bands.frames.lengths.tolist() == [198, 298]
    torch.testing.assert_close(bands.frames.values, expected.values, atol=1e-4, rtol=1e-4)


def test_a_click_is_found_in_the_row_of_its_token(tmp_path: Path) -> None:
    source = corpus(tmp_path, [2.0], ["a"])
    samples = np.full(32_000, 1e-3) * np.random.default_rng(0).standard_normal(32_000)
    samples[13_000:13_016] = 0.9  # around token 20, at 0.013 + 20 / 25 s
    soundfile.write(source.clips[0].path, samples, 16_000)
    tokens_hz, first_s = Fraction(25), Fraction(13, 1000)
    bands = Reference(source).bands(layer(tokens_hz, first_s))
    tokens = flatten([torch.zeros(49, 4)])
    rows, inside = pair(tokens, bands).rows(torch.tensor([0]))
    assert inside[1:].all()
    energy = bands.frames.values[rows[:, 0]].mean(1)
    assert int(energy.argmax()) == 20


def test_rows_beyond_the_clip_are_missing(tmp_path: Path) -> None:
    bands = Reference(corpus(tmp_path, [1.0, 1.0], ["a", "b"])).bands(
        layer(Fraction(100), Fraction(0))
    )
    tokens = flatten([torch.zeros(101, 4)] * 2)
    rows, inside = pair(tokens, bands).rows(torch.tensor([-5, 0, 5]))
    # Token 0 is centred at the very start: the first whole window is centred 12.5 ms later.
    assert inside[:8].tolist()[0] == [False, False, True]
    assert not inside[101, 1]
    assert (bands.frames.clip[rows] == tokens.clip[:, None])[inside].all()
    # Windows fit around tokens 2 to 98, so 97 of them, less those that a lag moves out.
    assert inside.sum(0).tolist() == [2 * 94, 2 * 97, 2 * 94]


def test_bands_are_computed_once_per_grid(tmp_path: Path) -> None:
    reference = Reference(corpus(tmp_path, [1.0], ["a"]))
    first = reference.bands(layer(Fraction(50), Fraction(1, 80)))
    again = reference.bands(layer(Fraction(25), Fraction(1, 80)))
    assert first.frames is again.frames
    assert (first.grid.per_token, again.grid.per_token) == (2, 4)


def test_clips_are_taken_evenly_over_groups_until_full(tmp_path: Path) -> None:
    speakers = ["a"] * 6 + ["b"] * 3 + [None]
    reference = Reference(corpus(tmp_path, [1.0] * 10, speakers), max_minutes=5.5 / 60)
    assert reference.clips == (0, 1, 6, 7, 9)
    assert reference.duration_s == 5
    assert reference.n_groups == 3
    assert reference.group.tolist() == [0, 0, 1, 1, 2]
