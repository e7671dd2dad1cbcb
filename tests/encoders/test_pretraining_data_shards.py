"""Shards: each recording once an epoch, near what lies near, and an index that is made once."""

import io
import json
import multiprocessing
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining.data import shard_index
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.data.shard_index import Member, index_shard, member_name
from probe_bench.encoders.pretraining.data.shard_writer import write_shards
from probe_bench.encoders.pretraining.data.shards import Shards
from probe_bench.encoders.pretraining.data.sources import plan
from probe_bench.errors import AudioError, CorpusError, UserError

RATE_HZ = 16_000


@pytest.fixture
def tars(make_corpus: Callable[..., Corpus], tmp_path: Path) -> list[Path]:
    """Eleven tars of 4 recordings, the last with 3."""
    corpus = make_corpus([0.05 + 0.01 * i for i in range(43)])
    paths = [clip.path for clip in corpus]
    folder = tmp_path / "tars"
    written = []
    for i in range(0, 43, 4):
        (one,) = write_shards(paths[i : i + 4], folder / str(i), seed=None)
        written.append(one.rename(folder / f"shards-{i // 4:03d}.tar"))
    return written


@pytest.fixture
def shards(tars: list[Path], tmp_path: Path) -> Shards:
    return Shards.open(tars, RATE_HZ, tmp_path / "cache", window=3)


def spoilt(tars: list[Path], name: str, data: bytes) -> Path:
    """Add a tar with one member."""
    path = tars[0].with_name("spoilt.tar")
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return path


def test_each_recording_has_one_turn_an_epoch_and_windows_hold_together(shards: Shards) -> None:
    turns = np.arange(3 * 43)
    order = shards.order(turns, seed=1)
    epochs = order.reshape(3, 43)
    for epoch in epochs:
        assert sorted(epoch) == list(range(43))
        tar_of_turn = np.searchsorted(shards.bounds, epoch, side="right") - 1
        place = 0
        while place < 43:  # three tars, all of them, before the next three
            window = list(dict.fromkeys(tar_of_turn[place:]))[:3]
            size = int(np.isin(tar_of_turn, window).sum())
            assert set(tar_of_turn[place : place + size]) == set(window)
            # Mixed within the window: it is not one tar after the other.
            assert (np.diff(tar_of_turn[place : place + size]) != 0).sum() > len(window)
            place += size
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert shards.order(turns, seed=2).tolist() != order.tolist()


def test_any_turn_can_be_asked_for_alone(shards: Shards) -> None:
    turns = np.arange(200)
    order = shards.order(turns, seed=4)
    for turn in (0, 42, 43, 130, 199):
        assert shards.order(np.array([turn]), seed=4)[0] == order[turn]
    scattered = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(shards.order(scattered, seed=4), order[scattered])


def test_steps_take_the_turns_one_after_the_other(shards: Shards) -> None:
    rule = CropRule(batch=20, crop_samples=300, crops_per_clip=2)
    ends = shards.timeline.ends
    seen: list[int] = []
    for step in range(9):
        rng = np.random.default_rng((7, step))
        cuts = plan(shards, rule, seed=7, step=step, rng=rng)
        clips = np.searchsorted(ends, cuts, side="right").reshape(-1, 2)
        assert (clips[:, 0] == clips[:, 1]).all()
        seen.extend(clips[:, 0])
    np.testing.assert_array_equal(seen, shards.order(np.arange(90), seed=7))


def test_the_index_is_made_once_and_again_when_the_tar_changes(
    tars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[Path] = []
    scan = shard_index._scan

    def counting(path: Path) -> shard_index.ShardIndex:
        scans.append(path)
        return scan(path)

    monkeypatch.setattr(shard_index, "_scan", counting)
    cache = tmp_path / "cache"
    first = Shards.open(tars, RATE_HZ, cache)
    again = Shards.open(tars, RATE_HZ, cache)
    assert sorted(scans) == tars
    assert first.digest() == again.digest()
    np.testing.assert_array_equal(first.offsets, again.offsets)

    os.utime(tars[3], ns=(1, 1))
    assert Shards.open(tars, RATE_HZ, cache).digest() == first.digest()
    assert scans[len(tars) :] == [tars[3]]

    for kept in cache.iterdir():  # a cache that a power cut left behind
        kept.write_bytes(kept.read_bytes()[:100])
    assert Shards.open(tars, RATE_HZ, cache).digest() == first.digest()
    assert not list(cache.glob("*.tmp"))


def test_two_may_index_at_once(tars: list[Path], tmp_path: Path) -> None:
    digests: list[str] = []

    def build() -> None:
        digests.append(Shards.open(tars, RATE_HZ, tmp_path / "cache").digest())

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert len(list((tmp_path / "cache").iterdir())) == len(tars)


def test_a_forked_reader_does_not_disturb_this_one(shards: Shards) -> None:
    cuts = np.arange(0, shards.n_samples - 500, 4_001)
    expected = shards.read(cuts, 500)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        jobs = [pool.apply_async(_crops_of, (shards, cuts)) for _ in range(8)]
        assert torch.equal(shards.read(cuts, 500), expected)
        assert all(np.array_equal(job.get(60), expected.numpy()) for job in jobs)


def _crops_of(shards: Shards, cuts: np.ndarray) -> np.ndarray:
    torch.set_num_threads(1)
    return shards.read(cuts, 500).numpy()


def test_nothing_stays_open(shards: Shards) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    shards.read(np.arange(0, shards.n_samples - 500, 4_001), 500)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_members_read_like_files(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(1_000)
    path = tmp_path / "data"
    path.write_bytes(data)
    oracle = io.BytesIO(data[100:400])
    with path.open("rb") as file:
        member = Member(file.fileno(), 100, 300)
        assert member.readable()
        assert member.seekable()
        for offset, whence, n in [(0, 0, 10), (5, 1, 7), (-20, 2, 50), (290, 0, -1), (400, 0, 3)]:
            assert member.seek(offset, whence) == oracle.seek(offset, whence)
            assert member.read(n) == oracle.read(n)
            assert member.tell() == oracle.tell()


def test_shards_are_plain_webdataset_tars_and_the_same_bytes_each_time(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    paths = [clip.path for clip in make_corpus([0.1] * 9)]
    one = write_shards(paths, tmp_path / "one", shard_bytes=8_000)
    two = write_shards(paths, tmp_path / "two", shard_bytes=8_000)
    assert [path.name for path in one] == [f"shards-{i:06d}.tar" for i in range(len(one))]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    members = {}
    for path in one:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                members[member.name] = file.read()
    assert list(members) != sorted(members)  # shuffled before they are divided
    expected = {f"{i:09d}.wav": path.read_bytes() for i, path in enumerate(paths)}
    assert members == expected
    assert write_shards(paths, tmp_path / "one", shard_bytes=8_000) == one
    with pytest.raises(CorpusError, match=r"shards-000001\.tar: is of another packing"):
        write_shards(paths[:2], tmp_path / "one", shard_bytes=8_000)
    with pytest.raises(CorpusError, match="no recordings to write"):
        write_shards([], tmp_path / "none")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav: not readable as audio"):
        write_shards([*paths, tmp_path / "text.wav"], tmp_path / "none")
    with pytest.raises(AudioError, match="gone"):
        write_shards([tmp_path / "gone.wav"], tmp_path / "none")


def test_what_is_no_audio_is_passed_over(tars: list[Path], tmp_path: Path) -> None:
    path = tars[0].with_name("mixed.tar")
    with tarfile.open(tars[0]) as source, tarfile.open(path, "w") as tar:
        for member in source:
            tar.addfile(member, source.extractfile(member))
            about = tarfile.TarInfo(member.name.replace(".wav", ".json"))
            text = json.dumps({"speaker": "a"}).encode()
            about.size = len(text)
            tar.addfile(about, io.BytesIO(text))
    plain = Shards.open(tars[:1], RATE_HZ, tmp_path / "cache")
    mixed = Shards.open([path], RATE_HZ, tmp_path / "cache")
    assert mixed.digest() == plain.digest()
    cuts = np.array([0, 700])
    assert torch.equal(mixed.read(cuts, 600), plain.read(cuts, 600))


def refused(path: Path, tmp_path: Path) -> str:
    with pytest.raises(UserError) as error:
        Shards.open([path], RATE_HZ, tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def test_broken_shards_are_named(tars: list[Path], tmp_path: Path) -> None:
    assert "no audio in this tar" in refused(spoilt(tars, "a.json", b"{}"), tmp_path)
    assert "spoilt.tar/a.wav: not readable" in refused(spoilt(tars, "a.wav", b"RIFF"), tmp_path)
    assert "cannot be read" in refused(tmp_path / "gone.tar", tmp_path)
    whole = tars[1].read_bytes()
    cut_off = tars[1].with_name("cut.tar")
    # Within a member's audio, within a member's header, and without the end that a tar has.
    for size in (1_500, len(whole) - 9_000):
        cut_off.write_bytes(whole[:size])
        assert "cut.tar" in refused(cut_off, tmp_path)
    cut_off.write_bytes(b"x" * 2_000)
    assert "not a readable tar" in refused(cut_off, tmp_path)


def test_damage_within_a_member_is_named_when_it_is_reached(
    tars: list[Path], tmp_path: Path
) -> None:
    audio = io.BytesIO()
    samples = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)
    soundfile.write(audio, samples, RATE_HZ, format="FLAC")
    path = spoilt(tars, "deep/0.flac", audio.getvalue())
    source = Shards.open([path], RATE_HZ, tmp_path / "cache")
    index = index_shard(path, tmp_path / "cache")
    assert member_name(path, int(index.offsets[0])) == f"{path}/deep/0.flac"
    assert member_name(path, 3) == f"{path}, member at byte 3"
    good = source.read(np.array([0]), 4_000)
    data = bytearray(path.read_bytes())
    middle = 512 + len(audio.getvalue()) // 2
    data[middle:] = bytes(len(data) - middle)
    path.write_bytes(data)
    torch.testing.assert_close(source.read(np.array([0]), 4_000), good)
    with pytest.raises(UserError, match=r"spoilt\.tar/deep/0\.flac: "):
        source.read(np.array([8_000]), 8_000)
    path.unlink()
    with pytest.raises(CorpusError, match="expected the tar that was there at the start"):
        source.read(np.array([0]), 4_000)


def test_a_cache_that_cannot_be_written_is_named(tars: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="point --cache at a writable folder"):
        Shards.open(tars, RATE_HZ, tmp_path / "file" / "cache")
