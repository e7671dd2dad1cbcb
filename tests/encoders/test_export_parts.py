"""What exports are made of, against the core; and what the command refuses."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe_bench.cli import main
from probe_bench.encoders.density_jepa.frontend import DensityStemShape
from probe_bench.encoders.export.describe import plain_name
from probe_bench.encoders.export.formats import FORMATS, FormatName
from probe_bench.encoders.export.names import entry_name, own_class
from probe_bench.encoders.export.shipped import filters
from probe_bench.encoders.export.shipped.cutting import first_frames, window_starts
from probe_bench.encoders.export.standalone import standalone
from probe_bench.encoders.pretraining.blocks.conformer import ConformerShape
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.checkpoint import Checkpoint, write
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.extract import encode_clips
from probe_bench.logmel import kaldi_filters, mel_filters
from probe_bench.resolve import resolve
from probe_bench.windows import cut

from .micro_encoders import micro_encoder, micro_recipes
from .published_fill import fill_all, golden, unfold_names

RECIPES = micro_recipes()


@pytest.fixture(scope="module", params=["wavjepa", "jepa-v0", "density-jepa", "kaldi"])
def encoder(request: pytest.FixtureRequest) -> JepaEncoder:
    made: JepaEncoder = micro_encoder(RECIPES[request.param], request.param)
    return made


@settings(max_examples=60, deadline=None)
@given(windows=st.floats(0.05, 12))
def test_windows_are_those_of_the_suite(encoder: JepaEncoder, windows: float) -> None:
    window, shape = encoder.recipe.crop_samples, encoder.recipe.frontend
    samples = max(encoder.min_samples, int(windows * window))
    starts = window_starts(samples, window, shape.stride_samples)
    ratio = shape.first_frame_samples.as_integer_ratio()
    firsts = first_frames(starts, window, shape.stride_samples, *ratio)
    ours = cut(samples, encoder)
    assert starts == [piece.start for piece in ours]
    offsets = [start // shape.stride_samples for start in starts]
    kept = [piece.keep[0] for piece in ours]
    assert [f - o for f, o in zip(firsts, offsets, strict=True)] == [k.start for k in kept]
    stops = [f - o for f, o in zip(firsts[1:], offsets[:-1], strict=True)]
    assert [*stops, None] == [k.stop for k in kept]


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 32_000])
@pytest.mark.parametrize(("bands", "n_fft"), [(32, 512), (64, 512), (128, 4096)])
def test_filters_are_torchaudios(rate_hz: int, bands: int, n_fft: int) -> None:
    # torchaudio's are of float32: a frequency of 16 kHz has a last bit of 0.001 Hz.
    for mine, theirs in [
        (filters.mel_filters, mel_filters),
        (filters.kaldi_filters, kaldi_filters),
    ]:
        wanted = theirs(bands, n_fft, rate_hz)
        torch.testing.assert_close(
            mine(bands, n_fft, rate_hz), wanted, rtol=0, atol=2e-4 * float(wanted.max())
        )


def test_all_parts_fit_into_one_module() -> None:
    shapes = (ConvStemShape, MelPatchesShape, DensityStemShape, TransformerShape, ConformerShape)
    roots = [(shape.__module__, shape.__name__) for shape in shapes]
    source = standalone(roots, title="All.", tail="", substitutes={})
    assert "probe_bench.encoders" not in source
    assert "jaxtyping" not in source
    assert "noqa" not in source
    for shape in shapes:
        assert source.count(f"\nclass {shape.__name__}(Ranged):") == 1
    assert source.index("class Ranged:") < source.index("(Ranged):")
    compile(source, "all.py", "exec")
    assert "TargetRule" not in source  # nothing of the training comes along


def test_standalone_keeps_comments_constants_and_decorators() -> None:
    source = standalone(
        [("probe_bench.encoders.density_jepa.gate", "mixture_density")],
        title="Gate.",
        tail="LAST = 1",
        substitutes={},
    )
    names: dict[str, object] = {}
    exec(source, names)
    assert names["LAST"] == 1
    assert "_MIN_WIDTH = 1e-3  # of a component" in source
    assert "DensityGate" not in source
    density = names["mixture_density"](torch.randn(2, 9), torch.zeros(3), torch.ones(3))  # type: ignore[operator]
    assert density.shape == (2, 9)


def test_names_for_other_suites() -> None:
    assert plain_name("out/mine#teacher") == "mine#teacher"
    assert plain_name("random:wavjepa:x/base.ckpt#student") == "random:wavjepa:base#student"
    assert own_class("jepa-v0", "xares", ["L3"]) == "JepaV0L3Encoder"
    assert own_class("2nd.try", "transformers", ["L3"]) == "N2ndTryModel"
    assert own_class("a", "xares", ["L1", "L2", "L3", "out_norm"]) == "AAllEncoder"
    assert own_class("wavjepa", "xares", ["out_norm"]) == "WavjepaEncoder"
    assert entry_name("random:jepa-v0#teacher") == "random_jepa_v0_teacher"
    assert entry_name("2nd") == "n2nd"


@pytest.mark.parametrize("system", ["audio-jepa", "wavjepa-nat"])
def test_published_weights_leave_as_well(system: str, tmp_path: Path) -> None:
    expected = golden(f"{system}-small")
    state = fill_all(unfold_names(expected["tensors"], expected["depths"]))
    torch.save({"state_dict": state}, tmp_path / "theirs.ckpt")
    reference = f"{system}:{tmp_path / 'theirs.ckpt'}"
    with pytest.raises(SystemExit) as done:
        main(["export", reference, "--format", "torchscript", "--out", str(tmp_path / "out")])
    assert done.value.code == 0
    program = torch.jit.load(tmp_path / "out" / "encoder.pt")  # type: ignore[no-untyped-call]
    encoder = resolve(reference)
    clip = 0.1 * torch.randn(1, 20_000)
    [features] = encode_clips(encoder, [clip[0]], "cpu")
    for ours, theirs in zip(features, program(clip), strict=True):
        torch.testing.assert_close(theirs[0], ours, rtol=1e-4, atol=1e-5)


def _said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as done:
        main(["export", *map(str, arguments)])
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("probe-bench: ")
    assert said.count("\n") == 1
    return said


def test_export_refuses_what_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    said = _said(capsys, "logmel", "--format", "hear", "--out", out)
    assert "logmel: not a JEPA of ours" in said
    assert not out.exists()
    said = _said(capsys, "wavjepa", "--format", "hear", "--layer", "L9", "--out", out)
    assert "--layer L9: wavjepa has no such layer; expected all, or some of cnn, in, L1" in said
    said = _said(capsys, "wavjepa", "--format", "s3prl", "--layer", "cnn", "L1", "--out", out)
    assert "S3PRL wants layers of one width; found cnn (96), L1 (128)" in said
    assert list(out.iterdir()) == []  # half an export is none
    (out / "mine.txt").write_text("kept")
    said = _said(capsys, "wavjepa", "--format", "hear", "--out", out)
    assert "not empty" in said
    assert (out / "mine.txt").read_text() == "kept"
    with pytest.raises(SystemExit) as done:
        main(["export", "wavjepa", "--format", "flac", "--out", str(out)])
    assert done.value.code == 2


def test_export_refuses_rates_that_a_suite_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = dataclasses.replace(RECIPES["wavjepa"], sample_rate_hz=24_000)
    tensors = micro_encoder(recipe, "mine").backbone.state_dict()
    checkpoint = tmp_path / "mine.safetensors"
    write(
        Checkpoint(
            recipe=recipe,
            step=0,
            seed=0,
            corpora=(),
            audio_sha256="",
            tensors={f"encoder.{name}": tensor for name, tensor in tensors.items()},
        ),
        checkpoint,
    )
    refused: list[tuple[FormatName, str]] = [
        ("hear", "16000, 22050, 32000, 44100, 48000"),
        ("s3prl", "16000"),
    ]
    for suite, rates in refused:
        said = _said(capsys, checkpoint, "--format", suite, "--out", tmp_path / suite)
        assert f"mine: takes 24000 Hz; {FORMATS[suite].suite} gives {rates} Hz alone" in said


def test_command_writes_folder_recipe_and_readme(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["export", "wavjepa", "--format", "xares", "--layer", "L2", "--out", str(tmp_path)])
    assert done.value.code == 0
    assert str(tmp_path) in capsys.readouterr().out.replace("\n", "")
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"README.md", "recipe.json", "weights.pt", "xares_jepa.py"}
    assert json.loads((tmp_path / "recipe.json").read_text())["system"] == "wavjepa"
    text = (tmp_path / "README.md").read_text()
    for fact in (
        "16000 Hz",
        "100 Hz (every 160 samples)",
        "7.5 ms",
        "`L2` (128)",
        "WavjepaL2Encoder",
    ):
        assert fact in text
    assert "class WavjepaL2Encoder(XaresModel)" in (tmp_path / "xares_jepa.py").read_text()
