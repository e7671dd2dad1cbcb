"""`tokenizer`: train density-adaptive JEPA's second stage; recordings to tokens and back."""

import dataclasses
from pathlib import Path

from rich.console import Console

from probe_bench.cache import default_root
from probe_bench.config import TokenizerConfig
from probe_bench.encoders.density_jepa.codec_presets import CODECS
from probe_bench.encoders.density_jepa.token_files import decode_files, encode_files
from probe_bench.encoders.density_jepa.tokenizer import Tokenizer
from probe_bench.encoders.density_jepa.train_codec import CodecOptions, train_codec
from probe_bench.encoders.pretraining.checkpoint import read
from probe_bench.encoders.pretraining.data.words import find_audio
from probe_bench.errors import UserError
from probe_bench.folders import make_folder
from probe_bench.gather import pick_device
from probe_bench.pretraining import open_audio
from probe_bench.registry import find

__all__ = ["tokenizer"]


def tokenizer(config: TokenizerConfig) -> int:
    """Do what is asked for and say at which rate the tokens come."""
    console = Console()
    make_folder(config.out)
    if config.action == "train":
        return _train(config, console)
    if not config.files:
        raise UserError(f"tokenizer {config.action}: nothing to {config.action}; name some files")
    device = str(pick_device(config.device))
    loaded = Tokenizer.load(_codec(config.checkpoint))
    if config.action == "encode":
        written = encode_files(loaded, find_audio(config.files), config.out, device)
    else:
        written = decode_files(loaded, [Path(file) for file in config.files], config.out, device)
    console.print(loaded.rates, soft_wrap=True)
    console.print(f"{len(written)} files: {config.out}", soft_wrap=True)
    return 0


def _train(config: TokenizerConfig, console: Console) -> int:
    """Train a decoder for the tokens of a stage-1 checkpoint."""
    encoder = config.checkpoint
    if encoder.is_dir():
        encoder /= "checkpoint.safetensors"
    stage_1 = read(encoder).recipe
    recipe = find("preset of the tokenizer", config.preset or stage_1.preset, CODECS)
    if config.steps is not None:
        recipe = dataclasses.replace(recipe, steps=config.steps)
    source, names = open_audio(
        config.corpus,
        config.audio,
        sample_rate_hz=stage_1.sample_rate_hz,
        crop_samples=stage_1.crop_samples,
        root=config.cache or default_root(),
        console=console,
        skip_bad=config.skip_bad,
    )
    options = CodecOptions(
        out=config.out,
        seed=config.seed,
        device=str(pick_device(config.device)),
        checkpoint_every=config.checkpoint_every,
        workers=config.workers,
    )
    path = train_codec(encoder, recipe, source, options, corpora=names, console=console)
    console.print(Tokenizer.load(path).rates, soft_wrap=True)
    console.print(f"tokenizer: {path}", soft_wrap=True)
    return 0


def _codec(path: Path) -> Path:
    return path / "codec.safetensors" if path.is_dir() else path
