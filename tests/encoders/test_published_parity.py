"""Published files load so that every layer equals the authors' code (see golden/published-*.json)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe_bench.encoders.audio_jepa import published as audio_jepa
from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.blocks.transformer import sincos_positions
from probe_bench.encoders.pretraining.jepa import Jepa
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.wavjepa import published as wavjepa
from probe_bench.encoders.wavjepa_nat import presets as wavjepa_nat

from .published_fill import describe, fill_all, golden, unfold_names, waveform

_Read = Callable[[Path, str], tuple[Recipe, dict[str, Tensor]]]
_READ: dict[str, _Read] = {"audio": audio_jepa.read, "wavjepa": wavjepa.read}
_SMALL = ["audio-jepa-small", "audio-jepa-code-small", "wavjepa-small", "wavjepa-nat-small"]
_BASE = ["audio-jepa-base", "wavjepa-base", "wavjepa-nat-base"]
_SIZES = [*_SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in _BASE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("published")
    yield path
    shutil.rmtree(path)  # base files are large


def _file(name: str, folder: Path) -> Path:
    """Save the golden's state dict as Lightning saves it, filled by formula."""
    path = folder / f"{name}.ckpt"
    if not path.exists():
        expected = golden(name)
        shapes = unfold_names(expected["tensors"], expected["depths"])
        torch.save({"state_dict": fill_all(shapes), "global_step": 1}, path)
    return path


def _read(name: str, path: Path, which: str) -> tuple[Recipe, dict[str, Tensor]]:
    return _READ[name.partition("-")[0]](path, which)


def _load(path: Path, name: str, which: str) -> tuple[Recipe, Backbone]:
    """Load as the suite does: the file's position table takes the place of the computed one."""
    recipe, tensors = _read(name, path, which)
    backbone = Backbone(recipe).eval()
    backbone.positions.copy_(tensors.pop("positions", backbone.positions))
    backbone.load_state_dict(tensors)
    return recipe, backbone


@torch.inference_mode()
def _layers(recipe: Recipe, backbone: Backbone) -> dict[str, Tensor]:
    """Every layer's output on the golden waveform, in the authors' order of tokens."""
    microphones = getattr(recipe.frontend, "microphones", 1)
    audio = waveform(microphones, recipe.crop_samples, recipe.sample_rate_hz)
    features = backbone.frontend.features(audio if microphones == 1 else audio[None])
    tokens = backbone.tokens(features)
    outputs = {"in": tokens}
    outputs |= {f"L{n}": x for n, x in enumerate(backbone.transformer(tokens), 1)}
    outputs["out_norm"] = backbone.transformer.norm(outputs[f"L{recipe.encoder.depth}"])
    if recipe.frontend.feature_dim is None:
        outputs["spectrogram"] = _unpatched(features, recipe)
    else:
        outputs["cnn"] = features.unflatten(2, (microphones, -1)).flatten(1, 2)
    by_channel = {n: x for n, x in outputs.items() if n != "spectrogram"}
    by_channel = {n: _channel_major(x, microphones) for n, x in by_channel.items()}
    return outputs | by_channel


def _channel_major(x: Tensor, microphones: int) -> Tensor:
    return x.unflatten(1, (-1, microphones)).transpose(1, 2).flatten(1, 2)


def _unpatched(patches: Tensor, recipe: Recipe) -> Tensor:
    frames, bands = recipe.grid.frames, recipe.grid.bands
    return patches.view(frames, bands, 16, 16).transpose(1, 2).reshape(16 * frames, 16 * bands)


@pytest.mark.parametrize("which", ["student", "teacher"])
@pytest.mark.parametrize("name", _SIZES)
def test_every_layer_equals_the_authors_code(name: str, which: str, folder: Path) -> None:
    expected = golden(name)
    found = _layers(*_load(_file(name, folder), name, which))
    for layer, numbers in (expected["shared"] | expected[which]).items():
        got = describe(found[layer], layer, len(numbers["values"]))
        assert got.pop("size") == numbers["size"], layer
        for statistic, value in got.items():
            np.testing.assert_allclose(
                value, numbers[statistic], rtol=1e-6, atol=1e-4, err_msg=f"{layer} {statistic}"
            )
    assert expected[which].keys() | expected["shared"].keys() == found.keys()


def test_the_default_is_what_the_authors_evaluate(folder: Path) -> None:
    for name, part in (("audio-jepa-small", "teacher"), ("wavjepa-small", "student")):
        path = _file(name, folder)
        recipe, tensors = _read(name, path, "")
        _, chosen = _read(name, path, part)
        assert recipe.export == part
        assert all(torch.equal(tensors[n], chosen[n]) for n in chosen)


def test_student_and_teacher_share_the_stem_of_wavjepa_only(folder: Path) -> None:
    for name, shared in (("wavjepa-small", True), ("audio-jepa-small", False)):
        path = _file(name, folder)
        parts = [
            _load(path, name, which)[1].frontend.projection for which in ("student", "teacher")
        ]
        assert torch.equal(parts[0].weight, parts[1].weight) is shared


def test_wavjepa_s_position_table_is_the_computed_one() -> None:
    expected = golden("wavjepa-base")["table"]
    recipe = wavjepa.PRESETS["base"]
    ours = describe(sincos_positions(recipe.grid, 768), "table", len(expected["values"]))
    for statistic, value in ours.items():
        np.testing.assert_allclose(value, expected[statistic], atol=1e-5)


def test_audio_jepa_s_table_codes_frequency_first() -> None:
    expected = golden("audio-jepa-base")["table"]
    ours = sincos_positions(audio_jepa.PRESETS["paper"].grid, 768)
    swapped = torch.cat([ours[:, 384:], ours[:, :384]], dim=1)
    for statistic, value in describe(swapped, "table", len(expected["values"])).items():
        np.testing.assert_allclose(value, expected[statistic], atol=1e-5)
    projection = describe(ours, "table", 8)["projection"]
    assert abs(projection - expected["projection"]) > 0.1


def test_wavjepa_nat_s_table_tells_microphones_by_constants() -> None:
    expected = golden("wavjepa-nat-base")["table"]
    time = sincos_positions(wavjepa.PRESETS["base"].grid, 384)
    first = torch.cat([time, torch.zeros(200, 384)], dim=1)
    second = torch.cat([time, torch.zeros(200, 192), torch.ones(200, 192)], dim=1)
    table = torch.cat([first, second])
    for statistic, value in describe(table, "table", len(expected["values"])).items():
        np.testing.assert_allclose(value, expected[statistic], atol=1e-5)


_ENCODER = ("encoder", "extract_audio", "feature_norms", "post_extraction_mapper")
_PREDICTOR = ("predictor", "decoder", "decoder_to_encoder_mapper", "encoder_to_decoder_mapper")


@pytest.mark.parametrize(
    ("name", "recipe", "encoder_millions", "predictor_millions"),
    [
        ("audio-jepa-base", audio_jepa.PRESETS["paper"], 85.25, 11.24),
        ("wavjepa-base", wavjepa.PRESETS["base"], 85.06 + 4.07, 21.29 + 0.59),
        ("wavjepa-nat-base", wavjepa_nat.PRESETS["base"], 85.06 + 7.75, 21.29 + 0.59),
    ],
)
def test_base_presets_have_the_published_number_of_parameters(
    name: str, recipe: Recipe, encoder_millions: float, predictor_millions: float
) -> None:
    theirs: dict[str, Any] = golden(name)["parameters"]
    # Audio-JEPA's modules hold their fixed tables as parameters, and the mask token;
    # WavJEPA's hold neither.
    tables = theirs["position_tables"] if "predictor" in theirs else {}
    mask_token = 0 if "predictor" in theirs else 384
    encoder = sum(theirs.get(part, 0) for part in _ENCODER) - tables.get("encoder", 0)
    predictor = sum(theirs.get(part, 0) for part in _PREDICTOR) - tables.get("predictor", 0)
    with torch.device("meta"):
        ours = Jepa(recipe)
    assert _count(ours.encoder) == encoder == pytest.approx(encoder_millions * 1e6, abs=1e4)
    assert _count(ours.predictor) == predictor + mask_token
    assert predictor == pytest.approx(predictor_millions * 1e6, abs=1e4)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
