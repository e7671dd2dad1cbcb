"""Recipe files: fields, kinds, refusals, and parts that combine freely."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import probe_bench.encoders
from probe_bench.encoders.pretraining.blocks.conformer import ConformerShape
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.losses.rdmreg import RdmReg
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.masking.samplers import MultiMasks, PatchMasks, SpanMasks
from probe_bench.encoders.pretraining.presets import find_recipe, presets
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe, from_json, to_json
from probe_bench.encoders.pretraining.trainer import Trainer
from probe_bench.errors import UserError

from .micro import wandering_tones

# What makes any recipe quick; the crop is long enough for spans and views.
SMALL = """
steps = 2
batch_size = 4
precision = "float32"
"""
MEL = "crop_samples = 16000\n[encoder]\ndim = 16\ndepth = 2\n[targets]\ntop_k = 2\n"
WAVE = f"{MEL}[frontend]\nchannels = [8, 8, 8, 8, 8, 8]\n"
VIEWS = "crop_samples = 32000\n[encoder]\ndim = 16\ndepth = 2\n"
PREDICTOR = "[predictor]\ndim = 12\ndepth = 1\n"


@pytest.fixture(scope="module")
def tape() -> Tape:
    return wandering_tones(10)


def _recipe(folder: Path, text: str) -> Recipe:
    path = folder / "mine.toml"
    path.write_text(text)
    return find_recipe(str(path), "ignored")


def test_a_few_lines_change_a_preset(tmp_path: Path) -> None:
    text = (
        'base = "wavjepa/tiny"\nsteps = 1000\nposition_scale = 1\nexport = "student"\n'
        'teacher = "none"\n[masks]\nspan = 20\ntarget_probability = 0.3\n'
    )
    recipe, base = _recipe(tmp_path, text), presets()["wavjepa"]["tiny"]
    assert isinstance(base.masks, SpanMasks)
    masks = dataclasses.replace(base.masks, span=20, target_probability=0.3)
    assert recipe == dataclasses.replace(
        base, preset="mine", steps=1000, position_scale=1.0, teacher=None, masks=masks
    )
    assert type(recipe.position_scale) is float
    assert from_json(to_json(recipe)) == recipe


def test_a_table_with_a_kind_replaces_a_part(tmp_path: Path) -> None:
    text = (
        'base = "audio-jepa/tiny"\nhiding = "mask_token"\n[frontend]\npatch_bands = 64\n'
        '[masks]\nkind = "MultiMasks"\n'
        '[[masks.samplers]]\nkind = "PatchMasks"\nlow = 0.7\nhigh = 0.8\n'
        '[[masks.samplers]]\nkind = "pretraining.masking.samplers:SpanMasks"\nspan = 4\ngroups = 1\n'
        '[encoder]\nkind = "ConformerShape"\ndim = 32\ndepth = 4\nheads = 2\nkernel = 7\n'
    )
    recipe = _recipe(tmp_path, text)
    assert recipe.masks == MultiMasks(
        samplers=(PatchMasks(low=0.7, high=0.8), SpanMasks(span=4, groups=1))
    )
    assert recipe.encoder == ConformerShape(dim=32, depth=4, heads=2, kernel=7)


def test_a_list_stands_for_a_tuple(tmp_path: Path) -> None:
    text = (
        'base = "lejepa/tiny"\n[augment]\nsnr_db = [-5, 10]\nrt60_s = "none"\n'
        "[projector]\nhidden = [64]\n[optimiser]\nbetas = [0.9, 0.95]\n"
    )
    recipe = _recipe(tmp_path, text)
    assert recipe.augment is not None
    assert recipe.augment.snr_db == (-5.0, 10.0)
    assert recipe.projector is not None
    assert recipe.projector.hidden == (64,)
    assert from_json(to_json(recipe)) == recipe


BAD = {
    "": "base is None; expected base =",
    'base = "wavjepa"': "base is 'wavjepa'; expected base =",
    "base = 3": "base is 3; expected base =",
    'base = "wavejepa/tiny"': "did you mean 'wavjepa'",
    'base = "wavjepa/huge"': "known: base, small, tiny",
    "base = ": "not a recipe file",
    'base = "wavjepa/tiny"\nspan = 3': r"no field 'span'; expected one of system, preset",
    'base = "wavjepa/tiny"\n[masks]\nspam = 3': r"masks: no field 'spam'; expected one of span",
    'base = "wavjepa/tiny"\nsteps = "many"': "steps: 'many'; expected a whole number",
    'base = "wavjepa/tiny"\nsteps = 2.5': "steps: 2.5; expected a whole number",
    'base = "wavjepa/tiny"\nsteps = true': "steps: True; expected a whole number",
    'base = "wavjepa/tiny"\nsteps = [1, 2]': r"steps: \[1, 2\]; expected a whole number",
    'base = "wavjepa/tiny"\nsteps = "none"': "steps: 'none'; expected a whole number",
    'base = "wavjepa/tiny"\nposition_scale = "big"': "position_scale: 'big'; expected a number",
    'base = "wavjepa/tiny"\nobjective = "l3"': "objective: 'l3'; expected 'mse' or 'l1'",
    'base = "wavjepa/tiny"\nstop_gradient = 1': "stop_gradient: 1; expected true or false",
    'base = "wavjepa/tiny"\nmasks = 3': "masks: 3; expected MaskSampler or 'none'",
    'base = "wavjepa/tiny"\n[regulariser]\nweight = 1.0': "name its kind, one of RdmReg, SigReg",
    'base = "wavjepa/tiny"\n[masks]\nkind = "Sponge"': "no kind 'Sponge'; expected one of BlockMasks, CurriculumMasks",
    'base = "wavjepa/tiny"\n[masks]\nkind = 5': "no kind 5; expected one of BlockMasks",
    'base = "wavjepa/tiny"\n[masks]\nkind = "os:PathLike"': "no kind 'os:PathLike'",
    'base = "wavjepa/tiny"\n[masks]\nkind = "SigReg"\nweight = 1.0': (
        "masks: SigReg; expected MaskSampler or 'none'"
    ),
    'base = "wavjepa/tiny"\n[steps]\nkind = "EmaRule"\nstart = 0.9\nend = 1.0': (
        "steps: EmaRule; expected a whole number"
    ),
    'base = "wavjepa/tiny"\n[regulariser]\nkind = "SigReg"': "SigReg without weight",
    'base = "wavjepa/tiny"\n[regulariser]\nkind = "SigReg"\nweight = "a lot"': (
        r"regulariser\.weight: 'a lot'; expected a number"
    ),
    'base = "wavjepa/tiny"\n[regulariser]\nkind = "SigReg"\nweight = 1\ncolour = 2': "colour",
    'base = "lejepa/tiny"\n[augment]\nsnr_db = [1.0]': (
        r"snr_db: \[1.0\]; expected \[a number, a number\] or 'none'"
    ),
    'base = "lejepa/tiny"\n[augment]\nsnr_db = [1.0, "b"]': r"expected \[a number, a number\]",
    'base = "glas-jepa/tiny"\n[encoder]\nheads = 3': "multiple of heads",
}


@pytest.mark.parametrize("text", BAD)
def test_mistakes_are_one_line_that_names_the_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=BAD[text]) as refused:
        _recipe(tmp_path, text)
    said = str(refused.value)
    assert "\n" not in said
    if "unknown" not in said:
        assert "mine.toml" in said


NONSENSE = {
    'base = "wavjepa/tiny"\n[views]\nkind = "ViewRule"': "masks and views; expected one",
    'base = "wavjepa/tiny"\nmasks = "none"': "no masks and no views; expected one",
    'base = "wavjepa/tiny"\nmasks = "none"\n[views]\nkind = "ViewRule"': "no predictor and no teac",
    'base = "wavjepa/tiny"\npredictor = "none"': "hiding 'drop' needs a predictor",
    'base = "wavjepa/tiny"\npredictor = "none"\nhiding = "after_encoder"': "needs a predictor",
    'base = "wavjepa/tiny"\nstop_gradient = false': "set teacher to none as well",
    'base = "wavjepa/tiny"\nteacher = "none"\nexport = "teacher"': "no teacher to export",
    'base = "wavjepa/tiny"\n[targets]\ntop_k = 9': "top_k is 9; expected 1 to 4 blocks",
    'base = "wavjepa/tiny"\n[targets]\ntop_k = 0': "top_k is 0; expected at least 1",
    'base = "wavjepa/tiny"\ncrop_samples = 200': "200 samples give no token",
    'base = "lejepa/tiny"\n[views]\nlocal_share = 0.01': "samples give no token",
    'base = "density-jepa/tiny"\nhiding = "drop"': "a Conformer needs every frame",
    'base = "glas-jepa/tiny"\n[frontend]\npatch_bands = 16': "a Conformer over 5 patches a frame",
    'base = "audio-jepa/tiny"\n[augment]\nkind = "Augment"\nmicrophones = 2\nrt60_s = [0.2, 0.5]': (
        "more microphones than the front end"
    ),
}


OUT_OF_RANGE = {
    "wavjepa": [
        "steps = 0", "steps = -5", "batch_size = 0", "crops_per_clip = 0", "objective_weight = -1",
        "position_scale = nan", "sample_rate_hz = -16000",
        "masks.span = -3", "masks.target_probability = 0", "masks.context_probability = 30",
        "masks.max_draws = 0", "masks.groups = 0",
        "optimiser.clip_norm = -1", "optimiser.lr = nan", "optimiser.betas = [2, 3]",
        "optimiser.eps = -1", "optimiser.warmup_fraction = -1",
        "teacher.start = 2", "teacher.ramp_fraction = -1",
        "encoder.heads = 3", "encoder.heads = 0", "encoder.dim = 0", "encoder.depth = 0",
        "encoder.mlp_ratio = -1", "encoder.key_drop = 2", "predictor.dim = 33",
        "frontend.strides = [5, 2]", "frontend.strides = [5, 2, 2, 2, 2, 0]",
        "frontend.channels = []", "frontend.smooth_start = 2", "frontend.microphones = 0",
    ],
    "audio-jepa": [
        "masks.low = 0.7", "masks.high = 1.0", "frontend.hop_samples = 0", "frontend.bands = 0",
        "frontend.patch_bands = 7", "frontend.patch_bands = 128", "frontend.std = 0",
        "frontend.pad_frames = -5", "frontend.window_samples = 0", "encoder.dim = 130",
    ],
    "ijepa": ["masks.groups = 0", "masks.scale = [-0.1, 0.1]", "masks.aspect = [0, 1]"],
    "lejepa": [
        "views.global_share = 2", "views.global_views = 0", "regulariser.weight = -1",
        "regulariser.knots = 1", "regulariser.limit = -3", "regulariser.directions = 0",
        "projector.dim = 0", "augment.snr_db = [20, 0]", "augment.clean_share = 2",
    ],
    "lpjepa": ["regulariser.shape = 0", "regulariser.projections = 0"],
    "wavjepa-nat": ["augment.rt60_s = [0, 0]", "augment.rt60_s = [-1, -0.5]"],
    "density-jepa": [
        "masks.ratio = 0", "masks.ratio = 5", "masks.min_span = 0", "masks.min_span = 50",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("system", "line"), [(s, line) for s, lines in OUT_OF_RANGE.items() for line in lines]
)
def test_numbers_that_mean_nothing_are_refused(system: str, line: str, tmp_path: Path) -> None:
    name, _, value = line.rpartition(" = ")
    field = name.rpartition(".")[2]
    with pytest.raises(UserError, match=r"expected|need|multiple") as refused:
        _recipe(tmp_path, f'base = "{system}/tiny"\n{line}')
    said = str(refused.value)
    assert "\n" not in said
    assert field in said or "wide" in said or "channels" in said
    assert "mine" in said
    assert value


def test_system_and_preset_are_not_for_the_file_to_say(tmp_path: Path) -> None:
    for line in ('system = "foo"', 'preset = "foo"'):
        with pytest.raises(
            UserError, match=r"'foo'; the system is the base's, the preset the name"
        ):
            _recipe(tmp_path, f'base = "wavjepa/tiny"\n{line}')


def test_a_part_that_cannot_be_had_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "probe_bench.encoders.__path__", [*probe_bench.encoders.__path__, str(tmp_path)]
    )
    (tmp_path / "broken_part.py").write_text("import nowhere_to_be_found")
    (tmp_path / "plain_part.py").write_text("class Plain: pass")
    for kind, said in (
        ("broken_part:M", "cannot be imported .*nowhere_to_be_found"),
        ("plain_part:Plain", "not a dataclass"),
        ("plain_part:Missing", "no kind 'plain_part:Missing'"),
        ("no_part:M", "no kind 'no_part:M'"),
    ):
        with pytest.raises(UserError, match=said):
            _recipe(tmp_path, f'base = "wavjepa/tiny"\n[masks]\nkind = "{kind}"')


@pytest.mark.parametrize("text", NONSENSE)
def test_parts_that_do_not_go_together_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=NONSENSE[text]):
        _recipe(tmp_path, text)


COMBINED = {
    "wavjepa with SIGReg, no teacher": (
        'base = "wavjepa/tiny"\nteacher = "none"\n',
        f'{WAVE}{PREDICTOR}[regulariser]\nkind = "SigReg"\nweight = 0.1\ndirections = 8\n',
    ),
    "wavjepa with SIGReg and a teacher": (
        'base = "wavjepa/tiny"\n',
        f'{WAVE}{PREDICTOR}[regulariser]\nkind = "SigReg"\nweight = 0.1\ndirections = 8\n',
    ),
    "wavjepa without anything": (
        'base = "wavjepa/tiny"\nteacher = "none"\nstop_gradient = false\n',
        WAVE + PREDICTOR,
    ),
    "wavjepa that fills mask tokens in": (
        'base = "wavjepa/tiny"\nhiding = "mask_token"\npredictor = "none"\n',
        WAVE,
    ),
    "wavjepa with mask tokens and a predictor": (
        'base = "wavjepa/tiny"\nhiding = "mask_token"\n',
        WAVE + PREDICTOR,
    ),
    "wavjepa hiding after the encoder": (
        'base = "wavjepa/tiny"\nhiding = "after_encoder"\n',
        WAVE + PREDICTOR,
    ),
    "wavjepa with a Conformer and a rectified projector": (
        'base = "wavjepa/tiny"\nteacher = "none"\nhiding = "mask_token"\ncrop_samples = 16000\n',
        (
            '[encoder]\nkind = "ConformerShape"\ndim = 16\ndepth = 2\nheads = 2\nkernel = 7\n'
            "[targets]\ntop_k = 2\n[frontend]\nchannels = [8, 8, 8, 8, 8, 8]\n"
            f'{PREDICTOR}[projector]\nkind = "ProjectorShape"\ndim = 8\nhidden = [12]\nrectify = true\n'
            '[regulariser]\nkind = "RdmReg"\nweight = 0.1\nprojections = 8\n'
        ),
    ),
    "wavjepa with blocks on its one band": (
        'base = "wavjepa/tiny"\n',
        f'{WAVE}{PREDICTOR}[masks]\nkind = "BlockMasks"\n',
    ),
    "audio-jepa with spans": (
        'base = "audio-jepa/tiny"\n',
        f'{MEL}{PREDICTOR}[masks]\nkind = "SpanMasks"\nspan = 4\n',
    ),
    "audio-jepa in rooms with noise": (
        'base = "audio-jepa/tiny"\n',
        f'{MEL}{PREDICTOR}[augment]\nkind = "Augment"\nsnr_db = [0, 10]\nrt60_s = [0.1, 0.2]\n',
    ),
    "audio-jepa with a curriculum of two masks a clip": (
        'base = "audio-jepa/tiny"\n',
        (
            f'{MEL}{PREDICTOR}[masks]\nkind = "CurriculumMasks"\n'
            '[masks.easy]\nkind = "PatchMasks"\n[masks.hard]\nkind = "StripMasks"\n'
        ),
    ),
    "glas-jepa with a teacher": (
        'base = "glas-jepa/tiny"\ncrop_samples = 16000\n',
        (
            "[encoder]\ndim = 16\ndepth = 2\n[projector]\ndim = 8\n"
            '[teacher]\nkind = "EmaRule"\nstart = 0.99\nend = 1.0\n'
        ),
    ),
    "lejepa on a convolutional stem": (
        'base = "lejepa/tiny"\n',
        f'{VIEWS}[frontend]\nkind = "ConvStemShape"\nchannels = [8, 8, 8, 8, 8, 8]\n',
    ),
    "lejepa with RDMReg": (
        'base = "lejepa/tiny"\n',
        f'{VIEWS}[regulariser]\nkind = "RdmReg"\nweight = 1.0\nprojections = 8\n',
    ),
    "lejepa with two ears": (
        'base = "lejepa/tiny"\n',
        (
            f'{VIEWS}[frontend]\nkind = "ConvStemShape"\nchannels = [8, 8, 8, 8, 8, 8]\nmicrophones = 2\n'
            "[augment]\nmicrophones = 2\nrt60_s = [0.1, 0.2]\n"
        ),
    ),
    "lejepa without a regulariser or projector": (
        'base = "lejepa/tiny"\nregulariser = "none"\nprojector = "none"\n',
        VIEWS,
    ),
}


@pytest.mark.parametrize("name", COMBINED)
def test_parts_combine_freely(name: str, tmp_path: Path, tape: Tape) -> None:
    base, parts = COMBINED[name]
    recipe = _recipe(tmp_path, f"{base}{SMALL}{parts}")
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    make = BatchMaker(recipe=recipe, source=tape, seed=0)
    rows = [trainer.step(n, make(n), monitored=n == 1) for n in range(2)]
    assert np.isfinite([v for row in rows for v in row.values() if not isinstance(v, str)]).all()
    for name_, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name_
            assert parameter.grad.abs().sum() > 0, name_
    # A regulariser counts as much as its weight says.
    row, weight = rows[0], 0.0 if recipe.regulariser is None else recipe.regulariser.weight
    terms = recipe.objective_weight * float(row["prediction"]) + weight * float(row["penalty"])
    assert row["loss"] == pytest.approx(terms, rel=1e-5)
    assert (float(row["penalty"]) > 0) == isinstance(recipe.regulariser, SigReg | RdmReg)


def test_a_recipe_file_trains_and_its_checkpoint_names_it(tmp_path: Path, tape: Tape) -> None:
    base, parts = COMBINED["audio-jepa with spans"]
    recipe = _recipe(tmp_path, f"{base}{SMALL}{parts}")
    path = train(recipe, tape, TrainOptions(out=tmp_path / "out"))
    from probe_bench.encoders.pretraining.inference import load_encoder  # noqa: PLC0415

    assert load_encoder("audio-jepa", str(path), None).recipe == recipe
    assert recipe.preset == "mine"
