"""Extraction against a bare forward loop, and one cached sweep against re-extracting per layer.

Prints ratios from one run on one machine: `python benchmarks/extraction.py [--encoder X] [--clips N]`.

* bare loop: decode, resample and encode clip by clip, features thrown away. The cache also batches,
  pools, casts, checksums and writes; a ratio near or above 1 says that all this costs nothing.
* per layer: what a suite without a cache of all layers does, which runs the encoder again for every
  layer it probes. The sweep is one extraction and a read of every layer.
"""

import tempfile
import time
from pathlib import Path

import torch
import tyro

from probe_bench.audio import load
from probe_bench.cache import Cache
from probe_bench.corpora import load_corpus
from probe_bench.encoder import Encoder
from probe_bench.extract import Plan, encode_clips, extract, plan
from probe_bench.gather import pick_device
from probe_bench.residency import Residency, default_budget
from probe_bench.resolve import resolve
from probe_bench.stored import StoredFeatures
from probe_bench.survey import Survey, survey


def bare_loop(encoder: Encoder, looked: Survey, device: str) -> float:
    """Return the seconds of decode + encode, one clip at a time."""
    start = time.perf_counter()
    for clip in looked.corpus:
        encode_clips(encoder, [load(clip.path, encoder.sample_rate_hz)], device)
    return time.perf_counter() - start


def cached(encoder: Encoder, looked: Survey, planned: Plan, device: str) -> tuple[float, float]:
    """Return the seconds of an extraction into an empty cache, and of reading every layer back."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        entry = extract([planned], looked, Cache(Path(folder)), device=device)[0]
        extracted = time.perf_counter()
        residency = Residency(torch.device(device), *default_budget(torch.device(device)))
        features = StoredFeatures(
            encoder=encoder.name,
            layers=encoder.layers,
            entry=entry,
            shards=planned.shards,
            residency=residency,
        )
        for layer in range(len(encoder.layers)):
            features.pooled(layer)
            features.frames(layer, range(len(looked.corpus)))
        return extracted - start, time.perf_counter() - extracted


def main(
    encoder: str = "random:wavjepa", clips: int = 200, cache: Path = Path("out/benchmarks")
) -> None:
    """Time one encoder on the first clips of the embedded speech."""
    device = str(pick_device("auto"))
    model = resolve(encoder).to(device)
    looked = survey(load_corpus("speech", cache).limit(clips), skip_bad=False)
    planned = plan(model, looked, frames=True, dtype="float16")
    encode_clips(model, [torch.randn(2 * model.sample_rate_hz)], device)
    bare_s = bare_loop(model, looked, device)
    extract_s, read_s = cached(model, looked, planned, device)
    layers, audio_s = len(model.layers), sum(planned.audio_s)
    print(
        f"{encoder} on {device}, {torch.get_num_threads()} threads: {layers} layers, {audio_s:.0f} s"
    )
    print(f"extraction              {extract_s:7.2f} s  ({audio_s / extract_s:.0f} x real time)")
    print(f"bare forward loop       {bare_s:7.2f} s  ratio {bare_s / extract_s:5.2f}")
    print(f"read all layers back    {read_s:7.2f} s")
    print(
        f"re-extract per layer    {bare_s * layers:7.2f} s  "
        f"ratio {bare_s * layers / (extract_s + read_s):5.2f}"
    )


if __name__ == "__main__":
    tyro.cli(main)
