"""The formats: which definitions their module copies, and the few lines that tie them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["FORMATS", "Format", "FormatName"]

FormatName = Literal["hear", "xares", "s3prl", "transformers", "torchscript", "onnx"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How an encoder is written for one suite.

    Attributes:
        suite: Its name in prose.
        module: File name of the Python module; None if there is none.
        roots: Definitions that the module starts from, as `module.name` under `shipped`.
        tail: Code after them; `$class_name` and `$title` are filled in.
        layers: What `--layer` is if it is not given.
        use: How a user of that suite uses the folder; `$folder`, `$class_name` and `$rate` are
            filled in.
        weights: File name of the weights; None if they are elsewhere.
        prefix: Of the weights' names.
        rates_hz: Sample rates that the suite takes; empty for any.
        equal_widths: Whether all layers must be equally wide.
    """

    suite: str
    module: str | None
    roots: tuple[str, ...]
    tail: str = ""
    layers: tuple[str, ...] = ("out_norm",)
    use: str
    weights: str | None = "weights.pt"
    prefix: str = "piece."
    rates_hz: tuple[int, ...] = ()
    equal_widths: bool = False


_HEAR = Format(
    suite="HEAR",
    module="hear_jepa.py",
    roots=("hear.HearModel", "hear.get_timestamp_embeddings", "hear.get_scene_embeddings"),
    tail='''
WEIGHTS = Path(__file__).with_name("weights.pt")


def load_model(path: str = "") -> HearModel:
    """Load the weights beside this module, or those at `path`."""
    model = HearModel(INTERFACE, Piece(INTERFACE, ARCHITECTURE))
    load_weights(model, path or WEIGHTS)
    return model
''',
    use="""
The module is `hear_jepa`:

```
export PYTHONPATH=$folder
hear-validator hear_jepa --model $folder/weights.pt
python -m heareval.embeddings.runner hear_jepa --model $folder/weights.pt --tasks-dir TASKS
```

Timestamps are the frames' centres; scene embeddings are the frames' average.
""",
    rates_hz=(16_000, 22_050, 32_000, 44_100, 48_000),
)

_XARES = Format(
    suite="X-ARES",
    module="xares_jepa.py",
    roots=("xares.XaresModel",),
    tail='''
WEIGHTS = Path(__file__).with_name("weights.pt")


class $class_name(XaresModel):
    """$title."""

    def __init__(self) -> None:
        super().__init__(INTERFACE, Piece(INTERFACE, ARCHITECTURE))
        load_weights(self, WEIGHTS)
''',
    use="""
Name the module by a path relative to the folder in which X-ARES runs:

```
python -m xares.run FOLDER/xares_jepa.py src/tasks/*.py
```

The class is `$class_name`; X-ARES keeps its own results under that name. Its loader drops a leading
`p`, `y` or `.` from the path.
""",
)

_S3PRL = Format(
    suite="S3PRL",
    module="expert.py",
    roots=("s3prl.S3prlModel",),
    tail='''
WEIGHTS = Path(__file__).with_name("weights.pt")


class UpstreamExpert(S3prlModel):
    """$title."""

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **_: object):
        """Load the weights beside this module, or those at `ckpt`; there is nothing to configure."""
        super().__init__(INTERFACE, Piece(INTERFACE, ARCHITECTURE))
        load_weights(self, ckpt or WEIGHTS)
''',
    layers=("all",),
    use="""
```python
import torch

upstream = torch.hub.load("$folder", "$entry", source="local")
hidden_states = upstream([torch.randn(16000), torch.randn(24000)])["hidden_states"]
```

Or copy the folder to `s3prl/upstream/$entry`, add `from s3prl.upstream.$entry.hubconf import *` to
`s3prl/hub.py`, and run `python run_downstream.py -u $entry ...`.
""",
    prefix="model.piece.",
    rates_hz=(16_000,),
    equal_widths=True,
)

_TRANSFORMERS = Format(
    suite="transformers",
    module="modeling_jepa.py",
    roots=("hf.HfModel",),
    tail='''
class $class_name(HfModel):
    """$title."""

    interface = INTERFACE
    architecture = ARCHITECTURE
''',
    use="""
```python
from transformers import AutoFeatureExtractor, AutoModel

model = AutoModel.from_pretrained("$folder", trust_remote_code=True).eval()
extractor = AutoFeatureExtractor.from_pretrained("$folder")
inputs = extractor(clips, sampling_rate=$rate, padding=True, return_tensors="pt")
outputs = model(**inputs, output_hidden_states=True)
```

`last_hidden_state` is $chosen; `hidden_states` are the input of the first block and every block's
output. Frames beyond a clip's end are zero, and a clip's other frames don't depend on what it is
padded with.
""",
    weights="model.safetensors",
    prefix="model.piece.",
)

_TORCHSCRIPT = Format(
    suite="TorchScript",
    module=None,
    roots=("windowed.Windowed",),
    tail="MODEL = Windowed(INTERFACE, Piece(INTERFACE, ARCHITECTURE))",
    layers=("all",),
    use="""
```python
import torch

encoder = torch.jit.load("$folder/encoder.pt")
layers = encoder(torch.randn(2, 48000))  # one (batch, frames, dim) tensor a layer
```

`encoder.layer_names`, `encoder.sample_rate_hz`, `encoder.frame_rate_hz` and `encoder.first_frame_s`
say the rest.
""",
    weights=None,
)

_ONNX = Format(
    suite="ONNX",
    module="encoder.py",
    roots=("onnx.OnnxModel",),
    tail='''
def load_model(path: str = "") -> OnnxModel:
    """Open the graph beside this module, or the one at `path`."""
    return OnnxModel(INTERFACE, path or Path(__file__).with_name("encoder.onnx"))
''',
    layers=("all",),
    use="""
`encoder.onnx` takes `waveform`, $extent. `encoder.py` needs numpy and onnxruntime alone, and takes
clips of any length: short ones padded with zeros, long ones in windows.

```python
import numpy as np
from encoder import load_model  # with this folder on PYTHONPATH

layers = load_model()(np.zeros((2, 48000), np.float32))  # one (batch, frames, dim) array a layer
```
""",
    weights=None,
)

FORMATS: Mapping[FormatName, Format] = {
    "hear": _HEAR,
    "xares": _XARES,
    "s3prl": _S3PRL,
    "transformers": _TRANSFORMERS,
    "torchscript": _TORCHSCRIPT,
    "onnx": _ONNX,
}
