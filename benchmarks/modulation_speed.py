"""What the modulation analysis costs: against extraction, against SciPy, and memory against hours.

    python benchmarks/modulation_speed.py [--threads 1] [--hours 1] [--parts share scipy memory]

Features are random projections of log-mel of the embedded speech with noise, 13 layers of 768 dimensions at
50 Hz, made while they are read, so that hours of them need no disk. Of an hour the analysis reads 10 min.
Extraction is one forward of a base-size transformer (wav2vec 2.0's architecture, random weights) over 40 s of
audio, scaled to the hour. Seconds are of the processor: other processes are left out.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
import torchaudio
from measuring import peak_memory, timed
from slow_support import Slow
from torch import Tensor

from probe_bench.cache import default_root
from probe_bench.corpora import load_corpus
from probe_bench.corpus import Corpus
from probe_bench.encoder import Layer
from probe_bench.modulation import Reference, measure
from probe_bench.modulation.fitting import fit_readout
from probe_bench.modulation.lag import lag_grid
from probe_bench.modulation.lowpass import low_pass
from probe_bench.modulation.probing import emphasise_stretches
from probe_bench.modulation.readout import band_readout
from probe_bench.modulation.stretches import cut_stretches
from probe_bench.modulation.support import support
from probe_bench.modulation.tokens import Tokens, flatten, without_position_mean
from probe_bench.studies.made import MadeEncoder, Part, hear

N_LAYERS, DIM, RATE_HZ, HEARD_S = 13, 768, 50, 2 * 160


class ProjectedSpeech:
    """Layers that hold the sound: projections of log-mel with noise, made anew whenever they are read.

    Of features it has what the analysis reads: layers and frames.
    """

    encoder = "projected"

    def __init__(self, reference: Reference, n_layers: int) -> None:
        self.layers = tuple(
            Layer(
                name=f"L{i}",
                dim=DIM,
                depth=i / N_LAYERS,
                frame_rate_hz=Fraction(RATE_HZ),
                first_frame_s=Fraction(1, 80),
            )
            for i in range(n_layers)
        )
        waveforms = reference.waveforms(16_000)
        heard = [low_pass(hear(w), 100.0, 8.0)[::2] for w in waveforms]
        self._frames = dict(zip(reference.clips, heard, strict=True))

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        """Frames of some clips, the same at every call."""
        rng = torch.Generator().manual_seed(layer)
        project = torch.randn(64, DIM, generator=rng) / 8
        return [
            x + torch.randn(x.shape, generator=rng)
            for x in (self._frames[clip] @ project for clip in clips)
        ]


def hours_of(corpus: Corpus, hours: float) -> Corpus:
    """Repeat clips under new names until there are so many hours."""
    clips, total_s = [], 0.0
    while total_s < hours * 3600:
        turn = len(clips) // len(corpus)
        clip = corpus.clips[len(clips) % len(corpus)]
        clips.append(replace(clip, id=f"{clip.id}-{turn}"))
        total_s += clip.duration_s
    return replace(corpus, clips=tuple(clips))


def share_of_extraction(corpus: Corpus, hours: float) -> None:
    """Print what all estimators cost, of what one extraction does."""
    reference = Reference(hours_of(corpus, hours))
    features = ProjectedSpeech(reference, N_LAYERS)
    model = torchaudio.models.wav2vec2_base().eval()
    audio = torch.randn(2, 10 * 16_000)
    with torch.inference_mode():
        model.extract_features(audio)
        forward_s = sum(timed(lambda: model.extract_features(audio), "cpu").cpu for _ in range(2))
    per_s = forward_s / 40
    extraction_s = per_s * hours * 3600
    print(f"extraction of {hours:g} h, scaled from 40 s: {extraction_s:.0f} s")

    def row(name: str, seconds: float) -> None:
        print(f"| {name} | {seconds:.1f} | {100 * seconds / extraction_s:.1f} % |", flush=True)

    print("| what | s | of extraction |\n|---|---|---|")
    layer = features.layers[0]
    prepared = timed(lambda: (reference.bands(layer), reference.targets(layer)), "cpu").cpu
    row("reference and targets, once for all encoders", prepared)
    read = timed(
        lambda: sum(len(features.frames(i, reference.clips)) for i in range(N_LAYERS)), "cpu"
    ).cpu
    both = timed(lambda: measure(features, reference, seed=0), "cpu").cpu
    row(f"all estimators but emphasis, {N_LAYERS} layers", both - read)
    row("emphasis: the encoder hears 320 s again", per_s * HEARD_S)
    row("emphasis: everything else", _emphasis_s(corpus))


def _emphasis_s(corpus: Corpus) -> float:
    """Seconds of the analysis of 13 layers, those of making them taken off."""
    projections = [torch.randn(64, DIM) / 8 for _ in range(N_LAYERS)]
    parts = {
        f"L{i}": Part(lambda x, p=p: x[:, ::2] @ p)  # type: ignore[misc]
        for i, p in enumerate(projections)
    }
    encoder = MadeEncoder(parts)
    stretches = cut_stretches(corpus, encoder)
    making = timed(lambda: [encoder.encode(w[None]) for w in stretches.waveform], "cpu").cpu
    return timed(lambda: emphasise_stretches(encoder, stretches, seed=0), "cpu").cpu - 2 * making


def against_scipy(corpus: Corpus) -> None:
    """Print seconds of one layer's support by the package and by loops in NumPy and SciPy."""
    reference = Reference(corpus)
    features = ProjectedSpeech(reference, 1)
    layer = features.layers[0]
    bands = reference.bands(layer)
    frames = features.frames(0, reference.clips)
    start = time.process_time()
    tokens = without_position_mean(flatten(frames))
    fit = fit_readout(tokens, bands, reference.group, n_groups=reference.n_groups)
    found = support(band_readout(fit), seed=0)
    fast_s = time.process_time() - start
    slow = Slow(
        tokens=_by_clip(tokens),
        bands=_by_clip(bands.frames),
        fold=fit.clip_fold.numpy(),
        first_token=bands.grid.first_token,
        rate_hz=float(bands.grid.rate_hz),
    )
    lags = lag_grid(slow.rate_hz).numpy()
    plain_s = _plain_s(slow, lags)
    lag, search_s = _seconds(lambda: slow.thrifty_lag(lags))
    hz, last_s = _seconds(lambda: slow.cutoff_hz(lag))
    print(f"one layer of {DIM} dimensions, {reference.duration_s / 60:.0f} min, {len(lags)} lags")
    print(f"package (with 1,000 bootstrap draws): {fast_s:.1f} s, {found.hz.value:.6f} Hz")
    for name, spent in (("plain", plain_s + last_s), ("thrifty", search_s + last_s)):
        print(f"{name}: {spent:.1f} s, {spent / fast_s:.1f} times, {hz:.6f} Hz")
    assert found.hz.value is not None
    print(f"relative difference {abs(hz / found.hz.value - 1):.1e}, lag {lag} and {fit.lag}")


def _plain_s(slow: Slow, lags: np.ndarray) -> float:
    """Seconds of all folds and lags, from four of them."""
    n_folds = int(slow.fold.max()) + 1
    some = [_seconds(lambda lag=lag: slow.explained(lag, 0))[1] for lag in (-30, -10, 0, 10)]  # type: ignore[misc]
    return float(np.mean(some)) * n_folds * len(lags)


def _seconds(work: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def _by_clip(tokens: Tokens) -> list[np.ndarray]:
    return [part.numpy() for part in torch.split(tokens.values, tokens.lengths.tolist())]


def memory(corpus: Corpus) -> None:
    """Print the peak of one layer's analysis for more and more hours of features."""
    for hours in (1 / 6, 1, 4):
        reference = Reference(hours_of(corpus, hours))
        features = ProjectedSpeech(reference, 1)
        reference.targets(features.layers[0])
        with peak_memory("cpu") as peak:
            measure(features, reference, seed=0, n_draws=100)
            print(f"{60 * hours:.0f} min: {peak():.0f} MiB beyond corpus and reference", flush=True)


def main() -> None:
    """Print the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--parts", nargs="+", default=["share", "scipy", "memory"])
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    corpus = load_corpus("speech", default_root())
    if "share" in o.parts:
        share_of_extraction(corpus, o.hours)
    if "scipy" in o.parts:
        against_scipy(corpus)
    if "memory" in o.parts:
        memory(corpus)


if __name__ == "__main__":
    main()
