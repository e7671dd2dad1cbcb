"""Embedded speech: many synthetic speakers, emotions and recording conditions, exact phones.

Half of the speakers stay for testing, since the speakers are what an interval is made from; the
speakers themselves are told apart on a third of their clips.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from probe_bench.corpus import EVERY_TASK, Clip, Corpus, CorpusSpec
from probe_bench.tasks.corpora.alignment import segments, speech_end_sample
from probe_bench.tasks.corpora.espeak import (
    SAMPLE_RATE_HZ,
    Synthesiser,
    Utterance,
    espeak_version,
)
from probe_bench.tasks.corpora.recording import RATE_HZ, Conditions, record, resample, to_int16
from probe_bench.tasks.corpora.rendering import Sound, load_or_render
from probe_bench.tasks.corpora.sentences import sentences
from probe_bench.tasks.corpora.voices import EMOTIONS, Delivery, deliver, draw_speaker

__all__ = ["CORPORA", "SpeechPlan", "speech_sounds"]

_REVISION = "3"  # raise it with every change to what is rendered
_LICENCE = "CC0-1.0 (synthesised)"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechPlan:
    """What to render.

    Attributes:
        name: Begins the names of its speakers.
        seed: Seed of speakers, sentences and conditions.
        share: Which half of all sentences to say (see `sentences`).
        n_speakers: Speakers.
        n_utterances: Clips of each.
        divided: Whether the clips have official parts.
    """

    name: str
    seed: int
    share: int
    n_speakers: int
    n_utterances: int
    divided: bool = False


def speech_sounds(plan: SpeechPlan) -> Iterator[Sound]:
    """Render speaker after speaker; a speaker's emotions come in turn, so that all are even."""
    texts = sentences(np.random.default_rng([plan.seed, 0]), share=plan.share)
    for s in range(plan.n_speakers):
        speaker = draw_speaker(np.random.default_rng([plan.seed, 1, s]))
        for u in range(plan.n_utterances):
            rng = np.random.default_rng([plan.seed, 2, s, u])
            # Going on from speaker to speaker spreads the emotions that do not come out even.
            emotion = list(EMOTIONS)[(u + s * plan.n_utterances) % len(EMOTIONS)]
            text, name = next(texts), f"{plan.name}{s:03}"
            delivery = deliver(speaker, EMOTIONS[emotion], rng)
            labels = {"speaker": name, "emotion": emotion, "text": text}
            splits = _parts(plan, s, u) if plan.divided else {}
            said = _say(text, delivery, rng)
            yield _sound(f"{name}-{u:02}", said, delivery, labels, splits, rng=rng)


def _parts(plan: SpeechPlan, speaker: int, utterance: int) -> dict[str, str]:
    """Divide a speaker's clips for naming the speaker, and whole speakers for everything else."""
    # Going on from speaker to speaker puts every emotion into every part.
    place = (utterance + speaker) % plan.n_utterances / plan.n_utterances
    own = "train" if place < 1 / 2 else "valid" if place < 2 / 3 else "test"
    rank = speaker / plan.n_speakers
    others = "train" if rank < 5 / 12 else "valid" if rank < 7 / 12 else "test"
    return {"speaker": own, EVERY_TASK: others}


def _say(text: str, delivery: Delivery, rng: np.random.Generator) -> Utterance:
    with Synthesiser() as synthesiser:  # a fresh one: no clip depends on another
        return synthesiser.say(
            text + delivery.end,
            voice=delivery.voice,
            rate_wpm=delivery.rate_wpm,
            word_gap_10ms=delivery.word_gap_10ms,
            seed=int(rng.integers(2**31)),
        )


def _sound(
    clip_id: str,
    said: Utterance,
    delivery: Delivery,
    labels: Mapping[str, str],
    splits: Mapping[str, str],
    *,
    rng: np.random.Generator,
) -> Sound:
    spoken = said.samples[: speech_end_sample(said)] / 32768
    voice = resample(spoken, SAMPLE_RATE_HZ, tilt_db=delivery.tilt_db)
    lead, tail = (round(rng.uniform(0.05, 0.25) * RATE_HZ) for _ in range(2))
    clean = np.pad(voice, (lead, tail))
    samples = to_int16(record(clean, Conditions(), rng, louder_db=delivery.level_db))
    duration_s = len(samples) / RATE_HZ
    clip = Clip(
        id=clip_id,
        path=Path("audio", f"{clip_id}.flac"),
        duration_s=duration_s,
        labels={**labels, "recording": clip_id},
        phones=segments(said, lead_s=lead / RATE_HZ, duration_s=duration_s),
        splits=splits,
    )
    return Sound(clip=clip, samples=samples)


def _load(folder: Path, *, name: str, plan: SpeechPlan) -> Corpus:
    return load_or_render(
        folder,
        name=name,
        licence=_LICENCE,
        revision=f"{_REVISION}-espeak-ng-{espeak_version()}",
        sounds=partial(speech_sounds, plan),
    )


_SPEECH = SpeechPlan(name="s", seed=1, share=0, n_speakers=72, n_utterances=12, divided=True)
_PRETRAIN = SpeechPlan(name="p", seed=2, share=1, n_speakers=240, n_utterances=6)
_SOURCE = "https://github.com/espeak-ng/espeak-ng"

CORPORA = (
    CorpusSpec(
        name="speech",
        summary="72 synthetic speakers, 6 emotions, exact phones, noisy channels; about 36 min",
        source=_SOURCE,
        licence=_LICENCE,
        embedded=True,
        load=partial(_load, name="speech", plan=_SPEECH),
    ),
    CorpusSpec(
        name="speech-pretrain",
        summary="other speakers and sentences than `speech`, for pretraining; about 60 min",
        source=_SOURCE,
        licence=_LICENCE,
        embedded=True,
        load=partial(_load, name="speech-pretrain", plan=_PRETRAIN),
    ),
)
