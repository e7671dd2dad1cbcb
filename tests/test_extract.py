"""Extraction: what is cached is what a plain forward loop gives, however it was interrupted."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from probe_bench.audio import load, read
from probe_bench.cache import Cache, Entry
from probe_bench.corpus import Corpus
from probe_bench.errors import UserError
from probe_bench.extract import Plan, encode_clips, extract, plan
from probe_bench.residency import Residency
from probe_bench.stored import StoredFeatures
from probe_bench.survey import Survey, survey

from .conftest import ToyEncoder

DURATIONS = [0.9, 2.0, 0.31, 0.9, 1.234, 40.0, 95.0, 0.5]


def stored(encoder: ToyEncoder, entry: Entry, planned: Plan) -> StoredFeatures:
    residency = Residency(torch.device("cpu"), 1 << 30)
    return StoredFeatures(
        encoder="toy",
        layers=encoder.layers,
        entry=entry,
        shards=planned.shards,
        residency=residency,
    )


@pytest.fixture
def looked(make_corpus: Callable[..., Corpus]) -> Survey:
    return survey(make_corpus(DURATIONS), skip_bad=False)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "features")


def test_frames_and_statistics_are_those_of_a_forward_loop(
    looked: Survey, cache: Cache, toy_encoder: ToyEncoder
) -> None:
    planned = plan(toy_encoder, looked, frames=True, dtype="float32")
    assert len(planned.shards) > 1
    features = stored(toy_encoder, extract([planned], looked, cache, device="cpu")[0], planned)
    for i, clip in enumerate(looked.corpus):
        whole = toy_encoder.encode(load(clip.path, 16000)[None])
        for layer, expected in enumerate(whole):
            (frames,) = features.frames(layer, [i])
            # Windows start on the common frame grid: up to one 25 Hz step may be missing at the end.
            rate = toy_encoder.layers[layer].frame_rate_hz
            assert 0 <= len(expected[0]) - len(frames) <= rate / 25
            torch.testing.assert_close(frames, expected[0, : len(frames)], rtol=0, atol=0)
            assert features.n_frames(layer)[i] == len(frames)
            mean, std = features.pooled(layer)[i].chunk(2)
            torch.testing.assert_close(mean, frames.mean(0))
            torch.testing.assert_close(std, frames.std(0, correction=0))
    some = [5, 0, 6, 3]
    assert torch.equal(features.pooled_of(1, some), features.pooled(1)[some])
    lying = [clip for shard in planned.shards for clip in shard if clip in some]
    assert [some[k] for k in features.reading_order(some)] == lying


def test_stopped_extraction_goes_on_and_gives_the_same_bytes(
    looked: Survey, cache: Cache, toy_encoder: ToyEncoder, tmp_path: Path
) -> None:
    planned = plan(toy_encoder, looked, frames=True, dtype="float16")

    def stop(seconds: float) -> None:
        if seconds:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract([planned], looked, cache, device="cpu", advance=stop)
    entry = cache.entry(planned.key)
    assert 0 < len(entry.missing()) < entry.shards
    before = toy_encoder.calls
    (resumed,) = extract([planned], looked, cache, device="cpu")
    assert toy_encoder.calls > before
    (fresh,) = extract([planned], looked, Cache(tmp_path / "other"), device="cpu")
    for shard in range(entry.shards):
        assert resumed.shard_path(shard).read_bytes() == fresh.shard_path(shard).read_bytes()
    calls = toy_encoder.calls
    extract([planned], looked, cache, device="cpu")
    assert toy_encoder.calls == calls


class SlowerToy(ToyEncoder):
    """Another encoder, at half the sample rate."""

    name, fingerprint, sample_rate_hz, min_samples = "slower", "toy-8k", 8000, 1280
    window_samples = 32000


def test_a_clip_is_heard_once_by_all_encoders_that_miss_it(
    looked: Survey, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def counted(path: Path) -> tuple[np.ndarray, int]:
        decoded.append(path)
        return read(path)

    monkeypatch.setattr("probe_bench.extract.read", counted)
    encoders = [ToyEncoder(), SlowerToy()]
    plans = [plan(each, looked, frames=True, dtype="float32") for each in encoders]
    assert plans[0].shards == plans[1].shards
    entries = extract(plans, looked, cache, device="cpu")
    assert sorted(decoded) == sorted(clip.path for clip in looked.corpus)
    alone = Cache(tmp_path / "alone")
    for each, entry in zip(plans, entries, strict=True):
        (own,) = extract([each], looked, alone, device="cpu")
        for shard in range(own.shards):
            assert own.shard_path(shard).read_bytes() == entry.shard_path(shard).read_bytes()

    # One encoder lacks the second shard: nothing else is decoded, nothing of the other is touched.
    decoded.clear()
    entries[0].shard_path(1).unlink()
    done_s: list[float] = []
    names: list[str] = []

    def timed(name: str) -> AbstractContextManager[None]:
        names.append(name)
        return nullcontext()

    extract(plans, looked, cache, device="cpu", advance=done_s.append, timed=timed)
    assert names == ["toy"]
    assert sorted(decoded) == sorted(looked.corpus.clips[i].path for i in plans[0].shards[1])
    assert sum(done_s) == pytest.approx(2 * sum(DURATIONS))


def test_damaged_shard_is_found(looked: Survey, cache: Cache, toy_encoder: ToyEncoder) -> None:
    planned = plan(toy_encoder, looked, frames=False, dtype="float16")
    (entry,) = extract([planned], looked, cache, device="cpu")
    assert entry.verify() == []
    content = bytearray(entry.shard_path(1).read_bytes())
    content[-3] ^= 1
    entry.shard_path(1).write_bytes(content)
    assert entry.verify() == [1]
    entry.shard_path(0).write_bytes(b"")
    assert entry.verify() == [0, 1]
    with pytest.raises(UserError, match="cache verify"):
        entry.read(0, "L1.pooled")


def test_key_tells_entries_apart(looked: Survey, toy_encoder: ToyEncoder) -> None:
    keys = {
        plan(toy_encoder, looked, frames=frames, dtype=dtype).key.digest()
        for frames in (True, False)
        for dtype in ("float16", "float32")
    }
    assert len(keys) == 4
    toy_encoder.fingerprint = "toy-2"
    assert plan(toy_encoder, looked, frames=True, dtype="float16").key.digest() not in keys


def test_overflow_of_float16_is_refused(
    looked: Survey, cache: Cache, toy_encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud = type(toy_encoder).encode
    monkeypatch.setattr(
        ToyEncoder, "encode", lambda self, waveform: [1e6 * x for x in loud(self, waveform)]
    )
    planned = plan(toy_encoder, looked, frames=True, dtype="float16")
    with pytest.raises(UserError, match="--dtype float32"):
        extract([planned], looked, cache, device="cpu")


def test_features_do_not_depend_on_company(toy_encoder: ToyEncoder) -> None:
    clips = [torch.randn(n) for n in (700, 8000, 8000, 20000, 20001, 31999)]
    together = encode_clips(toy_encoder, clips, "cpu")
    for clip, layers in zip(clips, together, strict=True):
        (alone,) = encode_clips(toy_encoder, [clip], "cpu")
        for a, b in zip(alone, layers, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_residency_keeps_to_its_budget() -> None:
    loads: list[int] = []

    def load_(i: int) -> torch.Tensor:
        loads.append(i)
        return torch.full((100,), float(i))

    residency = Residency(torch.device("cpu"), device_bytes=3 * 400)
    for i in (0, 1, 2, 0, 3, 0, 1):
        assert residency.get(i, lambda i=i: load_(i))[0] == i
    assert loads == [0, 1, 2, 3, 1]
