"""Write an encoder of ours as a folder for another suite."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from probe_bench.encoders.export.describe import architecture_of, interface_of, pick_layers
from probe_bench.encoders.export.formats import FORMATS, Format, FormatName
from probe_bench.encoders.export.modules import module_source
from probe_bench.encoders.export.names import entry_name, own_class
from probe_bench.encoders.export.programs import imported, write_onnx, write_torchscript
from probe_bench.encoders.export.readme import readme
from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.encoders.pretraining.recipe import to_json
from probe_bench.errors import UserError

__all__ = ["export_encoder"]

_HUBCONF = '''\
"""S3PRL's entry: a function that gives the upstream."""

import importlib.util
import sys
from pathlib import Path

__all__ = ["{entry}"]

dependencies = ["torch"]


def {entry}(ckpt=None, model_config=None, **options):
    """{title}: upstream of the module beside this one."""
    path = Path(__file__).resolve().with_name("expert.py")
    name = f"{entry}_{{abs(hash(path))}}"  # two exports in one process are two modules
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].UpstreamExpert(ckpt, model_config, **options)
'''


def export_encoder(
    encoder: JepaEncoder, name: FormatName, wanted: Sequence[str], folder: Path
) -> None:
    """Write weights, a module where the format has one, the recipe and a README.

    Args:
        encoder: On the CPU.
        name: Format.
        wanted: Names of layers, or `all`; empty for the format's usual choice.
        folder: Empty and there.

    Raises:
        UserError: If the format does not take the encoder's rate or layers.
    """
    fmt = FORMATS[name]
    _refuse_rate(fmt, encoder)
    chosen = _chosen(fmt, encoder, wanted or fmt.layers)
    interface = interface_of(
        encoder, {*chosen, *(_blocks(encoder) if name == "transformers" else ())}
    )
    _write_weights(fmt, encoder, folder)
    match name:
        case "torchscript" | "onnx":
            _write_program(name, encoder, interface, folder)
        case "transformers":
            _write_configs(encoder, interface, chosen, folder)
        case "s3prl":
            entry = entry_name(interface.name)
            text = _HUBCONF.format(entry=entry, title=interface.name)
            (folder / "hubconf.py").write_text(text, encoding="utf-8")
        case _:
            pass
    if fmt.module is not None:
        inside = None if name == "onnx" else architecture_of(encoder)
        source = module_source(fmt, interface, inside, own_class(interface.name, name, chosen))
        (folder / fmt.module).write_text(source, encoding="utf-8")
    _write_json(folder / "recipe.json", to_json(encoder.recipe))
    text = readme(name, encoder, interface, chosen, folder)
    (folder / "README.md").write_text(text, encoding="utf-8")


def _refuse_rate(fmt: Format, encoder: JepaEncoder) -> None:
    if fmt.rates_hz and encoder.sample_rate_hz not in fmt.rates_hz:
        rates = ", ".join(map(str, fmt.rates_hz))
        raise UserError(
            f"{encoder.name}: takes {encoder.sample_rate_hz} Hz; {fmt.suite} gives {rates} Hz alone; "
            "export an encoder of such a rate, or choose another --format"
        )


def _chosen(fmt: Format, encoder: JepaEncoder, wanted: Sequence[str]) -> list[str]:
    """Names of the layers to give out; where they must be equally wide, `all` is those that are."""
    chosen = pick_layers(encoder, wanted)
    widths = {layer.name: layer.dim for layer in encoder.layers}
    if not fmt.equal_widths:
        return chosen
    if "all" in wanted:
        return [name for name in chosen if widths[name] == widths["out_norm"]]
    if len({widths[name] for name in chosen}) > 1:
        found = ", ".join(f"{name} ({widths[name]})" for name in chosen)
        raise UserError(
            f"--layer: {fmt.suite} wants layers of one width; found {found}; leave one kind out"
        )
    return chosen


def _blocks(encoder: JepaEncoder) -> list[str]:
    """Names of the input of the first block and every block's output."""
    return [layer.name for layer in encoder.layers if layer.name not in {"cnn", "out_norm"}]


def _weights(encoder: JepaEncoder, prefix: str) -> dict[str, Tensor]:
    tensors = {**encoder.backbone.state_dict(), "positions": encoder.backbone.positions}
    return {f"{prefix}{name}": t.detach().cpu().contiguous() for name, t in tensors.items()}


def _write_weights(fmt: Format, encoder: JepaEncoder, folder: Path) -> None:
    weights = _weights(encoder, fmt.prefix)
    if fmt.weights == "model.safetensors":
        (folder / fmt.weights).write_bytes(save(weights, {"format": "pt"}))
    elif fmt.weights is not None:
        torch.save(weights, folder / fmt.weights)


def _write_program(
    name: FormatName, encoder: JepaEncoder, interface: Interface, folder: Path
) -> None:
    """Build the model from its own module, as the other formats do, and turn it into a program."""
    fmt = FORMATS["torchscript"]
    weights = _weights(encoder, fmt.prefix)
    with imported(module_source(fmt, interface, architecture_of(encoder))) as module:
        if name == "onnx":
            write_onnx(module, weights, encoder, folder / "encoder.onnx")
        else:
            write_torchscript(module, weights, encoder, folder / "encoder.pt")


def _write_configs(
    encoder: JepaEncoder, interface: Interface, chosen: Sequence[str], folder: Path
) -> None:
    """Write what `AutoConfig`, `AutoModel` and `AutoFeatureExtractor` read."""
    model = own_class(interface.name, "transformers", chosen)
    _write_json(
        folder / "config.json",
        {
            "model_type": "probe-bench-jepa",
            "architectures": [model],
            "auto_map": {
                "AutoConfig": "modeling_jepa.HfConfig",
                "AutoModel": f"modeling_jepa.{model}",
            },
            "hidden_size": sum(layer.dim for layer in interface.layers if layer.name in chosen),
            "num_hidden_layers": encoder.recipe.encoder.depth,
            "sampling_rate": interface.sample_rate_hz,
            "inputs_to_logits_ratio": interface.hop_samples,
            "hidden_layers": _blocks(encoder),
            "output_layers": list(chosen),
            "dtype": "float32",
        },
    )
    _write_json(
        folder / "preprocessor_config.json",
        {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": interface.sample_rate_hz,
            "padding_value": 0.0,
            "padding_side": "right",
            "do_normalize": False,
            "return_attention_mask": True,
        },
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
