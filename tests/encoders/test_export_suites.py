"""Exported encoders pass other suites' validators where probe-bench is not, and give our features."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from probe_bench.encoders.export.formats import FormatName
from probe_bench.encoders.export.write import export_encoder
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.extract import encode_clips

from .micro_encoders import micro_encoder, micro_recipes

RECIPES = micro_recipes()
LAYERS: dict[FormatName, tuple[str, ...]] = {"xares": ("L1", "out_norm")}
# One of each architecture; the others are the same graph with other numbers.
DISTINCT = ("density-jepa", "glas-jepa", "jepa-v0", "kaldi", "wavjepa-nat")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for every system, with what `encode_clips` gives for clips of five lengths."""
    root = tmp_path_factory.mktemp("exported")
    made = {}
    for name, recipe in RECIPES.items():
        made[name] = root / name
        made[name].mkdir()
        _expect(micro_encoder(recipe, name), made[name])
    return made


def _expect(encoder: JepaEncoder, folder: Path) -> None:
    least, window = encoder.min_samples, encoder.recipe.crop_samples
    hop = encoder.recipe.frontend.stride_samples
    lengths = [least - 5, least, window, window + hop + 3, int(3.4 * window)]
    generator = torch.Generator().manual_seed(1)
    clips = [0.1 * torch.randn(n, generator=generator) for n in lengths]
    heard = [F.pad(clip, (0, max(0, least - len(clip)))) for clip in clips]
    names = [layer.name for layer in encoder.layers]
    features = [
        dict(zip(names, layers, strict=True)) for layers in encode_clips(encoder, heard, "cpu")
    ]
    about = {
        "clips": clips,
        "features": features,
        "rate": encoder.sample_rate_hz,
        "hop_s": float(1 / encoder.layers[0].frame_rate_hz),
        "first_frame_s": float(encoder.layers[0].first_frame_s),
    }
    torch.save(about, folder / "expected.pt")
    arrays: dict[str, Any] = _arrays(clips, features)
    np.savez(folder / "expected.npz", **arrays)


def _arrays(clips: list[Tensor], features: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    arrays = {f"clip.{row}": clip.numpy() for row, clip in enumerate(clips)}
    for row, layers in enumerate(features):
        arrays |= {f"{name}.{row}": layer.numpy() for name, layer in layers.items()}
    return arrays


def _visit(
    suites: tuple[FormatName, ...], folders: dict[str, Path], names: tuple[str, ...], home: Path
) -> None:
    """Export some systems and let the suites' rules judge them."""
    for name in names:
        encoder = micro_encoder(RECIPES[name], name)
        for suite in suites:
            target = folders[name] / suite
            target.mkdir()
            export_encoder(encoder, suite, LAYERS.get(suite, ()), target)
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("strangers.py")),
            ",".join(suites),
            *(str(folders[name]) for name in names),
        ],
        cwd=home,
        env=os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_hear_xares_and_s3prl_accept_every_system(folders: dict[str, Path], tmp_path: Path) -> None:
    _visit(("hear", "xares", "s3prl"), folders, tuple(RECIPES), tmp_path)


def test_torchscript_and_transformers_give_our_features(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    _visit(("torchscript",), folders, DISTINCT, tmp_path)
    _visit(("transformers",), folders, DISTINCT, tmp_path)


def test_onnxruntime_gives_our_features_without_torch(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    _visit(("onnx",), folders, ("kaldi",), tmp_path)


@pytest.mark.slow
def test_every_system_can_be_a_program(folders: dict[str, Path], tmp_path: Path) -> None:
    rest = tuple(set(RECIPES) - {"kaldi"})
    _visit(("onnx",), folders, rest, tmp_path)
    _visit(("torchscript",), folders, tuple(set(RECIPES) - set(DISTINCT)), tmp_path)
