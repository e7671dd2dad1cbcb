"""Load a transformers model from the hub or a folder, without running code from it unless trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.utils import logging

from probe_bench.encoders.adapter.encoder import TappedEncoder
from probe_bench.encoders.hf.recipes import recipe_of
from probe_bench.errors import CheckpointError, UserError

__all__ = ["build"]

_UNUSED = ("masked_spec_embed", "decoder.", "adapter.", "pooler.")  # weights no layer of ours needs


def build(name: str, random_seed: int | None, *, trust_code: bool) -> TappedEncoder:
    """Build the encoder of a transformers model.

    Args:
        name: Name on the hub (downloaded at first use), or a folder that `save_pretrained` wrote.
        random_seed: None for the trained weights, else the seed of a fresh initialisation with the
            same configuration.
        trust_code: Run model code that comes with the checkpoint.

    Raises:
        UserError: If the model cannot be found, needs code that is not trusted, or is of a kind
            whose layers are not known.
        CheckpointError: If its weights are damaged or incomplete.
    """
    source = _source(name, trust_code=trust_code)
    # Loading draws random numbers too, for weights that a checkpoint lacks and no layer needs.
    with _one_line(name), _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed or 0)
        model = _trained(name, source) if random_seed is None else _fresh(source)
        extractor = _extractor(source)
    module, recipe = recipe_of(name, model, extractor)
    return TappedEncoder(module, recipe)


def _source(name: str, *, trust_code: bool) -> dict[str, Any]:
    """Say where `from_pretrained` shall look; a folder is never looked up on the hub."""
    folder = Path(name).expanduser()
    if not name or (
        not folder.is_dir() and (name.count("/") > 1 or name.startswith((".", "/", "~")))
    ):
        raise UserError(
            f"hf:{name}: no such folder; expected the name of a model on the Hugging Face hub, e.g. "
            "hf:facebook/hubert-base-ls960, or a folder that save_pretrained wrote"
        )
    where = str(folder) if folder.is_dir() else name
    return {
        "pretrained_model_name_or_path": where,
        "local_files_only": folder.is_dir(),
        "trust_remote_code": trust_code,
    }


def _trained(name: str, source: dict[str, Any]) -> nn.Module:
    """Load the weights: safetensors, or a pickle that holds nothing but tensors."""
    model, report = AutoModel.from_pretrained(
        **source, dtype=torch.float32, weights_only=True, output_loading_info=True
    )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(_UNUSED))
    if missing:
        raise CheckpointError(
            f"hf:{name}: {len(missing)} weights of {type(model).__name__} are missing, first "
            f"{missing[0]}; expected all; save the model again with save_pretrained"
        )
    return model  # type: ignore[no-any-return]


def _fresh(source: dict[str, Any]) -> nn.Module:
    """Draw the weights as the library's constructor does."""
    config = AutoConfig.from_pretrained(**source)
    return AutoModel.from_config(  # type: ignore[no-any-return]
        config, dtype=torch.float32, trust_remote_code=source["trust_remote_code"]
    )


def _extractor(source: dict[str, Any]) -> Any | None:
    """Return the model's feature extractor, or None where it was saved without one."""
    try:
        return AutoFeatureExtractor.from_pretrained(**source)
    except (OSError, ValueError):
        return None


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Turn the library's errors into one line that says what to do."""
    try:
        yield
    except (SafetensorError, RuntimeError, UnpicklingError) as error:
        raise CheckpointError(
            f"hf:{name}: weights that cannot be loaded ({_first_line(error)}); download or save it again"
        ) from error
    except (OSError, ValueError, ImportError) as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"hf:{name}: runs code that comes with the checkpoint; read it, then add --trust-code"
            ) from error
        raise UserError(
            f"hf:{name}: cannot be loaded ({_first_line(error)}); check the name and the network, or "
            "give the folder of a downloaded model"
        ) from error


def _first_line(error: Exception) -> str:
    """Return the first line of a message without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' reports and retries off the terminal; errors still raise."""
    hub = getLogger("huggingface_hub")
    hub_level = hub.level
    hub.setLevel(ERROR)
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        hub.setLevel(hub_level)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
