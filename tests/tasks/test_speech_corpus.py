import hashlib
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal

from probe_bench.tasks.corpora import speech
from probe_bench.tasks.corpora.alignment import segments, speech_end_sample
from probe_bench.tasks.corpora.espeak import (
    SAMPLE_RATE_HZ,
    PhoneEvent,
    Synthesiser,
    Utterance,
    accent_file,
    phone_classes,
)
from probe_bench.tasks.corpora.recording import (
    RATE_HZ,
    Conditions,
    coloured_noise,
    record,
    resample,
    to_int16,
)
from probe_bench.tasks.corpora.sentences import sentences
from probe_bench.tasks.corpora.speech import SpeechPlan, speech_sounds
from probe_bench.tasks.corpora.voices import EMOTIONS, Delivery, deliver, draw_speaker

VOICE = accent_file("en-US") + "\npitch 120 180\nflutter 6\nbreath 0 2 2 2 2 2 2 2\n"
CLEAN = Conditions(
    eq_db=0.0,
    low_cut_hz=(1.0, 1.0),
    high_cut_hz=(1e6, 1e6),
    snr_db=(120.0, 120.0),
    room_db=(-120.0, -120.0),
    level_db=(-40.0, -40.0),
)
TINY = SpeechPlan(name="t", seed=9, share=0, n_speakers=2, n_utterances=3)


def say(text: str, *, voice: str = VOICE, rate_wpm: int = 170, gap_10ms: int = 0) -> Utterance:
    with Synthesiser() as synthesiser:
        return synthesiser.say(text, voice=voice, rate_wpm=rate_wpm, word_gap_10ms=gap_10ms, seed=1)


@pytest.fixture(scope="module")
def said() -> list[Utterance]:
    texts = sentences(np.random.default_rng(0), share=0)
    return [say(next(texts) + ".") for _ in range(40)]


# --- synthesiser ----------------------------------------------------------------------------------


def test_a_fresh_synthesiser_says_the_same_whatever_others_said_before() -> None:
    alone = say("She sees the shape of things.")
    with Synthesiser() as one, Synthesiser() as other:
        other.say("Joyce judged the azure vision!", voice=VOICE, rate_wpm=220, seed=7)
        beside = one.say("She sees the shape of things.", voice=VOICE, rate_wpm=170, seed=1)
    np.testing.assert_array_equal(beside.samples, alone.samples)
    assert beside.phones == alone.phones


def test_settings_reach_the_synthesiser() -> None:
    plain = say("She sees the shape of things.")
    assert len(say("She sees the shape of things.", rate_wpm=300).samples) < len(plain.samples)
    gaps = say("She sees the shape of things.", gap_10ms=20)
    assert len(gaps.samples) > len(plain.samples) + 4 * 0.2 * SAMPLE_RATE_HZ
    high = say("She sees the shape of things.", voice=VOICE.replace("120 180", "240 360"))
    assert autocorrelation_pitch_hz(high.samples) > 1.6 * autocorrelation_pitch_hz(plain.samples)


def autocorrelation_pitch_hz(samples: np.ndarray) -> float:
    """Median over loud 50 ms frames of the strongest lag between 60 and 450 Hz."""
    frames = samples[: len(samples) // 1102 * 1102].reshape(-1, 1102).astype(float)
    loud = frames[np.abs(frames).mean(1) > np.abs(frames).mean()]
    lags = np.arange(SAMPLE_RATE_HZ // 450, SAMPLE_RATE_HZ // 60)
    best = [lags[np.argmax([frame[lag:] @ frame[:-lag] for lag in lags])] for frame in loud]
    return float(np.median(SAMPLE_RATE_HZ / np.array(best)))


def test_a_phone_without_a_class_is_refused() -> None:
    with pytest.raises(KeyError, match="y:"):
        say("fühlen", voice="language de\n")


def test_words_hold_every_phone(said: list[Utterance]) -> None:
    heard = {event.phone for utterance in said for event in utterance.phones}
    assert heard == set(phone_classes())
    assert len(phone_classes()) == 40


# --- alignment ------------------------------------------------------------------------------------


def share_above_3500_hz(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    high = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ) > 3500
    return float(power[high].sum() / power.sum())


def shares(said: list[Utterance], labels: set[str], shift_s: float = 0.0) -> np.ndarray:
    found = []
    for utterance in said:
        for segment in segments(utterance, lead_s=0.0, duration_s=len(utterance.samples) / 22050):
            start, end = ((t + shift_s) * SAMPLE_RATE_HZ for t in (segment.start_s, segment.end_s))
            piece = utterance.samples[max(0, round(start)) : round(end)].astype(float)
            if segment.label in labels and len(piece) > 400 and np.abs(piece).max() > 0:
                found.append(share_above_3500_hz(piece))
    return np.array(found)


def test_fricatives_are_where_the_labels_say(said: list[Utterance]) -> None:
    vowels = {"iy", "eh", "ae", "aa", "ow", "uw", "ay"}
    hissing, voiced = shares(said, {"s"}), shares(said, vowels)
    assert np.quantile(hissing, 0.05) > 0.6
    assert np.quantile(voiced, 0.95) < 0.25
    # The same check on labels moved by 60 ms fails, so it can see a misalignment.
    assert np.quantile(shares(said, {"s"}, shift_s=0.06), 0.05) < 0.3


def test_silence_is_silent(said: list[Utterance]) -> None:
    for utterance in said:
        duration_s = len(utterance.samples) / SAMPLE_RATE_HZ
        for segment in segments(utterance, lead_s=0.0, duration_s=duration_s):
            piece = utterance.samples[
                round(segment.start_s * SAMPLE_RATE_HZ) : round(segment.end_s * SAMPLE_RATE_HZ)
            ].astype(int)
            quiet = np.abs(piece).max(initial=0) <= 8
            assert quiet == (segment.label == "sil"), segment


def test_segments_cover_the_clip_without_gaps(said: list[Utterance]) -> None:
    for utterance in said:
        duration_s = 0.1 + len(utterance.samples) / SAMPLE_RATE_HZ
        found = segments(utterance, lead_s=0.1, duration_s=duration_s)
        assert found[0].start_s == 0
        assert found[-1].end_s == duration_s
        for before, after in itertools.pairwise(found):
            assert before.end_s == after.start_s
            assert before.start_s < before.end_s
            assert not before.label == after.label == "sil"


def by_hand(*pieces: tuple[str, float, float]) -> Utterance:
    """Phones as (label, sounding seconds, quiet seconds after it)."""
    samples = np.zeros(0, dtype=np.int16)
    phones = []
    for phone, loud_s, quiet_s in pieces:
        phones.append(PhoneEvent(start_sample=len(samples), phone=phone))
        samples = np.pad(samples, (0, round(loud_s * 22050)), constant_values=900)
        samples = np.pad(samples, (0, round(quiet_s * 22050)))
    return Utterance(samples=samples, phones=tuple(phones))


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # Silence before a stop is its closure ...
        ([("ae", 0.1, 0.05), ("k", 0.1, 0.0)], [(0, "ae"), (0.1, "k")]),
        # ... for up to 60 ms; what is more is a pause.
        ([("ae", 0.1, 0.2), ("k", 0.1, 0.0)], [(0, "ae"), (0.1, "sil"), (0.24, "k")]),
        # Before other phones it is a pause, if it is long enough to be one.
        ([("ae", 0.1, 0.2), ("s", 0.1, 0.0)], [(0, "ae"), (0.1, "sil"), (0.3, "s")]),
        ([("ae", 0.1, 0.01), ("s", 0.1, 0.0)], [(0, "ae"), (0.11, "s")]),
        # espeak-ng's own pauses are one with the silence around them.
        ([("ae", 0.1, 0.1), ("sil", 0.0, 0.1)], [(0, "ae"), (0.1, "sil")]),
    ],
)
def test_silence_goes_where_it_belongs(
    pieces: list[tuple[str, float, float]], expected: list[tuple[float, str]]
) -> None:
    utterance = by_hand(*pieces)
    found = segments(utterance, lead_s=0.0, duration_s=len(utterance.samples) / 22050)
    assert [segment.label for segment in found] == [label for _, label in expected]
    np.testing.assert_allclose([s.start_s for s in found], [t for t, _ in expected], atol=1e-4)


def test_speech_ends_where_the_last_pause_begins() -> None:
    utterance = by_hand(("ae", 0.1, 0.0), ("sil", 0.0, 0.2), ("s", 0.1, 0.0), ("sil", 0.0, 0.3))
    assert speech_end_sample(utterance) == pytest.approx(0.4 * 22050, abs=2)


# --- sentences, speakers, emotions ----------------------------------------------------------------


def test_sentences_differ_and_shares_are_disjoint() -> None:
    rng = np.random.default_rng(3)
    first, second = (set(itertools.islice(sentences(rng, share=s), 4000)) for s in (0, 1))
    assert len(first) == len(second) == 4000
    assert not first & second
    assert all(5 <= len(text.split()) <= 9 for text in first)


def test_emotions_move_each_speaker_relative_to_themselves() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        speaker = draw_speaker(rng)
        mean = {
            name: np.mean([prosody(deliver(speaker, emotion, rng)) for _ in range(200)], axis=0)
            for name, emotion in EMOTIONS.items()
        }
        assert mean["sad"][0] < mean["neutral"][0] < mean["happy"][0] < mean["fearful"][0]
        assert mean["sad"][1] < mean["calm"][1] < mean["neutral"][1] < mean["fearful"][1]
        assert mean["sad"][2] < mean["neutral"][2] < mean["angry"][2]


def prosody(delivery: Delivery) -> tuple[float, float, float]:
    low_hz = re.findall(r"^pitch (\d+)", delivery.voice, re.MULTILINE)[-1]
    return np.log(float(low_hz)), delivery.rate_wpm, delivery.tilt_db


# --- recording ------------------------------------------------------------------------------------


def test_resampling_agrees_with_scipy_and_keeps_time() -> None:
    band = scipy.signal.butter(8, 3000, fs=22050, output="sos")
    sound = scipy.signal.sosfilt(band, np.random.default_rng(0).standard_normal(20_001))
    sound *= np.hanning(len(sound))
    ours = resample(sound, 22050, 16000)
    oracle = scipy.signal.resample_poly(sound, 320, 441, window=("kaiser", 14.0))
    assert len(ours) == len(oracle)
    np.testing.assert_allclose(ours, oracle, atol=2e-3 * np.abs(oracle).max())


def test_tilt_is_in_db_per_octave() -> None:
    noise = np.random.default_rng(0).standard_normal(22050 * 4)
    freq_hz, plain = scipy.signal.welch(resample(noise, 22050), 16000)
    _, tilted = scipy.signal.welch(resample(noise, 22050, tilt_db=-6.0), 16000)
    gain_db = 10 * np.log10(tilted / plain)
    measured_db = np.interp([250, 1000, 2000, 4000], freq_hz, gain_db)
    np.testing.assert_allclose(measured_db, [0.0, -6.0, -12.0, -18.0], atol=0.3)


@pytest.mark.parametrize("slope", [-2.0, -1.0, 0.0, 0.5])
def test_noise_has_its_colour(slope: float) -> None:
    noise = coloured_noise(16000 * 20, slope, np.random.default_rng(0))
    freq_hz, power = scipy.signal.welch(noise, RATE_HZ, nperseg=2048)
    band = (freq_hz > 200) & (freq_hz < 6000)
    fitted, _ = np.polyfit(np.log(freq_hz[band]), np.log(power[band]), 1)
    assert fitted == pytest.approx(slope, abs=0.08)
    assert noise.std() == pytest.approx(1.0, rel=0.02)


def test_recording_delays_nothing() -> None:
    click = np.zeros(16000)
    click[8000] = 1.0
    for seed in range(20):
        heard = record(click, Conditions(snr_db=(60.0, 60.0)), np.random.default_rng(seed))
        assert abs(np.abs(heard).argmax() - 8000) <= 1


def test_recording_without_conditions_only_sets_the_level() -> None:
    tone = np.sin(np.arange(16000) * 0.3)
    heard = record(tone, CLEAN, np.random.default_rng(0), louder_db=6.0)
    np.testing.assert_allclose(heard, 10 ** (-34 / 20) * np.sqrt(2) * tone, atol=2e-4)


def test_recording_has_the_asked_signal_to_noise_ratio() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(64000) / 16000)
    noisy = replace(CLEAN, snr_db=(10.0, 10.0))
    heard = record(tone, noisy, np.random.default_rng(0))
    fitted = (heard @ tone) / (tone @ tone) * tone
    assert 20 * np.log10(fitted.std() / (heard - fitted).std()) == pytest.approx(10.0, abs=0.1)


def test_16_bit_rounding_saturates() -> None:
    np.testing.assert_array_equal(
        to_int16(np.array([-2.0, -1.0, 0.0, 0.5, 2.0])), [-32768, -32768, 0, 16384, 32767]
    )


# --- rendering ------------------------------------------------------------------------------------


def test_speech_is_the_same_every_time_and_speakers_do_not_depend_on_each_other() -> None:
    once, again = list(speech_sounds(TINY)), list(speech_sounds(TINY))
    for a, b in zip(once, again, strict=True):
        assert a.clip == b.clip
        np.testing.assert_array_equal(a.samples, b.samples)
    first = list(speech_sounds(SpeechPlan(name="t", seed=9, share=0, n_speakers=1, n_utterances=3)))
    assert [s.clip.labels["text"] for s in first] == [s.clip.labels["text"] for s in once[:3]]
    assert not np.array_equal(once[0].samples, once[3].samples)


def test_clips_carry_every_label() -> None:
    sounds = list(speech_sounds(TINY))
    for sound in sounds:
        clip = sound.clip
        assert set(clip.labels) == {"speaker", "emotion", "text", "recording"}
        assert clip.duration_s == len(sound.samples) / RATE_HZ
        assert {phone.label for phone in clip.phones or ()} <= set(phone_classes())
        assert (clip.phones or ())[-1].end_s == clip.duration_s
    assert len({sound.clip.labels["text"] for sound in sounds}) == 6
    assert sorted(sound.clip.labels["emotion"] for sound in sounds) == sorted(EMOTIONS)


def test_the_pretraining_corpus_shares_no_text_and_no_speaker() -> None:
    plans = (speech._SPEECH, speech._PRETRAIN)
    assert plans[0].seed != plans[1].seed
    assert plans[0].share != plans[1].share
    assert plans[0].name != plans[1].name
    speakers = [draw_speaker(np.random.default_rng([plan.seed, 1, 0])) for plan in plans]
    assert speakers[0] != speakers[1]


def test_what_is_rendered_changes_only_with_the_revision() -> None:
    sound = next(speech_sounds(speech._SPEECH))
    digest = hashlib.sha256(sound.samples.tobytes()).hexdigest()[:16]
    assert (speech._REVISION, digest) == ("3", "dbc8b0f409a21668"), (
        "raise _REVISION and pin the new digest"
    )
