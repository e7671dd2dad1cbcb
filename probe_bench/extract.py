"""Fill cache entries: every clip is heard once, by all encoders, every layer out of one forward pass.

Clips are ordered by length and cut into shards of a few minutes. What is in a shard depends on the
corpus alone, so a stopped extraction goes on with the first missing shard and the features are the
same as if it had never stopped.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.audio import read, resample
from probe_bench.cache import Cache, DType, Entry, Key
from probe_bench.corpus import Clip
from probe_bench.degradations import Degradation
from probe_bench.encoder import Encoder
from probe_bench.errors import UserError
from probe_bench.survey import Survey
from probe_bench.windows import Window, cut

__all__ = ["Plan", "encode_clips", "extract", "plan"]

_SHARD_S = 120.0  # audio lost at most when a run is killed
_BATCH_S = 32.0  # audio encoded at once: bounds memory whatever the clips' lengths
_MAX_FLOAT16 = 65504.0

Waveforms = Mapping[int, Float[Tensor, " _"]]  # one clip, by sample rate


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an extraction will do for one encoder.

    Attributes:
        encoder: Gives the features.
        key: Key of the cache entry.
        shards: Clip indices of each shard, the same for every encoder.
        audio_s: Seconds of audio in each shard.
        n_bytes: Size of the complete entry.
    """

    encoder: Encoder
    key: Key
    shards: tuple[tuple[int, ...], ...]
    audio_s: tuple[float, ...]
    n_bytes: int


def plan(encoder: Encoder, survey: Survey, *, frames: bool, dtype: DType) -> Plan:
    """Lay out the shards of one encoder on one corpus, and what they will weigh."""
    lengths_s = [n / at_hz for n, at_hz in survey.n_samples]
    shards = _shards(lengths_s)
    pooled_bytes = sum(8 * layer.dim for layer in encoder.layers) * len(lengths_s)
    frames_hz = sum(float(layer.frame_rate_hz) * layer.dim for layer in encoder.layers)
    frame_bytes = frames_hz * sum(lengths_s) * (2 if dtype == "float16" else 4)
    return Plan(
        encoder=encoder,
        key=Key(
            encoder=encoder.fingerprint,
            corpus=survey.digest,
            layers=encoder.layers,
            dtype=dtype,
            frames=frames,
            shards=len(shards),
            degradation=survey.degradation.canonical() if survey.degradation else "",
        ),
        shards=shards,
        audio_s=tuple(sum(lengths_s[i] for i in shard) for shard in shards),
        n_bytes=int(pooled_bytes + frames * frame_bytes),
    )


def extract(
    plans: Sequence[Plan],
    survey: Survey,
    cache: Cache,
    *,
    device: str,
    advance: Callable[[float], object] = lambda _: None,
    timed: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> list[Entry]:
    """Compute the shards that are missing and return the complete entries.

    A clip is decoded, and degraded, once for all encoders that miss its shard.

    Args:
        plans: As `plan` made them of this survey, one an encoder; encoders are moved to `device`.
        survey: The corpus.
        cache: Where the entries live.
        device: Where the encoders run.
        advance: Called with the seconds of audio that an encoder is done with, for a progress bar.
        timed: Given an encoder's name, times what is done for it alone.
    """
    entries = [cache.entry(each.key) for each in plans]
    waiting: dict[int, list[tuple[Plan, Entry]]] = defaultdict(list)
    for each, entry in zip(plans, entries, strict=True):
        entry.sign(encoder=each.encoder.name, corpus=survey.corpus.name)
        missing = entry.missing()
        for shard in missing:
            waiting[shard].append((each, entry))
        advance(sum(s for shard, s in enumerate(each.audio_s) if shard not in missing))
    clips = survey.corpus.clips
    rates_hz = sorted({each.encoder.sample_rate_hz for each in plans})
    heard = partial(_heard, degradation=survey.degradation, rates_hz=rates_hz)
    order = sorted(waiting)
    with ThreadPoolExecutor(4) as pool:
        wanted = ([clips[i] for i in plans[0].shards[shard]] for shard in order)
        for shard, waveforms in zip(order, _decoded(pool, wanted, heard), strict=True):
            for each, entry in waiting[shard]:
                with timed(each.encoder.name):
                    own = [clip[each.encoder.sample_rate_hz] for clip in waveforms]
                    entry.write(shard, _tensors(each.encoder.to(device), own, each.key, device))
                advance(each.audio_s[shard])
    return entries


def encode_clips(
    encoder: Encoder, waveforms: Sequence[Float[Tensor, " _"]], device: str
) -> list[list[Float[Tensor, "_ _"]]]:
    """Encode clips of any lengths: equal-length windows batched, frames stitched back.

    Args:
        encoder: On `device`.
        waveforms: One mono waveform a clip at the encoder's sample rate.
        device: Where to encode.

    Returns:
        For each clip one `frames dim` float32 tensor a layer, on the CPU.
    """
    by_length: dict[int, list[tuple[int, Window]]] = defaultdict(list)
    pieces: list[list[Window]] = []
    for clip, waveform in enumerate(waveforms):
        pieces.append(list(cut(len(waveform), encoder)))
        for window in pieces[-1]:
            by_length[window.length].append((clip, window))
    encoded: dict[tuple[int, int], list[Tensor]] = {}
    for length, jobs in sorted(by_length.items()):
        size = max(1, int(_BATCH_S * encoder.sample_rate_hz) // length)
        for start in range(0, len(jobs), size):
            batch = jobs[start : start + size]
            stacked = torch.stack([waveforms[c][w.start : w.start + length] for c, w in batch])
            with torch.inference_mode():
                layers = [layer.float().cpu() for layer in encoder.encode(stacked.to(device))]
            for row, (clip, window) in enumerate(batch):
                encoded[clip, window.start] = [layer[row] for layer in layers]
    return [
        _stitch(encoded, clip, windows, len(encoder.layers)) for clip, windows in enumerate(pieces)
    ]


def _stitch(
    encoded: dict[tuple[int, int], list[Tensor]], clip: int, windows: list[Window], n_layers: int
) -> list[Tensor]:
    """Join the kept frames of a clip's windows."""
    return [
        torch.cat([encoded[clip, w.start][layer][w.keep[layer]] for w in windows])
        for layer in range(n_layers)
    ]


def _shards(lengths_s: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Cut clips, in order of length, into runs of at most `_SHARD_S`."""
    shards: list[list[int]] = []
    room_s = 0.0
    for clip in sorted(range(len(lengths_s)), key=lambda i: (lengths_s[i], i)):
        if not shards or lengths_s[clip] > room_s:
            shards.append([])
            room_s = _SHARD_S
        shards[-1].append(clip)
        room_s -= lengths_s[clip]
    return tuple(tuple(shard) for shard in shards)


def _heard(clip: Clip, *, degradation: Degradation | None, rates_hz: Sequence[int]) -> Waveforms:
    """Decode a clip, degrade it at its own rate, and resample: all encoders hear the same."""
    samples, at_hz = read(clip.path)
    if degradation is not None:
        samples = degradation.apply(samples, at_hz, clip.id)
    return {rate_hz: resample(torch.from_numpy(samples), at_hz, rate_hz) for rate_hz in rates_hz}


def _decoded(
    pool: ThreadPoolExecutor, shards: Iterable[list[Clip]], heard: Callable[[Clip], Waveforms]
) -> Iterator[list[Waveforms]]:
    """Decode one shard ahead of the encoders."""

    def submit(clips: list[Clip]) -> list[Callable[[], Waveforms]]:
        return [pool.submit(heard, clip).result for clip in clips]

    shards = iter(shards)
    ahead = [submit(clips) for clips in islice(shards, 2)]
    while ahead:
        yield [result() for result in ahead.pop(0)]
        ahead.extend(submit(clips) for clips in islice(shards, 1))


def _tensors(
    encoder: Encoder, waveforms: Sequence[Tensor], key: Key, device: str
) -> dict[str, Tensor]:
    """Encode a shard and name its tensors: `L1.pooled`, `L1.n_frames` and, if kept, `L1.frames`."""
    clips = encode_clips(encoder, waveforms, device)
    tensors: dict[str, Tensor] = {}
    for index, layer in enumerate(encoder.layers):
        frames = [clip[index] for clip in clips]
        tensors[f"{layer.name}.n_frames"] = torch.tensor([len(f) for f in frames])
        tensors[f"{layer.name}.pooled"] = torch.stack([_pooled(f) for f in frames])
        if not torch.isfinite(tensors[f"{layer.name}.pooled"]).all():
            raise UserError(
                f"{encoder.name}: layer {layer.name} gives NaN or infinite features; check the "
                f"checkpoint with `probe-bench check encoder {encoder.name}`"
            )
        if key.frames:
            tensors[f"{layer.name}.frames"] = _stored(
                torch.cat(frames), key.dtype, encoder, layer.name
            )
    return tensors


def _pooled(frames: Float[Tensor, "frames dim"]) -> Float[Tensor, " stats"]:
    """Mean and population standard deviation over time, side by side."""
    std, mean = torch.std_mean(frames, dim=0, correction=0)
    return torch.cat([mean, std])


def _stored(frames: Tensor, dtype: DType, encoder: Encoder, layer: str) -> Tensor:
    """Cast frames to their storage type; refuse to overflow silently."""
    if dtype == "float32":
        return frames
    if frames.abs().max() > _MAX_FLOAT16:
        raise UserError(
            f"{encoder.name}: layer {layer} reaches {frames.abs().max():.3g}, beyond float16's "
            f"{_MAX_FLOAT16:g}; store frames with --dtype float32"
        )
    return frames.half()
