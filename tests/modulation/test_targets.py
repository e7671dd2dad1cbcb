"""Tracks of phones, energy and pitch against their definitions."""

from pathlib import Path

import numpy as np
import torch
from scipy.integrate import quad

from probe_bench.corpus import Clip, Segment
from probe_bench.modulation.pitch import Pitch
from probe_bench.modulation.targets import energy, make_targets, phone_tracks, pitch_track

RATE_HZ = 16_000
WINDOW_S = 0.025


def test_phone_track_is_the_windowed_share_of_time() -> None:
    segments = (
        Segment(start_s=0.0, end_s=0.031, label="a"),
        Segment(start_s=0.031, end_s=0.042, label="t"),
        Segment(start_s=0.042, end_s=0.1, label="sil"),
        Segment(start_s=0.1, end_s=0.2, label="a"),
    )
    at = torch.arange(0.0125, 0.19, 0.005, dtype=torch.float64)
    tracks = phone_tracks(segments, ["a", "t"], at, WINDOW_S)
    for row, centre in zip(tracks, at.tolist(), strict=True):

        def weight(t: float, centre: float = centre) -> float:
            inside = abs(t - centre) <= WINDOW_S / 2
            return inside * (1 + np.cos(2 * np.pi * (t - centre) / WINDOW_S)) / WINDOW_S

        for k, label in enumerate("at"):
            expected = sum(
                quad(
                    weight,
                    s.start_s,
                    s.end_s,
                    points=np.clip(
                        [centre - WINDOW_S / 2, centre, centre + WINDOW_S / 2], s.start_s, s.end_s
                    ),
                )[0]
                for s in segments
                if s.label == label
            )
            np.testing.assert_allclose(row[k], expected, atol=1e-6)


def test_energy_is_the_level_around_each_time() -> None:
    time = torch.arange(RATE_HZ) / RATE_HZ
    loud = torch.where(time < 0.5, 0.1, 0.01) * torch.sin(2 * torch.pi * 1000 * time)
    level = energy(loud, RATE_HZ, torch.tensor([0.2, 0.5, 0.8]).double(), WINDOW_S)[:, 0]
    expected = [-23.01, 10 * np.log10((0.005 + 0.00005) / 2), -43.01]
    np.testing.assert_allclose(level, expected, atol=0.02)


def test_pitch_track_is_in_octaves_around_the_mean_and_straight_between_voices() -> None:
    voiced = torch.tensor([0, 1, 1, 0, 0, 1, 0]).bool()
    hz = torch.tensor([7.0, 100, 200, 7, 7, 400, 7])
    track = pitch_track(Pitch(hz=hz, voiced=voiced))[:, 0]
    np.testing.assert_allclose(track, [-1, -1, 0, 1 / 3, 2 / 3, 1, 1], atol=1e-6)
    silent = pitch_track(Pitch(hz=hz, voiced=torch.zeros(7, dtype=torch.bool)))
    assert not silent.any()


def test_targets_say_which_clips_have_them() -> None:
    rng = torch.Generator().manual_seed(0)
    said = (
        Segment(start_s=0.1, end_s=0.4, label="a"),
        Segment(start_s=0.4, end_s=0.9, label="SIL"),
    )
    clips = [
        Clip(id=str(i), path=Path("x"), duration_s=1.0, phones=said if i else None)
        for i in range(3)
    ]
    waveforms = [0.1 * torch.randn(RATE_HZ, generator=rng) for _ in clips]
    centres_s = [torch.arange(0.0125, 0.98, 0.01).double()] * 3
    made = {t.name: t for t in make_targets(clips, waveforms, RATE_HZ, centres_s, WINDOW_S)}
    assert list(made) == ["phones", "energy", "voicing", "pitch"]
    assert made["phones"].known.tolist() == [False, True, True]
    assert made["phones"].frames.values.shape == (3 * 97, 1)
    assert (
        made["pitch"].reason
        == made["voicing"].reason
        == "0% of the sound is voiced; at least 10% needed"
    )
    bare = [Clip(id=str(i), path=Path("x"), duration_s=1.0) for i in range(3)]
    made = {t.name: t for t in make_targets(bare, waveforms, RATE_HZ, centres_s, WINDOW_S)}
    assert list(made) == ["energy", "voicing", "pitch"]
