"""Every preset of every system: it travels, it trains, and the published ones have published numbers."""

import dataclasses
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from probe_bench import registry
from probe_bench.encoders.pretraining.agreement import Agreement
from probe_bench.encoders.pretraining.blocks.projector import GatheredBatchNorm
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.frontends.frontend import frame_rate_hz
from probe_bench.encoders.pretraining.jepa import Jepa
from probe_bench.encoders.pretraining.losses.rdmreg import RdmReg
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.masking.masks import Grid
from probe_bench.encoders.pretraining.presets import find_recipe, presets
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.recipe import from_json, to_json
from probe_bench.errors import UserError

from .micro import PRESETS, SYSTEMS, micro, wandering_tones

FAMILY = {
    "a-jepa",
    "audio-jepa",
    "density-jepa",
    "glas-jepa",
    "ijepa",
    "jepa-v0",
    "lejepa",
    "lpjepa",
    "wavjepa",
    "wavjepa-nat",
}


@pytest.fixture(scope="module")
def tape() -> Tape:
    return wandering_tones(40)


@cache
def _model(system: str, preset: str) -> Jepa | Agreement:
    """Build a preset without memory for its weights."""
    recipe = presets()[system][preset]
    with torch.device("meta"):
        return Jepa(recipe) if recipe.views is None else Agreement(recipe)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_whole_family_is_there() -> None:
    assert set(SYSTEMS) == FAMILY
    assert set(registry.encoders()) >= FAMILY
    for system, of_system in presets().items():
        assert {"tiny", "small"} <= set(of_system), system
        assert "base" in of_system or {"paper", "code"} <= set(of_system), system


@pytest.mark.parametrize(("system", "preset"), PRESETS)
def test_recipes_name_themselves_and_survive_json(system: str, preset: str) -> None:
    recipe = find_recipe(system, preset)
    assert (recipe.system, recipe.preset) == (system, preset)
    assert from_json(to_json(recipe)) == recipe
    other = dataclasses.replace(recipe, steps=recipe.steps + 1)
    assert from_json(to_json(other)) != recipe


@pytest.mark.parametrize(("system", "preset"), PRESETS)
def test_every_preset_trains(system: str, preset: str, tmp_path: Path, tape: Tape) -> None:
    recipe = micro(system, preset, steps=2)
    train(recipe, tape, TrainOptions(out=tmp_path, monitor_every=1))
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "nan" not in "".join(rows)


@pytest.mark.parametrize(("system", "preset"), PRESETS)
def test_every_preset_fits_together_at_full_size(system: str, preset: str) -> None:
    recipe = presets()[system][preset]
    model = _model(system, preset)
    positions = model.encoder.positions
    assert positions.shape == (recipe.grid.tokens, recipe.encoder.dim)
    assert recipe.batch_size % recipe.crops_per_clip == 0
    assert recipe.crops.clips > 0
    if recipe.excerpt_samples is not None:
        assert recipe.excerpt_samples >= recipe.crop_samples
    if recipe.views is not None:
        shortest = min(recipe.views.lengths(recipe.crop_samples))
        assert recipe.frontend.frames(shortest) >= 1
    # A crop holds no sample that no token sees: one hop more gives one frame more, nothing less does.
    front = recipe.frontend
    assert front.frames(front.min_samples) == 1
    assert front.frames(front.min_samples - 1) == 0
    samples = recipe.crop_samples
    assert front.frames(samples + front.stride_samples) == front.frames(samples) + 1


@pytest.mark.parametrize("preset", ["paper", "code"])
def test_audio_jepa_counts(preset: str) -> None:
    model = _model("audio-jepa", preset)
    # 96 bands in place of 128 change nothing: a patch is 16 x 16 in both.
    assert _count(model.encoder) == 85_253_376  # 85.25 M
    assert _count(model.predictor) == 11_238_912  # type: ignore[arg-type]  # 11.24 M


def test_audio_jepa_grids() -> None:
    recipes = presets()["audio-jepa"]
    assert recipes["paper"].grid == Grid(frames=16, bands=8)
    assert recipes["code"].grid == Grid(frames=32, bands=6)
    for name, rate in (("paper", Fraction(8, 5)), ("code", Fraction(16, 5))):
        assert frame_rate_hz(recipes[name].frontend, recipes[name].sample_rate_hz) == rate


def test_audio_jepa_code_never_ends_its_teachers_ramp() -> None:
    recipe = presets()["audio-jepa"]["code"]
    assert recipe.teacher is not None
    assert recipe.teacher.rate(0, recipe.steps) == 0.996
    # 50 epochs of 1 921 982 / 256 batches against 100 000 steps.
    assert recipe.teacher.ramp_fraction == pytest.approx(50 * 1_921_982 / 256 / 100_000, rel=1e-3)
    assert 0.996 < recipe.teacher.rate(recipe.steps, recipe.steps) < 0.998


def test_wavjepa_counts() -> None:
    model, recipe = _model("wavjepa", "base"), presets()["wavjepa"]["base"]
    assert _count(model.encoder.transformer) == 85_056_000  # 85.06 M
    assert _count(model.predictor.transformer) == 21_294_336  # type: ignore[arg-type, union-attr]  # 21.3 M
    assert recipe.grid == Grid(frames=200)
    assert (recipe.crops.clips, recipe.batch_size) == (64, 512)
    assert recipe.optimiser.lr_at(100_000, 375_000) == pytest.approx(4e-4)
    assert recipe.teacher is not None
    assert recipe.teacher.rate(100_000, 375_000) == pytest.approx(0.99999)


def test_wavjepa_nat_hears_two_ears_through_stems_of_their_own() -> None:
    mono, two = _model("wavjepa", "base"), _model("wavjepa-nat", "base")
    assert _count(two.encoder.transformer) == _count(mono.encoder.transformer)
    convs = [sum(p.numel() for p in m.encoder.frontend.convs.parameters()) for m in (mono, two)]  # type: ignore[union-attr]
    assert convs[1] == 2 * convs[0]
    assert presets()["wavjepa-nat"]["base"].grid == Grid(frames=200, bands=2)  # 400 tokens


def test_ijepa_counts() -> None:
    model = _model("ijepa", "base")
    assert _count(model.encoder) == 85_253_376
    # Blocks of width 384: 4 x 384^2 + 8 x 384^2 weights, 9 x 384 biases, 4 x 384 of norms.
    blocks = 12 * (12 * 384**2 + 13 * 384)
    ends = 2 * 384 + 384 * 768 + 384 + 384 * 768 + 768 + 384  # final norm, maps, mask token
    assert _count(model.predictor) == blocks + ends  # type: ignore[arg-type]


def test_a_jepa_has_the_papers_geometry() -> None:
    recipe = presets()["a-jepa"]["base"]
    assert recipe.grid == Grid(frames=64, bands=8)
    assert frame_rate_hz(recipe.frontend, recipe.sample_rate_hz) == Fraction(25, 4)
    assert (recipe.predictor.depth, recipe.predictor.dim) == (16, 512)  # type: ignore[union-attr]


def test_glas_jepa_counts() -> None:
    model, recipe = _model("glas-jepa", "base"), presets()["glas-jepa"]["base"]
    assert _count(model.encoder) == pytest.approx(57e6, rel=0.1)  # 57 M
    assert frame_rate_hz(recipe.frontend, recipe.sample_rate_hz) == 50
    assert (recipe.predictor, recipe.teacher) == (None, None)
    assert recipe.stop_gradient
    assert isinstance(recipe.regulariser, SigReg)
    assert recipe.objective_weight + recipe.regulariser.weight == pytest.approx(1)


def test_density_jepa_counts() -> None:
    model, recipe = _model("density-jepa", "base"), presets()["density-jepa"]["base"]
    # The paper's 121.7 M are encoder and predictor together.
    predictor = _count(model.predictor)  # type: ignore[arg-type]
    assert _count(model.encoder) + predictor == pytest.approx(121.7e6, rel=0.001)
    assert predictor == pytest.approx(3.2e6, rel=0.05)
    assert frame_rate_hz(recipe.frontend, recipe.sample_rate_hz) == Fraction(5, 2)
    assert recipe.hiding == "after_encoder"


def test_jepa_v0_comes_at_both_stated_rates() -> None:
    recipes = presets()["jepa-v0"]
    rates = {float(frame_rate_hz(r.frontend, r.sample_rate_hz)) for r in recipes.values()}
    assert {3.2, 12.5} <= rates
    assert all(recipe.pool_bands for recipe in recipes.values())


def test_lejepa_weights_its_terms_as_stated() -> None:
    for preset, weight, directions in (("paper", 0.05, 1024), ("code", 0.02, 256)):
        recipe = presets()["lejepa"][preset]
        assert isinstance(recipe.regulariser, SigReg)
        assert (recipe.regulariser.weight, recipe.regulariser.directions) == (weight, directions)
        assert recipe.objective_weight == pytest.approx(1 - weight)
        assert (recipe.teacher, recipe.predictor) == (None, None)
        norms = [m for m in _model("lejepa", preset).modules() if isinstance(m, GatheredBatchNorm)]
        assert [norm.weight.shape for norm in norms] == [(2048,), (2048,)]


def test_lpjepa_ends_in_a_relu() -> None:
    for recipe in presets()["lpjepa"].values():
        assert recipe.projector is not None
        assert recipe.projector.rectify
        assert isinstance(recipe.regulariser, RdmReg)
        # 25 (z1 - z2)^2 is 100 times the mean squared distance of two views from their middle.
        assert (recipe.objective_weight, recipe.regulariser.weight) == (100, 125)
        assert recipe.regulariser.nonzero_fraction == 0.5


@pytest.mark.parametrize(
    ("system", "preset", "message"),
    [
        ("wavejepa", "tiny", "did you mean 'wavjepa'"),
        ("wavjepa", "huge", "known: base, small, tiny"),
        ("no/such.toml", "tiny", "not a recipe file"),
    ],
)
def test_unknown_systems_presets_and_files_are_refused(
    system: str, preset: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_recipe(system, preset)
