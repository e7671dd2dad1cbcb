"""Batches of training audio against the loop that one would write first.

Prints crops a second and ratios from one run on one machine, files in the page cache, one thread a
process: `python benchmarks/loading.py [--files N] [--rounds N]`.

* naive loop: `soundfile.read` of the whole file, mean over channels, `torchaudio` resampling with its
  default (short) kernel, one random crop. "same kernel" takes the kernel that this library uses.
* files, shards: `prefetched` over `AudioFiles` and `Shards`, in this process or in workers.
* 8 a clip: WavJEPA's eight 2 s crops from a 10 s excerpt.

The CPU column is what the training loop's own process spends on a crop: what workers take off it,
whoever else uses the machine.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio.functional
import tyro

from probe_bench import audio
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.data.files import AudioFiles
from probe_bench.encoders.pretraining.data.loading import prefetched
from probe_bench.encoders.pretraining.data.shard_writer import write_shards
from probe_bench.encoders.pretraining.data.shards import Shards
from probe_bench.encoders.pretraining.data.sources import Source, plan

RATE_HZ = 16_000
CROP_SAMPLES = 32_159
EXCERPT_SAMPLES = 160_000


@dataclass(frozen=True)
class Batches:
    """Decoded and resampled batches by step."""

    source: Source
    rule: CropRule

    def __call__(self, step: int) -> torch.Tensor:
        """Make the batch of one step."""
        rng = np.random.default_rng((0, step))
        cuts = plan(self.source, self.rule, seed=0, step=step, rng=rng)
        return self.source.read(cuts, self.rule.crop_samples)


def write_recordings(folder: Path, n: int, suffix: str, rate_hz: int, seconds: float) -> list[Path]:
    """Write noise with a falling spectrum and syllables, which FLAC packs about as it packs speech."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = []
    for i in range(n):
        white = rng.standard_normal(int(rate_hz * seconds * rng.uniform(0.8, 1.2)))
        level = np.interp(np.arange(len(white)), *_syllables(len(white), rate_hz, rng))
        pink = np.convolve(white, 0.9 ** np.arange(64), mode="same")
        paths.append(folder / f"{i:05d}.{suffix}")
        soundfile.write(paths[-1], (0.05 * level * pink).clip(-1, 1), rate_hz)
    return paths


def _syllables(n: int, rate_hz: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(0, n, rate_hz // 8)
    return times, rng.random(len(times)) ** 2


def naive(paths: list[Path], resample: Callable[..., torch.Tensor]) -> Iterable[torch.Tensor]:
    """Read whole files in random order, resample, crop."""
    rng = np.random.default_rng(0)
    for i in rng.permutation(len(paths)):
        samples, rate_hz = soundfile.read(paths[i], dtype="float32", always_2d=True)
        wave = torch.from_numpy(samples.mean(axis=1))
        wave = resample(wave, rate_hz, RATE_HZ)
        start = int(rng.integers(len(wave) - CROP_SAMPLES))
        yield wave[None, start : start + CROP_SAMPLES]


def timed(batches: Iterable[torch.Tensor]) -> tuple[float, float]:
    """Return crops a second, and microseconds of this process's CPU for each.

    The first batch, which starts the workers, does not count.
    """
    made = iter(batches)
    next(made)
    start, cpu = time.perf_counter(), time.process_time()
    n = sum(len(batch) for batch in made)
    return n / (time.perf_counter() - start), (time.process_time() - cpu) / n * 1e6


def measure(
    sources: dict[str, Source], paths: list[Path], rounds: int
) -> dict[str, tuple[float, float]]:
    """Return the best rate and the least CPU of each way; the rounds are interleaved."""
    one = CropRule(batch=32, crop_samples=CROP_SAMPLES)
    eight = CropRule(
        batch=32, crop_samples=CROP_SAMPLES, crops_per_clip=8, excerpt_samples=EXCERPT_SAMPLES
    )
    ways: dict[str, Callable[[], Iterable[torch.Tensor]]] = {
        "naive loop": lambda: naive(paths, torchaudio.functional.resample),
        "naive loop, same kernel": lambda: naive(paths, audio.resample),
    }
    for kind, source in sources.items():
        for name, rule in ((kind, one), (f"{kind}, 8 a clip", eight)):
            for workers in (0, 1, 2):
                ways[f"{name}, {workers} workers"] = partial(
                    prefetched, Batches(source, rule), range(40), workers=workers
                )
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seen[name].append(timed(way()))
    return {name: (max(r for r, _ in runs), min(c for _, c in runs)) for name, runs in seen.items()}


def main(files: int = 120, rounds: int = 3) -> None:
    """Time two kinds of recordings."""
    torch.set_num_threads(1)
    kinds = [
        ("16 kHz FLAC, 12 s", "flac", 16_000, 12.0),
        ("44.1 kHz WAV, 12 s", "wav", 44_100, 12.0),
        ("44.1 kHz WAV, 120 s", "wav", 44_100, 120.0),
    ]
    for title, suffix, rate_hz, seconds in kinds:
        with tempfile.TemporaryDirectory() as folder:
            n = max(int(files * 12 / seconds), 8)
            paths = write_recordings(Path(folder) / "audio", n, suffix, rate_hz, seconds)
            tars = write_shards(paths, Path(folder) / "tars", shard_bytes=10**7)
            sources: dict[str, Source] = {
                "files": AudioFiles.open(paths, RATE_HZ),
                "shards": Shards.open(tars, RATE_HZ, Path(folder) / "cache"),
            }
            best = measure(sources, paths, rounds)
        reference = best["naive loop"][0]
        heading = f"{title} ({n} recordings)"
        print(f"\n{heading:36s} crops/s  ratio to naive  CPU of the loop, us/crop")
        for name, (rate, cpu_us) in best.items():
            print(f"  {name:34s} {rate:7.0f} {rate / reference:15.1f} {cpu_us:24.0f}")


if __name__ == "__main__":
    tyro.cli(main)
