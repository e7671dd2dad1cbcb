"""Speakers and emotions as settings of the synthesiser.

A speaker is a point in a continuous space (accent, pitch, range, rate, vocal tract length, single
formants, voice quality), so that no one cue gives it away. An emotion moves a speaker's own
settings; how far differs from clip to clip, so that emotions overlap.
"""

from dataclasses import dataclass

import numpy as np

from probe_bench.tasks.corpora.espeak import accent_file

__all__ = ["EMOTIONS", "Delivery", "Emotion", "Speaker", "deliver", "draw_speaker", "voice_file"]

_ACCENTS = (
    "en", "en-029", "en-GB-scotland", "en-GB-x-gbclan", "en-GB-x-gbcwmd", "en-GB-x-rp", "en-US",
    "en-US-nyc",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Speaker:
    """What stays the same in all of a speaker's clips.

    Attributes:
        accent: Voice file of espeak-ng.
        pitch_hz: Lowest pitch of neutral speech.
        range_semitones: Distance to the highest pitch of neutral speech.
        rate_wpm: Words per minute.
        formants: Frequency of formants 0-8 in percent of espeak's default voice.
        heights: Amplitude of formants 0-8 in percent.
        widths: Bandwidth of formants 0-8 in percent.
        breath: Breathiness, 0 to 6.
        flutter: Slow random variation of pitch, 0 to 12.
        roughness: Alternation between glottal pulses, 0 to 3.
        tilt_db: Slope of the source spectrum in dB per octave above 500 Hz.
    """

    accent: str
    pitch_hz: float
    range_semitones: float
    rate_wpm: float
    formants: tuple[float, ...]
    heights: tuple[float, ...]
    widths: tuple[float, ...]
    breath: float
    flutter: float
    roughness: float
    tilt_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Emotion:
    """How an emotion at full strength moves a speaker's settings.

    Attributes:
        pitch_semitones: Added to the pitch.
        range_ratio: Multiplies the pitch range.
        rate_ratio: Multiplies the rate.
        level_db: How much louder the voice is, against a background that stays.
        tilt_db: Added to the source slope, dB per octave.
        pause_10ms: Pause between words in 10 ms.
        flutter: Added to flutter.
        breath: Added to breathiness.
        end: Punctuation that is likely at the end.
    """

    pitch_semitones: float = 0.0
    range_ratio: float = 1.0
    rate_ratio: float = 1.0
    level_db: float = 0.0
    tilt_db: float = 0.0
    pause_10ms: float = 0.0
    flutter: float = 0.0
    breath: float = 0.0
    end: str = "."


# Directions after the review by Juslin & Laukka (2003), Psychological Bulletin 129, table 7.
EMOTIONS = {
    "neutral": Emotion(),
    "happy": Emotion(
        pitch_semitones=4.0, range_ratio=2.0, rate_ratio=1.15, level_db=4.0, tilt_db=2.0, end="!"
    ),
    "sad": Emotion(
        pitch_semitones=-2.5, range_ratio=0.4, rate_ratio=0.7, level_db=-8.0, tilt_db=-4.0,
        pause_10ms=6.0, breath=1.5,
    ),
    "angry": Emotion(
        pitch_semitones=1.5, range_ratio=1.6, rate_ratio=1.2, level_db=10.0, tilt_db=5.0, end="!"
    ),
    "fearful": Emotion(
        pitch_semitones=5.0, range_ratio=0.6, rate_ratio=1.35, level_db=-3.0, tilt_db=-1.5,
        flutter=16.0, breath=3.0, end="?",
    ),
    "calm": Emotion(
        pitch_semitones=-1.5, range_ratio=0.7, rate_ratio=0.85, level_db=-4.0, tilt_db=-2.0,
        pause_10ms=2.0, breath=0.5,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How one clip is said.

    Attributes:
        voice: Text of an espeak-ng voice file.
        rate_wpm: Words per minute.
        word_gap_10ms: Pause between words in 10 ms.
        end: Punctuation at the end.
        tilt_db: Slope of the spectrum in dB per octave above 500 Hz.
        level_db: How much louder than usual.
    """

    voice: str
    rate_wpm: int
    word_gap_10ms: int
    end: str
    tilt_db: float
    level_db: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """Draw a speaker; pitch and vocal tract length go together loosely, as in people."""
    size = rng.normal()
    scale = 104.0 * 1.05 ** -(size + 0.4 * rng.normal())
    return Speaker(
        accent=_ACCENTS[rng.integers(len(_ACCENTS))],
        pitch_hz=135.0 * 1.28 ** -(size + 0.6 * rng.normal()),
        range_semitones=rng.uniform(4.0, 9.0),
        rate_wpm=rng.uniform(170.0, 220.0),
        formants=tuple(scale * rng.uniform(0.97, 1.03, 9)),
        heights=tuple(100.0 * rng.uniform(0.8, 1.2, 9)),
        widths=tuple(100.0 * rng.uniform(0.8, 1.3, 9)),
        breath=max(0.0, rng.uniform(-2.0, 2.0)),
        flutter=rng.uniform(1.0, 6.0),
        roughness=max(0.0, rng.uniform(-2.0, 2.5)),
        tilt_db=rng.uniform(-2.0, 2.0),
    )


def deliver(speaker: Speaker, emotion: Emotion, rng: np.random.Generator) -> Delivery:
    """Let `speaker` express `emotion`, with the variation that people have between utterances."""
    strength = rng.uniform(0.6, 1.3)
    pitch_semitones = strength * emotion.pitch_semitones + 1.0 * rng.normal()
    range_ratio = emotion.range_ratio**strength * 1.25 ** rng.normal()
    rate_ratio = emotion.rate_ratio**strength * 1.08 ** rng.normal()
    low_hz = speaker.pitch_hz * 2 ** (pitch_semitones / 12)
    high_hz = low_hz * 2 ** (speaker.range_semitones * range_ratio / 12)
    return Delivery(
        voice=voice_file(
            speaker,
            low_hz=low_hz,
            high_hz=high_hz,
            flutter=speaker.flutter + strength * emotion.flutter,
            breath=speaker.breath + strength * emotion.breath,
        ),
        rate_wpm=round(speaker.rate_wpm * rate_ratio),
        word_gap_10ms=round(max(0.0, strength * emotion.pause_10ms + rng.uniform(-2.0, 1.5))),
        end=emotion.end if rng.random() < 0.6 else ".!?"[rng.integers(3)],
        tilt_db=speaker.tilt_db + strength * emotion.tilt_db + 0.7 * rng.normal(),
        level_db=strength * emotion.level_db + 2.0 * rng.normal(),
    )


def voice_file(
    speaker: Speaker, *, low_hz: float, high_hz: float, flutter: float, breath: float
) -> str:
    """Return the text of an espeak-ng voice file."""
    lines = [
        accent_file(speaker.accent),
        f"pitch {low_hz:.0f} {high_hz:.0f}",
        f"flutter {flutter:.0f}",
        f"roughness {speaker.roughness:.0f}",
        "breath " + " ".join(f"{breath * share:.0f}" for share in (0, 1, 1, 1, 1, 1, 1, 1)),
    ]
    settings = zip(speaker.formants, speaker.heights, speaker.widths, strict=True)
    lines += [f"formant {n} {f:.0f} {h:.0f} {w:.0f}" for n, (f, h, w) in enumerate(settings)]
    return "\n".join(lines) + "\n"
