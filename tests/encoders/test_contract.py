"""Every registered encoder keeps the contract: times, determinism, batch and padding invariance."""

from collections.abc import Callable
from pathlib import Path

import pytest

from probe_bench import registry
from probe_bench.check import check
from probe_bench.encoder import Encoder
from probe_bench.resolve import resolve

# An adapter to a library is tried on a tiny model of each family that it reads; what has weights of
# its own, at random init; log-mel as it is.
HF = ["Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio", "Whisper"]
REFERENCES = {
    "logmel": ["logmel", "logmel:25/4"],
    "lowpass": ["lowpass:8", "lowpass:2"],
    "meanpool": ["meanpool:80", "meanpool:160"],
    "hf": [f"hf:{kind}" for kind in HF] + ["random:hf:Hubert"],
    "torchaudio": ["random:torchaudio:TINY"],
}
CASES = [
    reference
    for name in sorted(registry.encoders())
    for reference in REFERENCES.get(name, [f"random:{name}"])
]


@pytest.fixture
def build(save_hf: Callable[..., Path], tiny_bundle: str) -> Callable[[str], Encoder]:
    """Return a function that resolves a reference, a tiny model standing in for a hub name."""

    def resolved(reference: str) -> Encoder:
        scheme, colon, kind = reference.rpartition("hf:")
        if colon:
            overrides = {"conv_pos_kernel_size": 5} if kind == "Data2VecAudio" else {}
            reference = f"{scheme}hf:{save_hf(kind, **overrides)}"
        return resolve(reference.replace("TINY", tiny_bundle))

    return resolved


@pytest.mark.parametrize("reference", CASES)
def test_contract(reference: str, build: Callable[[str], Encoder]) -> None:
    encoder = build(reference)
    assert isinstance(encoder, Encoder)
    assert [f"{v.name}: {v.detail}" for v in check(encoder) if not v.passed] == []
    assert len(encoder.fingerprint) == 64


@pytest.mark.parametrize("name", sorted(registry.encoders()))
def test_registration_is_complete(name: str) -> None:
    spec = registry.encoders()[name]
    assert spec.name == name
    assert spec.summary
    assert spec.source
