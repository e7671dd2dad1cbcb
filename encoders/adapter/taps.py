"""Read every layer of a transformer out of one forward pass, under the same names in any library.

Libraries number layers differently: transformers' `hidden_states` starts with the input of the first
block and, where a final norm follows, ends with its output instead of the last block's; torchaudio's
`extract_features` starts after the first block and never applies the final norm. Hooks on the
modules themselves don't depend on either: `cnn` is the stem's output, `in` what enters the first
block, `L1` ... `LN` what leaves the blocks, `out_norm` what leaves a norm that comes after the last.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["Taps", "record"]


@dataclass(frozen=True, kw_only=True)
class Taps:
    """Modules to listen to.

    Attributes:
        stem: Module whose output is the last of the convolutional front end.
        stem_frames: Turns that output into `batch frames dim`.
        blocks: Transformer blocks in order.
        norm: A norm that may follow the last block. Where the model applies it before the first
            block instead (post-norm models), it is no layer.
    """

    stem: nn.Module
    stem_frames: Callable[[Any], Tensor]
    blocks: Sequence[nn.Module]
    norm: nn.Module | None


def record(taps: Taps, run: Callable[[], object]) -> dict[str, Tensor]:
    """Run a model once and return the `batch frames dim` tensor of every layer by canonical name."""
    seen: dict[str, Tensor] = {}
    last = f"L{len(taps.blocks)}"

    def stem(_module: nn.Module, _args: Any, output: Any) -> None:
        seen["cnn"] = taps.stem_frames(output)

    def entry(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen["in"] = args[0] if args else kwargs["hidden_states"]

    def block(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            seen[name] = output[0] if isinstance(output, tuple) else output

        return keep

    def norm(_module: nn.Module, _args: Any, output: Tensor) -> None:
        if last in seen:
            seen["out_norm"] = output

    with ExitStack() as hooks:
        hooks.callback(taps.stem.register_forward_hook(stem).remove)
        hooks.callback(taps.blocks[0].register_forward_pre_hook(entry, with_kwargs=True).remove)
        for number, module in enumerate(taps.blocks, start=1):
            hooks.callback(module.register_forward_hook(block(f"L{number}")).remove)
        if taps.norm is not None:
            hooks.callback(taps.norm.register_forward_hook(norm).remove)
        run()
    return seen
