"""Programs without Python source: TorchScript and ONNX, each tried against the encoder it came from."""

import importlib.util
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.errors import UserError
from probe_bench.extract import encode_clips

__all__ = ["imported", "write_onnx", "write_torchscript"]

_TOLERANCE = 1e-4
_SEED = 0


@contextmanager
def imported(source: str) -> Iterator[ModuleType]:
    """Import a module from its text, as a stranger would, and forget it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe_bench_exported.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            del sys.modules[path.stem]


def write_torchscript(
    module: ModuleType, weights: Mapping[str, Tensor], encoder: JepaEncoder, path: Path
) -> None:
    """Trace one piece, script the windows around it, and save both as one program.

    Args:
        module: Of the export, with `MODEL`.
        weights: Of its piece.
        encoder: What they came from.
        path: File to write.
    """
    model = _filled(module, weights)
    longest = _noise(2, encoder.recipe.crop_samples)
    model(longest)  # keeps filters and windows as constants
    with _quiet():
        # A branch on the length takes the way of the longest piece, which is right for all others:
        # what it leaves out there reads nothing but padding in a shorter one.
        model.piece = torch.jit.trace(  # type: ignore[no-untyped-call]
            model.piece, longest, strict=False, check_trace=False
        )
        torch.jit.save(torch.jit.script(model), str(path))
        program = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    _try(program, model.layer_names, encoder, _lengths(encoder), path)


def write_onnx(
    module: ModuleType,
    weights: Mapping[str, Tensor],
    encoder: JepaEncoder,
    path: Path,
) -> None:
    """Write one piece as a graph with any batch size and any length up to the window.

    Args:
        module: Of the export, with `MODEL`.
        weights: Of its piece.
        encoder: What they came from.
        path: File to write.

    Raises:
        UserError: If packages are missing, or the encoder has a part that ONNX cannot express.
    """
    missing = [p for p in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(p)]
    if missing:
        raise UserError(
            f"--format onnx needs {', '.join(missing)}; install them with "
            "`pip install 'probe-bench[onnx]'`"
        )
    model = _filled(module, weights)
    longest = _noise(3, encoder.recipe.crop_samples)
    model(longest)
    samples = torch.export.Dim("samples", min=encoder.min_samples, max=encoder.recipe.crop_samples)
    with _quiet():
        try:
            program = torch.onnx.export(
                model.piece,
                (longest,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch"), 1: samples},),
                input_names=["waveform"],
                output_names=model.layer_names,
                opset_version=18,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            line = str(error).strip().splitlines()[-1]
            raise UserError(
                f"{encoder.name}: cannot be written as ONNX ({line}); try --format torchscript"
            ) from error
    assert program is not None
    program.save(str(path))
    _try(_session(path), model.layer_names, encoder, _lengths(encoder)[:3], path)


def _session(path: Path) -> Callable[[Tensor], list[Tensor]]:
    """Open a graph."""
    import onnxruntime  # noqa: PLC0415 - an extra

    session = onnxruntime.InferenceSession(str(path))
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {"waveform": x.numpy()})]


def _filled(module: ModuleType, weights: Mapping[str, Tensor]) -> Any:
    """Fill the module's own `Windowed`, a class that is not ours any more."""
    module.MODEL.load_state_dict(dict(weights))
    return module.MODEL.eval().requires_grad_(requires_grad=False)


def _noise(batch: int, samples: int) -> Float[Tensor, "batch samples"]:
    generator = torch.Generator().manual_seed(_SEED)
    return 0.1 * torch.randn(batch, samples, generator=generator)


def _lengths(encoder: JepaEncoder) -> Sequence[tuple[int, int]]:
    """Batches and lengths to try: shortest, half and whole window, and two windows and a bit."""
    least, window = encoder.min_samples, encoder.recipe.crop_samples
    return (1, least), (3, (least + window) // 2), (2, window), (1, 2 * window + least // 2)


def _try(
    program: Callable[[Tensor], list[Tensor]],
    names: Sequence[str],
    encoder: JepaEncoder,
    lengths: Sequence[tuple[int, int]],
    path: Path,
) -> None:
    """Refuse a program whose layers are not the encoder's.

    Raises:
        UserError: If one differs by more than 1e-4 of its largest value, or of 1.
    """
    index = {layer.name: at for at, layer in enumerate(encoder.layers)}
    for batch, samples in lengths:
        waveform = _noise(batch, samples)
        clips = encode_clips(encoder, list(waveform), "cpu")
        for name, layer in zip(names, program(waveform), strict=True):
            wanted = torch.stack([clip[index[name]] for clip in clips])
            difference = float((layer - wanted).abs().max())
            if difference > _TOLERANCE * max(1.0, float(wanted.abs().max())):
                raise UserError(
                    f"{path}: layer {name} of {samples} samples is {difference:.2g} off; expected "
                    f"{_TOLERANCE:g} at most; try another --format, and report the recipe"
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the tracers have to say: what they wrote is tried afterwards."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
