"""Published files load so that every layer equals the authors' code (see golden/published-*.json)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.encoders.audio_jepa import published as audio_jepa
from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.transformer import sincos_positions
from probe_bench.encoders.wavjepa import published as wavjepa

from .published_fill import describe, fill_all, golden, unfold_names, waveform

_Read = Callable[[Path, str], tuple[Recipe, dict[str, Tensor]]]
_READ: dict[str, _Read] = {"audio-jepa": audio_jepa.read, "wavjepa": wavjepa.read}
_SMALL = ["audio-jepa-small", "audio-jepa-code-small", "wavjepa-small", "wavjepa-nat-small"]
_BASE = ["audio-jepa-base", "wavjepa-base", "wavjepa-nat-base"]
_SIZES = [*_SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in _BASE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


def _file(name: str, folder: Path) -> Path:
    """Save the golden's state dict as Lightning saves it, filled by formula."""
    path = folder / f"{name}.ckpt"
    if not path.exists():
        expected = golden(name)
        shapes = unfold_names(expected["tensors"], expected["depths"])
        torch.save({"state_dict": fill_all(shapes), "global_step": 1}, path)
    return path


def _load(path: Path, name: str, which: str) -> tuple[Recipe, Backbone]:
    """Load as the suite does: the file's position table takes the place of the computed one."""
    recipe, tensors = _READ[name.split("-")[0].replace("audio", "audio-jepa")](path, which)
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
        recipe, tensors = _READ["audio-jepa" if "audio" in name else "wavjepa"](path, "")
        _, chosen = _READ["audio-jepa" if "audio" in name else "wavjepa"](path, part)
        assert recipe.export == part
        assert all(torch.equal(tensors[n], chosen[n]) for n in chosen)


def test_student_and_teacher_share_the_stem_of_wavjepa_only(folder: Path) -> None:
    for name, shared in (("wavjepa-small", True), ("audio-jepa-small", False)):
        path = _file(name, folder)
        parts = [_load(path, name, which)[1].frontend.projection for which in ("student", "teacher")]
        assert torch.equal(parts[0].weight, parts[1].weight) is shared


def test_wavjepa_s_position_table_is_the_computed_one() -> None:
    expected = golden("wavjepa-base")["table"]
    recipe = wavjepa.PRESETS["base"]
    ours = describe(sincos_positions(recipe.grid, 768), "table", len(expected["values"]))
    for statistic, value in ours.items():
        np.testing.assert_allclose(value, expected[statistic], atol=1e-5)


def test_audio_jepa_s_table_codes_frequency_first() -> None:
    expected = golden("audio-jepa-base")["table"]
    ours = sincos_positions(audio_jepa.PRESETS["base"].grid, 768)
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


@pytest.mark.parametrize(
    ("name", "encoder", "predictor"),
    [
        ("audio-jepa-base", 85_253_376, 11_238_912),
        ("wavjepa-base", 85_056_000, 21_294_336),
        ("wavjepa-nat-base", 85_056_000, 21_294_336),
    ],
)
def test_base_counts_are_the_published_ones(name: str, encoder: int, predictor: int) -> None:
    """recipes.md: 85.25 M + 11.24 M (Audio-JEPA), 85.06 M + 21.3 M (WavJEPA), tables aside."""
    parameters: dict[str, Any] = golden(name)["parameters"]
    tables = parameters["position_tables"]
    audio = name.startswith("audio")
    theirs = parameters["encoder"] - audio * tables["encoder"]
    theirs_predictor = (
        parameters["predictor"] - tables["predictor"] if audio else parameters["decoder"]
    )
    assert (theirs, theirs_predictor) == (encoder, predictor)
    preset = (audio_jepa if audio else wavjepa).PRESETS["base"]
    with torch.device("meta"):
        backbone = Backbone(preset)
    assert sum(p.numel() for p in backbone.transformer.parameters()) == encoder - (
        audio * (256 * 768 + 768)
    )
    if name != "wavjepa-nat-base":
        stem = ("extract_audio", "feature_norms", "post_extraction_mapper")
        outside = 256 * 768 + 768 if audio else sum(parameters[part] for part in stem)
        assert sum(p.numel() for p in backbone.frontend.parameters()) == outside
