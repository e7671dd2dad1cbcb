"""Transformers: a configuration and a model for `AutoModel`."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.export.shipped.windowed import Architecture, Piece, Windowed, encode_clips

__all__ = ["HfConfig", "HfModel"]


class HfConfig(PretrainedConfig):  # type: ignore[misc]
    """What `config.json` holds; the geometry stands in the model's module."""

    model_type = "probe-bench-jepa"


class HfModel(PreTrainedModel):  # type: ignore[misc]
    """An encoder as transformers calls it."""

    config_class = HfConfig
    main_input_name = "input_values"
    base_model_prefix = "model"
    interface: Interface
    architecture: Architecture

    def __init__(self, config: HfConfig) -> None:
        super().__init__(config)
        self.model = Windowed(self.interface, Piece(self.interface, self.architecture))
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Leave every part as its own constructor starts it."""

    def forward(
        self,
        input_values: Float[Tensor, "batch samples"],
        attention_mask: Int[Tensor, "batch samples"] | Bool[Tensor, "batch samples"] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Encode mono waveforms in [-1, 1], each as if it were alone.

        Args:
            input_values: Waveforms, padded to one length.
            attention_mask: 1 on samples, 0 on padding; frames beyond a clip's end are zero.
            output_hidden_states: Give the blocks' input and outputs as well.
            return_dict: Give an object with names, or a tuple.
        """
        if attention_mask is None:
            layers = self.model(input_values)
        else:
            heard = zip(input_values, attention_mask.bool(), strict=True)
            layers = encode_clips(self.model, [clip[mask] for clip, mask in heard])
        named = list(zip(self.interface.layers, layers, strict=True))
        chosen = [x for layer, x in named if layer.name in self.config.output_layers]
        blocks = tuple(x for layer, x in named if layer.name in self.config.hidden_layers)
        output = BaseModelOutput(
            last_hidden_state=torch.cat(chosen, dim=2),
            hidden_states=blocks
            if self._asked(output_hidden_states, "output_hidden_states")
            else None,
        )
        return output if self._asked(return_dict, "return_dict") else output.to_tuple()

    def _asked(self, argument: bool | None, name: str) -> bool:
        """Say what a call asks for; where it says nothing, the configuration does."""
        return bool(getattr(self.config, name, True)) if argument is None else argument

    def _get_feat_extract_output_lengths(
        self, input_lengths: Int[Tensor, "*batch"]
    ) -> Int[Tensor, "*batch"]:
        """Frames of clips of so many samples."""
        about, frames = self.interface, self.architecture.frontend.frames
        counts = [
            max(0, n - about.window_samples) // about.hop_samples
            + frames(min(max(n, about.min_samples), about.window_samples))
            for n in input_lengths.flatten().tolist()
        ]
        return torch.tensor(counts, device=input_lengths.device).view(input_lengths.shape)
