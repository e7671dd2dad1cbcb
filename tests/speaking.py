"""Synthetic speech of any length for tests that know the answer."""

import numpy as np
from jaxtyping import Float32
from scipy.signal import resample_poly

from probe_bench.tasks.corpora.espeak import SAMPLE_RATE_HZ, Synthesiser
from probe_bench.tasks.corpora.sentences import sentences
from probe_bench.tasks.corpora.voices import EMOTIONS, deliver, draw_speaker


def speak(seed: list[int], duration_s: float) -> Float32[np.ndarray, " samples"]:
    """Sentences of one drawn speaker end to end at 16 kHz, with a noise floor at -60 dB."""
    rng = np.random.default_rng(seed)
    speaker, texts = draw_speaker(rng), sentences(rng, share=0)
    said: list[np.ndarray] = []
    with Synthesiser() as voice:
        while sum(map(len, said)) < (duration_s + 0.1) * SAMPLE_RATE_HZ:
            delivery = deliver(speaker, next(iter(EMOTIONS.values())), rng)
            utterance = voice.say(
                next(texts) + delivery.end,
                voice=delivery.voice,
                rate_wpm=delivery.rate_wpm,
                seed=int(rng.integers(2**31)),
            )
            said.append(utterance.samples / 32768)
    sound = resample_poly(np.concatenate(said), 320, 441)[: round(duration_s * 16_000)]
    noise = 1e-3 * np.abs(sound).max() * rng.standard_normal(len(sound))
    return (sound + noise).astype(np.float32)
