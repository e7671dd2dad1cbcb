"""Tokens on disk: one safetensors file a recording, and the waveform that it stands for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from jaxtyping import Int
from torch import Tensor

from probe_bench import audio
from probe_bench.encoders.density_jepa.tokenizer import Tokenizer
from probe_bench.encoders.pretraining.tensor_file import Kind, read_tensors, write_tensors
from probe_bench.errors import CheckpointError, UserError

__all__ = ["TokenFile", "decode_files", "encode_files", "read_tokens", "write_tokens"]

_KIND = Kind(
    noun="token file", format="probe-bench-tokens-1", command="probe-bench tokenizer encode"
)
_SUFFIX = ".tokens.safetensors"
_INT16 = 2**15


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    """Tokens of one recording.

    Attributes:
        tokens: Frames in order.
        n_samples: Length of the recording at the tokenizer's sample rate.
        fingerprint: Of the tokenizer that made them.
    """

    tokens: Int[Tensor, "frames tokens"]
    n_samples: int
    fingerprint: str


def encode_files(
    tokenizer: Tokenizer, paths: Sequence[Path], out: Path, device: str = "cpu"
) -> list[Path]:
    """Write the tokens of every recording to `out` as NAME.tokens.safetensors.

    Raises:
        AudioError: If a recording cannot be used.
        UserError: If two recordings have the same name.
    """
    for name, count in Counter(path.stem for path in paths).items():
        if count > 1:
            raise UserError(
                f"{name}: {count} recordings of this name; expected one, because tokens are named "
                "after recordings; encode them into different folders"
            )
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.to(device)
    written = []
    for path in paths:
        waveform = audio.load(path, tokenizer.sample_rate_hz)
        tokens = tokenizer.encode(waveform[None].to(device))[0].cpu()
        file = TokenFile(tokens=tokens, n_samples=len(waveform), fingerprint=tokenizer.fingerprint)
        written.append(out / f"{path.stem}{_SUFFIX}")
        write_tokens(file, written[-1])
    return written


def decode_files(
    tokenizer: Tokenizer, paths: Sequence[Path], out: Path, device: str = "cpu"
) -> list[Path]:
    """Write the waveform of every token file to `out` as 16-bit NAME.wav, as long as the original.

    Raises:
        CheckpointError: If a file is missing, damaged, or was made by another tokenizer.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.to(device)
    written = []
    for path in paths:
        file = read_tokens(path)
        if file.fingerprint != tokenizer.fingerprint:
            raise CheckpointError(
                f"{path}: tokens of the tokenizer {file.fingerprint[:12]}; this one is "
                f"{tokenizer.fingerprint[:12]}; decode with the codec that encoded"
            )
        waveform = tokenizer.decode(file.tokens[None].long().to(device))[0, : file.n_samples]
        written.append(out / f"{path.name.removesuffix(_SUFFIX)}.wav")
        soundfile.write(written[-1], waveform.cpu().numpy(), tokenizer.sample_rate_hz, "PCM_16")
    return written


def write_tokens(file: TokenFile, path: Path) -> None:
    """Write tokens in the smallest integers that hold them."""
    small = int(file.tokens.max()) < _INT16
    tokens = file.tokens.to(torch.int16 if small else torch.int64)
    about = {
        "format": _KIND.format,
        "n_samples": str(file.n_samples),
        "tokenizer": file.fingerprint,
    }
    write_tensors({"tokens": tokens}, path, about)


def read_tokens(path: Path) -> TokenFile:
    """Read a token file.

    Raises:
        CheckpointError: If it is missing, damaged or no token file.
    """
    tensors, about = read_tensors(path, _KIND)
    return TokenFile(
        tokens=tensors["tokens"].long(),
        n_samples=int(about["n_samples"]),
        fingerprint=about["tokenizer"],
    )
