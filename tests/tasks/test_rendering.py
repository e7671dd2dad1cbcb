"""A rendered corpus: once, whole or not at all, and read back as it was made."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.tasks.corpora.recording import RATE_HZ
from probe_bench.tasks.corpora.rendering import Sound, load_or_render


def tone_sounds(n: int = 4) -> Iterator[Sound]:
    for i in range(n):
        clip = Clip(
            id=f"c{i}",
            path=Path("audio", f"c{i}.flac"),
            duration_s=0.1,
            labels={"speaker": "a"},
            tags=("hum",),
            phones=(Segment(start_s=0.0, end_s=0.1, label="aa"),),
        )
        yield Sound(clip=clip, samples=np.full(1600, 100 + i, dtype=np.int16))


def load(folder: Path, sounds: Callable[[], Iterable[Sound]], revision: str = "1") -> Corpus:
    return load_or_render(folder, name="x", licence="CC0-1.0", revision=revision, sounds=sounds)


def must_not_render() -> Iterator[Sound]:
    raise AssertionError("rendered again")


def test_a_rendered_corpus_is_read_back_without_rendering(tmp_path: Path) -> None:
    fresh = load(tmp_path / "x", tone_sounds)
    assert load(tmp_path / "x", must_not_render) == fresh
    assert fresh.clips[2].path.is_relative_to(tmp_path / "x")
    samples, rate_hz = soundfile.read(fresh.clips[2].path, dtype="int16")
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(samples, 102)
    assert fresh.clips[0].tags == ("hum",)


@pytest.mark.parametrize("revision", ["1", "2"])
def test_damage_or_another_revision_renders_again(tmp_path: Path, revision: str) -> None:
    first = load(tmp_path / "x", tone_sounds)
    if revision == "1":
        first.clips[1].path.write_bytes(first.clips[1].path.read_bytes()[:-7])
        with pytest.raises(AssertionError, match="rendered again"):
            load(tmp_path / "x", must_not_render)
    again = load(tmp_path / "x", tone_sounds, revision)
    assert again.revision == revision
    assert [soundfile.read(c.path, dtype="int16")[0][0] for c in again] == [100, 101, 102, 103]


def killed_half_way(folder: Path) -> None:
    def sounds() -> Iterator[Sound]:
        for i, sound in enumerate(tone_sounds()):
            if i == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield sound

    load(folder, sounds)


def test_a_killed_rendering_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=killed_half_way, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(AssertionError, match="rendered again"):
        load(tmp_path, must_not_render)
    assert len(load(tmp_path, tone_sounds)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "1"]


def test_two_at_once_render_once(tmp_path: Path) -> None:
    renderings, loaded = [], []

    def sounds() -> Iterator[Sound]:
        renderings.append(1)
        yield from tone_sounds(40)

    threads = [
        threading.Thread(target=lambda: loaded.append(load(tmp_path, sounds))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(renderings) == 1
    assert all(corpus == loaded[0] for corpus in loaded)
    assert len(loaded) == 4
