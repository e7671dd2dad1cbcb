"""Batches from worker processes are the batches that this process would have made."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.data.files import AudioFiles
from probe_bench.encoders.pretraining.data.loading import prefetched
from probe_bench.encoders.pretraining.data.shard_writer import write_shards
from probe_bench.encoders.pretraining.data.sources import Source, plan
from probe_bench.encoders.pretraining.data.words import open_sources
from probe_bench.errors import AudioError


@dataclass(frozen=True)
class Batches:
    """Decode, resample and draw masks, as training does."""

    source: Source
    rule: CropRule
    seed: int = 3

    def __call__(self, step: int) -> tuple[torch.Tensor, np.ndarray]:
        rng = np.random.default_rng((self.seed, step))
        cuts = plan(self.source, self.rule, seed=self.seed, step=step, rng=rng)
        crops = self.source.read(cuts, self.rule.crop_samples)
        return crops, rng.random((self.rule.batch, 50)) < 0.5


@pytest.fixture
def batches(make_corpus: Callable[..., Corpus], tmp_path: Path) -> Batches:
    corpus = make_corpus([1.0, 0.4, 1.7, 2.2], rate_hz=22_050)
    paths = [clip.path for clip in corpus]
    write_shards(paths, tmp_path / "tars", shard_bytes=60_000)
    words = [str(paths[0].parent), str(tmp_path / "tars")]
    source = open_sources(words, 16_000, tmp_path / "cache")
    return Batches(source, CropRule(batch=8, crop_samples=5_000, crops_per_clip=2))


def equal(one: tuple[torch.Tensor, np.ndarray], other: tuple[torch.Tensor, np.ndarray]) -> bool:
    return torch.equal(one[0], other[0]) and np.array_equal(one[1], other[1])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(batches: Batches, workers: int) -> None:
    steps = range(4, 11)
    made = list(prefetched(batches, steps, workers=workers))
    assert len(made) == len(steps)
    assert all(equal(one, batches(step)) for one, step in zip(made, steps, strict=True))
    assert not equal(made[0], made[1])


def test_going_on_gives_what_would_have_come(batches: Batches) -> None:
    whole = list(prefetched(batches, range(6), workers=2))
    rest = list(prefetched(batches, range(4, 6), workers=2))
    assert equal(whole[4], rest[0])
    assert equal(whole[5], rest[1])


def test_batches_are_the_same_on_one_thread_and_on_two(batches: Batches) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = batches(0)
        torch.set_num_threads(2)
        assert equal(batches(0), one)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_made_comes_as_it_is_and_the_global_random_state_stays(workers: int) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    made = list(prefetched(_oddities, range(2, 5), workers=workers))
    assert [odd["step"] for odd in made] == [2, 3, 4]
    assert all(isinstance(odd["array"], np.ndarray) for odd in made)
    assert torch.equal(torch.get_rng_state(), before)


def _oddities(step: int) -> dict[str, object]:
    return {"step": step, "array": np.zeros(2), "masks": (1, "two", None)}


def test_workers_use_one_thread_each() -> None:
    assert list(prefetched(_threads, range(2), workers=2)) == [1, 1]


def _threads(step: int) -> int:
    return torch.get_num_threads() + 0 * step


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_recording_is_one_line_and_leaves_no_process(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "bad.wav"
    samples = np.full(16_000, 0.1)
    samples[8_000] = np.inf
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    broken = Batches(AudioFiles.open([path], 16_000), CropRule(batch=4, crop_samples=15_000))
    with pytest.raises(AudioError, match=r"bad\.wav: NaN or infinite") as error:
        list(prefetched(broken, range(5), workers=workers))
    assert "\n" not in str(error.value)
    del error
    assert not multiprocessing.active_children()


def test_stopping_early_leaves_no_process(batches: Batches) -> None:
    made = prefetched(batches, range(1_000), workers=2)
    next(made)
    assert len(multiprocessing.active_children()) == 2
    made.close()  # type: ignore[attr-defined]  # a generator
    assert not multiprocessing.active_children()
