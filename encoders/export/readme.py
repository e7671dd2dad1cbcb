"""The README of an exported folder."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

import probe_bench
from probe_bench.encoders.export.formats import FORMATS, FormatName
from probe_bench.encoders.export.names import entry_name, own_class
from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.pretraining.inference import JepaEncoder

__all__ = ["readme"]

_TEXT = Template("""\
# $name for $suite

Frozen audio encoder: $recipe, $parameters parameters, written by probe-bench $version. It needs no
probe-bench, and gives the features that `probe-bench run` measures.

| | |
|---|---|
| audio | mono, $rate Hz, in [-1, 1] |
| frames | $frame_rate Hz (every $hop samples); the first is centred at $first ms |
| layers | $layers |
| short clips | below $least ms padded with zeros to it |
| long clips | above $window s in windows of it that overlap by a quarter or more; a frame comes from the window in which it lies farther from the edge |

`in` is the input of the first block, `L1` ... the blocks' outputs, `out_norm` the final norm, `cnn`
the front end's output. `recipe.json` is the pretraining, whole.

## Use
$use

## Licence

The code is MIT, as probe-bench is. The weights are under the terms of whoever trained them.
""")


def readme(
    suite: FormatName,
    encoder: JepaEncoder,
    interface: Interface,
    chosen: Sequence[str],
    folder: Path,
) -> str:
    """Say what a folder is and how it is used."""
    recipe, rate_hz = encoder.recipe, interface.sample_rate_hz
    use = Template(FORMATS[suite].use).substitute(
        folder=folder.resolve().name,
        class_name=own_class(interface.name, suite, chosen),
        entry=entry_name(interface.name),
        rate=rate_hz,
        chosen=" and ".join(f"`{name}`" for name in chosen),
        extent=f"batch x samples, any batch and {interface.min_samples} to {interface.window_samples} samples",
    )
    return _TEXT.substitute(
        name=interface.name,
        suite=FORMATS[suite].suite,
        recipe=f"{recipe.system} ({recipe.preset})",
        parameters=f"{encoder.n_parameters:,}",
        version=probe_bench.__version__,
        rate=rate_hz,
        frame_rate=f"{rate_hz / interface.hop_samples:g}",
        hop=interface.hop_samples,
        first=f"{float(1000 * interface.first_frame_samples / rate_hz):g}",
        layers=", ".join(f"`{layer.name}` ({layer.dim})" for layer in interface.layers),
        least=f"{1000 * interface.min_samples / rate_hz:g}",
        window=f"{interface.window_samples / rate_hz:g}",
        use=use.strip(),
    )
