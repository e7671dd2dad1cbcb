"""How often planted copies are found, and how often other clips are taken for copies.

    python benchmarks/leaks.py speech scenes esc10=FOLDER emodb=FOLDER --clips 100

For each corpus: of how many clips a degraded copy is found at several thresholds, which pairs of
clips of the corpus itself are found (all of them false, but for what the corpus really holds twice),
and how many times faster than real time one thread makes fingerprints.
"""

import argparse
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile
import torch

from probe_bench.audio import read, resample
from probe_bench.cache import default_root
from probe_bench.corpora import load_corpus
from probe_bench.errors import AudioError
from probe_bench.leaks.fingerprint import Fingerprint, fingerprint
from probe_bench.leaks.index import Index
from probe_bench.leaks.matching import find_matches, find_repeats

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
Change = Callable[[np.ndarray, int], tuple[np.ndarray, int]]


def gain(samples: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
    """Attenuate by 20 dB and quantise to 16 bits with rectangular dither."""
    dither = np.random.default_rng(0).random(len(samples), dtype=np.float32)
    return (np.floor(samples * 3276.7 + dither) / 32767).astype(np.float32), rate_hz


def trimmed(samples: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
    """Cut 0.21 s off the start and 0.1 s off the end."""
    return samples[round(0.21 * rate_hz) : -round(0.1 * rate_hz)], rate_hz


def to_rate(rate_hz: int) -> Change:
    """Return a resampling to another rate."""

    def change(samples: np.ndarray, from_hz: int) -> tuple[np.ndarray, int]:
        return resample(torch.from_numpy(samples), from_hz, rate_hz).numpy(), rate_hz

    return change


def noisy(snr_db: float) -> Change:
    """Return an addition of white noise."""

    def change(samples: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
        noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
        level = np.sqrt(np.mean(samples**2)) * 10 ** (-snr_db / 20)
        return samples + level * noise, rate_hz

    return change


def encoded(**options: Any) -> Change:
    """Return a way through a lossy codec."""

    def change(samples: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
        file = io.BytesIO()
        peak = max(1.0, float(np.abs(samples).max()))
        soundfile.write(file, samples / peak, rate_hz, **options)
        file.seek(0)
        decoded, rate_hz = soundfile.read(file, dtype="float32")
        return decoded, int(rate_hz)

    return change


CHANGES: dict[str, Change] = {
    "-20 dB, 16 bit": gain,
    "trimmed": trimmed,
    "8 kHz": to_rate(8000),
    "22.05 kHz": to_rate(22050),
    "noise 20 dB": noisy(20),
    "noise 10 dB": noisy(10),
    "MP3 middle": encoded(format="MP3", subtype="MPEG_LAYER_III", compression_level=0.5),
    "MP3 worst": encoded(format="MP3", subtype="MPEG_LAYER_III", compression_level=0.99),
    "Vorbis middle": encoded(format="OGG", subtype="VORBIS", compression_level=0.5),
    "Vorbis worst": encoded(format="OGG", subtype="VORBIS", compression_level=0.99),
}


def usable(reference: str) -> list[tuple[np.ndarray, int]]:
    """Decode every usable clip of a corpus."""
    clips = []
    for clip in load_corpus(reference, default_root()):
        try:
            clips.append(read(clip.path))
        except AudioError:
            continue
    return clips


def measure(reference: str, n_clips: int) -> None:
    """Print everything about one corpus."""
    clips = usable(reference)
    began = time.process_time()
    prints = [fingerprint(*clip) for clip in clips]
    seconds = time.process_time() - began
    judged = [i for i, each in enumerate(prints) if not each.unjudged]
    audio_s = sum(each.duration_s for each in prints)
    print(
        f"{reference.partition('=')[0]}: {len(clips)} clips, {audio_s:.0f} s, {len(judged)} judged"
    )
    print(f"  fingerprints: {audio_s / seconds:.0f} times real time")
    line("pairs of its own clips", [str(len(find_repeats(prints, at))) for at in THRESHOLDS])
    chosen = judged[:: max(1, len(judged) // n_clips)]
    index = Index.of(prints)
    for name, change in CHANGES.items():
        copies = [fingerprint(*change(*clips[i])) for i in chosen]
        found = [hits(index, copies, chosen, at) / len(chosen) for at in THRESHOLDS]
        line(f"{name}, found of {len(chosen)}", [f"{each:.1%}" for each in found])


def hits(index: Index, copies: list[Fingerprint], originals: list[int], threshold: float) -> int:
    """Count the copies whose original is found."""
    found = {(match.clip, match.other) for match in find_matches(index, copies, threshold)}
    return sum(pair in found for pair in enumerate(originals))


def line(name: str, cells: list[str]) -> None:
    """Print one row of the table."""
    print(f"  {name:34}" + "".join(f"{cell:>9}" for cell in cells), flush=True)


def main() -> None:
    """Read the command line and measure corpus after corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--clips", type=int, default=100, help="copies planted for each corpus")
    chosen = parser.parse_args()
    print("similarity of at least" + " " * 14 + "".join(f"{at:9.2f}" for at in THRESHOLDS))
    for reference in chosen.corpus:
        measure(reference, chosen.clips)


if __name__ == "__main__":
    main()
