import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import scipy.signal

from probe_bench.corpus import Corpus
from probe_bench.registry import corpora
from probe_bench.tasks.corpora import scenes, speech
from probe_bench.tasks.corpora.espeak import espeak_version
from probe_bench.tasks.corpora.events import EVENTS
from probe_bench.tasks.corpora.recording import RATE_HZ
from probe_bench.tasks.corpora.scenes import ScenePlan, scene_sounds

ROOT = Path(__file__).parents[2]


def spectrogram(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    freq_hz, time_s, power = scipy.signal.spectrogram(samples, RATE_HZ, nperseg=512, noverlap=384)
    return freq_hz, time_s, power


def events_of(name: str, n: int = 8, seconds: float = 3.0) -> list[np.ndarray]:
    return [EVENTS[name](round(seconds * RATE_HZ), np.random.default_rng(s)) for s in range(n)]


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_sounds_at_every_length(name: str) -> None:
    for seed in range(12):
        for n in (24000, 48000):
            sound = EVENTS[name](n, np.random.default_rng(seed))
            assert sound.shape == (n,)
            assert np.isfinite(sound).all()
            assert sound.std() > 1e-4


@pytest.mark.parametrize(("name", "sign"), [("up_chirp", 1), ("down_chirp", -1)])
def test_chirps_glide_their_way(name: str, sign: int) -> None:
    for sound in events_of(name):
        freq_hz, _, power = spectrogram(sound)
        loud = power.sum(0) > 0.3 * power.sum(0).max()
        steps = np.diff(np.log(freq_hz[power[1:].argmax(0) + 1]))[loud[1:] & loud[:-1]]
        moving = steps[np.abs(steps) < 0.3]  # leaves out the jumps back
        assert np.sign(moving.mean()) == sign


def test_hum_and_hiss_are_steady_and_flutter_is_not() -> None:
    depth = {}
    for name in ("hum", "hiss", "flutter", "clicks"):
        levels = [
            np.sqrt(s[: s.size // 400 * 400].reshape(-1, 400).var(1)) for s in events_of(name)
        ]
        depth[name] = np.median([level.std() / level.mean() for level in levels])
    assert depth["hum"] < 0.1
    assert depth["hiss"] < 0.2
    assert depth["flutter"] > 0.4
    assert depth["clicks"] > 0.4


def test_tonal_events_are_narrow_and_noises_are_wide() -> None:
    def flatness(name: str) -> float:
        power = np.mean([spectrogram(sound)[2] for sound in events_of(name)], axis=(0, 2)) + 1e-20
        return float(np.exp(np.log(power).mean()) / power.mean())

    assert max(map(flatness, ("hum", "siren", "alarm", "trill"))) < 0.3
    assert min(map(flatness, ("rain", "clicks", "crackle"))) > 0.5


def test_alarm_beeps_at_its_own_rate() -> None:
    for sound in events_of("alarm"):
        level = np.abs(scipy.signal.hilbert(sound))
        power = np.abs(np.fft.rfft(level - level.mean())) ** 2
        rate_hz = np.fft.rfftfreq(len(level), 1 / RATE_HZ)[power.argmax()]
        assert 1.3 <= rate_hz <= 6.2


def test_scenes_are_the_same_every_time_and_do_not_depend_on_each_other() -> None:
    few, more = (list(scene_sounds(ScenePlan(seed=5, n_clips=n))) for n in (3, 6))
    for a, b in zip(few, more, strict=False):
        assert a.clip == b.clip
        np.testing.assert_array_equal(a.samples, b.samples)
    other = next(scene_sounds(ScenePlan(seed=6, n_clips=1)))
    assert not np.array_equal(other.samples, few[0].samples)


def test_scenes_hold_one_to_four_events_of_every_class() -> None:
    sounds = list(scene_sounds(ScenePlan(seed=5, n_clips=60, duration_s=2.0)))
    counts = {len(sound.clip.tags or ()) for sound in sounds}
    assert counts == {1, 2, 3, 4}
    assert {tag for sound in sounds for tag in (sound.clip.tags or ())} == set(EVENTS)
    assert len(EVENTS) == 16
    for sound in sounds:
        assert list(sound.clip.tags or ()) == sorted(set(sound.clip.tags or ()))
        assert sound.clip.labels == {"recording": sound.clip.id}
        assert len(sound.samples) == 2 * RATE_HZ
        assert np.abs(sound.samples).max() > 100


def test_tagged_events_rise_over_the_background() -> None:
    # The same generator gives the same background, so the difference is the events alone.
    ratios_db = []
    for seed in range(40):
        background = scenes._mix([], 48000, np.random.default_rng(seed))
        event = scenes._mix(["hum"], 48000, np.random.default_rng(seed)) - background
        sounding = event[np.abs(event) > 0]
        ratios_db.append(20 * np.log10(sounding.std() / background.std()))
    assert -12.5 < min(ratios_db) < 0
    assert 20 < max(ratios_db) < 36.5


def test_what_is_rendered_changes_only_with_the_revision() -> None:
    sound = next(scene_sounds(ScenePlan(seed=3, n_clips=1)))
    digest = hashlib.sha256(sound.samples.tobytes()).hexdigest()[:16]
    assert (scenes._REVISION, digest) == ("3", "bd7ac6fc0e7434b9"), (
        "raise _REVISION and pin the new digest"
    )


def test_embedded_corpora_are_registered() -> None:
    found = corpora()
    for name in ("speech", "speech-pretrain", "scenes", "scenes-pretrain"):
        assert found[name].embedded


# --- difficulty -----------------------------------------------------------------------------------


def difficulty() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "difficulty", ROOT / "benchmarks" / "difficulty.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_difficulty_is_of_this_revision_and_unsaturated() -> None:
    table = pd.read_csv(ROOT / "tasks" / "corpora" / "difficulty.csv", dtype={"revision": str})
    assert list(table["task"]) == ["speaker", "phoneme", "emotion", "tagging"]
    current = {
        "speech": f"{speech._REVISION}-espeak-ng-{espeak_version()}",
        "scenes": scenes._REVISION,
    }
    assert list(table["revision"]) == [current[name] for name in table["corpus"]]
    assert table["fraction"].between(0.25, 0.75).all()
    fraction = (table["logmel"] - table["chance"]) / (1 - table["chance"])
    np.testing.assert_allclose(table["fraction"], fraction, atol=2e-4)


@pytest.mark.slow
def test_difficulty_is_as_the_table_says(tmp_path: Path) -> None:
    table = pd.read_csv(ROOT / "tasks" / "corpora" / "difficulty.csv")

    def load(name: str) -> Corpus:
        return corpora()[name].load(tmp_path / name)

    for row, measured in zip(table.itertuples(), difficulty().measure(load), strict=True):
        assert measured.task == row.task
        assert measured.fraction == pytest.approx(row.fraction, abs=0.01)
