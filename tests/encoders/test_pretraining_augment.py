"""Augmentation and views: what was asked for is what comes out, clip by clip."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.data.augment import (
    Augment,
    add_background,
    binaural_room,
    convolve,
)
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.losses.views import ViewRule, agreement, cut_views

from .micro import micro, wandering_tones

RATE_HZ = 16_000


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _rngs(count: int, first: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng((first, n)) for n in range(count)]


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 25.0])
def test_the_background_lies_at_the_stated_ratio(snr_db: float) -> None:
    scene, background = _noise(2, 8000), 7 * _noise(8000, seed=1)
    mixed = add_background(scene, background, snr_db)
    added = mixed - scene
    torch.testing.assert_close(added[0], added[1])
    ratio = 10 * torch.log10(scene.square().mean() / added.square().mean())
    assert ratio.item() == pytest.approx(snr_db, abs=0.01)


def test_silence_adds_no_background_and_gets_none() -> None:
    scene, silence = _noise(1, 100), torch.zeros(100)
    assert torch.equal(add_background(scene, silence, 0.0), scene)
    assert add_background(silence[None], scene[0], 0.0).abs().max() == 0


@pytest.mark.parametrize("rt60_s", [0.2, 0.5, 0.8])
def test_a_room_decays_by_60_db_in_the_stated_time(rt60_s: float) -> None:
    room = binaural_room(rt60_s, 2, RATE_HZ, np.random.default_rng(0)).numpy()
    for ear in room:
        late = ear[int(0.005 * RATE_HZ) :]  # past the direct path
        decay_db = 10 * np.log10(np.cumsum(late[::-1] ** 2)[::-1] / np.sum(late**2))
        first, last = (int(np.argmax(decay_db < level)) for level in (-5, -25))
        slope = np.polyfit(np.arange(first, last) / RATE_HZ, decay_db[first:last], 1)[0]
        assert -60 / slope == pytest.approx(rt60_s, rel=0.1)


def test_ears_hear_the_direct_path_at_different_times_and_levels() -> None:
    delays_s, levels_db, ratios_db = [], [], []
    for seed in range(300):
        room = binaural_room(0.3, 2, RATE_HZ, np.random.default_rng(seed)).numpy()
        peaks = np.abs(room[:, :16]).argmax(1)
        direct = room[[0, 1], peaks]
        delays_s.append((peaks[1] - peaks[0]) / RATE_HZ)
        levels_db.append(20 * np.log10(direct[0] / direct[1]))
        tail = np.square(room[0]).sum() - direct[0] ** 2
        ratios_db.append(10 * np.log10(direct[0] ** 2 / tail))
    assert np.abs(delays_s).max() == pytest.approx(0.0007, abs=0.0001)
    assert min(delays_s) < -0.0003
    assert max(delays_s) > 0.0003
    # The nearer ear hears it first and louder.
    assert np.corrcoef(delays_s, levels_db)[0, 1] > 0.7
    assert 5 < np.abs(levels_db).max() < 9
    assert -10 < min(ratios_db) < -2
    assert 8 < max(ratios_db) < 16


def test_one_microphone_hears_the_direct_path_at_once() -> None:
    room = binaural_room(0.3, 1, RATE_HZ, np.random.default_rng(0))
    assert room.shape == (1, 4800)
    assert room[0].abs().argmax() == 0


def test_convolution_is_scipys_causal_one() -> None:
    waveform, kernel = _noise(2, 300), _noise(2, 80, seed=1)
    expected = [
        scipy.signal.convolve(w.numpy(), k.numpy(), mode="full")[:300]
        for w, k in zip(waveform, kernel, strict=True)
    ]
    np.testing.assert_allclose(convolve(waveform, kernel), expected, atol=1e-6)


def test_gain_is_within_the_stated_range_and_off_by_default() -> None:
    clips = _noise(200, 50)
    assert torch.equal(Augment().apply(clips, None, RATE_HZ, _rngs(200)), clips)
    louder = Augment(gain_db=6.0).apply(clips, None, RATE_HZ, _rngs(200))
    gains_db = 20 * torch.log10(louder[:, 0] / clips[:, 0])
    assert -6 <= gains_db.min() < -5
    assert 5 < gains_db.max() <= 6


def test_the_stated_share_of_clips_stays_clean() -> None:
    clips = _noise(300, 400)
    rule = Augment(snr_db=(0.0, 5.0), rt60_s=(0.01, 0.02), clean_share=0.3)
    scenes = rule.apply(clips, _noise(300, 400, seed=1), RATE_HZ, _rngs(300))
    clean = (scenes == clips).all(1).float().mean().item()
    assert clean == pytest.approx(0.3, abs=0.07)


def test_a_clips_scene_does_not_depend_on_its_neighbours() -> None:
    rule = Augment(gain_db=3.0, snr_db=(0.0, 20.0), rt60_s=(0.1, 0.3), microphones=2)
    clips, backgrounds = _noise(4, 2000), _noise(4, 2000, seed=1)
    together = rule.apply(clips, backgrounds, RATE_HZ, _rngs(4))
    assert together.shape == (4, 2, 2000)
    alone = rule.apply(clips[2:3], backgrounds[2:3], RATE_HZ, _rngs(4)[2:3])
    assert torch.equal(together[2:3], alone)
    assert not torch.allclose(together[2, 0], together[2, 1])


def test_views_are_pieces_of_their_clip_at_places_of_their_own() -> None:
    rule = ViewRule(global_views=2, global_share=0.5, local_views=3, local_share=0.1)
    clips = torch.arange(4000.0).reshape(4, 1000)
    views = cut_views(clips, rule, _rngs(4))
    assert [view.shape for view in views] == [(4, 500)] * 2 + [(4, 100)] * 3
    for view in views:
        assert (view.diff(dim=1) == 1).all()
        assert torch.equal(view[:, 0] // 1000, torch.arange(4.0))
    assert len({float(view[0, 0]) for view in views}) == 5
    starts = [cut_views(clips, rule, _rngs(4, n))[0][:, 0] % 1000 for n in range(300)]
    assert torch.stack(starts).min() < 10
    assert torch.stack(starts).max() > 490
    whole = ViewRule(global_views=1, global_share=1.0, local_views=0)
    assert torch.equal(cut_views(clips, whole, _rngs(4))[0], clips)


def test_agreement_agrees_with_a_slow_loop_and_with_the_pairs_distance() -> None:
    embeddings = _noise(5, 3, 4)
    total = 0.0
    for n in range(3):
        centre = (embeddings[0, n] + embeddings[1, n]) / 2
        total += sum(float(((embeddings[v, n] - centre) ** 2).mean()) for v in range(5)) / 5 / 3
    assert agreement(embeddings, 2).item() == pytest.approx(total)
    pair = embeddings[:2]
    quarter = (pair[0] - pair[1]).square().mean() / 4
    torch.testing.assert_close(agreement(pair, 2), quarter)
    pair.requires_grad_()
    assert agreement(pair, 2).requires_grad


@dataclass(frozen=True)
class _Ordered:
    """A source that gives every turn a clip of its own, as shards do; a clip is its number."""

    n_clips: int = 100
    left_out: tuple[str, ...] = ()

    @property
    def n_samples(self) -> int:
        return 100_000 * self.n_clips

    def digest(self) -> str:
        return "ordered"

    def draw(
        self, turns: np.ndarray, rule: CropRule, *, seed: int, rng: np.random.Generator
    ) -> np.ndarray:
        starts = rng.integers(50_000, size=(len(turns), rule.crops_per_clip))
        return ((turns % self.n_clips)[:, None] * 100_000 + starts).reshape(-1)

    def read(self, cuts: np.ndarray, crop_samples: int) -> Tensor:
        clips = torch.from_numpy(cuts // 100_000)
        return torch.nn.functional.one_hot(clips, crop_samples).float()


@pytest.mark.parametrize("crops_per_clip", [1, 2])
@pytest.mark.parametrize("system", ["audio-jepa", "lejepa"])
def test_the_background_comes_from_another_clip(system: str, crops_per_clip: int) -> None:
    noisy = Augment(snr_db=(0.0, 0.0))
    recipe = micro(system, augment=noisy, batch_size=8, crops_per_clip=crops_per_clip)
    whole = ViewRule(global_views=3, global_share=1.0, local_views=0)
    if recipe.views is not None:
        recipe = replace(recipe, views=whole)
    batch = BatchMaker(recipe=recipe, source=_Ordered(), seed=0)(3)
    scenes = batch.views if isinstance(batch, ViewBatch) else [batch.waveform]
    first = 3 * recipe.crops.clips
    for scene in scenes:
        for row, clip in enumerate(scene):
            heard = clip.nonzero().flatten().tolist()
            own = first + row // crops_per_clip
            assert own in heard
            assert len(heard) == 2  # its own mark and that of its background


def test_a_batch_of_one_process_or_several_has_the_same_scenes() -> None:
    recipe = micro(
        "wavjepa-nat", augment=Augment(microphones=2, rt60_s=(0.1, 0.2), snr_db=(0.0, 5.0))
    )
    tape = wandering_tones(8)
    whole = BatchMaker(recipe=recipe, source=tape, seed=0)(4).waveform
    halves = [BatchMaker(recipe=recipe, source=tape, seed=0, rank=n, world=2)(4) for n in range(2)]
    assert whole.shape[:2] == (4, 2)
    assert torch.equal(torch.cat([half.waveform for half in halves]), whole)
