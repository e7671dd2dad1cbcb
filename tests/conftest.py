"""Fixtures that the whole suite shares."""

import importlib
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tensors this small spend more on a second thread than they gain."""
    torch.set_num_threads(1)


class ToyEncoder:
    """A purely local encoder of two layers with different rates: no weights, no context."""

    name = "toy"
    sample_rate_hz = 16000
    fingerprint = "toy-1"
    n_parameters = 0
    min_samples = 640
    window_samples: int | None = 8000
    layers = (
        Layer(
            name="in", dim=2, depth=0.0, frame_rate_hz=Fraction(100), first_frame_s=Fraction(1, 200)
        ),
        Layer(
            name="L1", dim=1, depth=1.0, frame_rate_hz=Fraction(25), first_frame_s=Fraction(1, 50)
        ),
    )

    def __init__(self) -> None:
        self.calls = 0

    def to(self, device: str) -> "ToyEncoder":
        return self

    def encode(self, waveform: Float[Tensor, "batch samples"]) -> list[Float[Tensor, "batch _ _"]]:
        self.calls += 1
        fast = waveform.unfold(1, 160, 160)
        slow = waveform.unfold(1, 640, 640)
        return [
            torch.stack([fast.mean(2), fast.abs().amax(2)], dim=2),
            slow.square().mean(2, keepdim=True).sqrt(),
        ]


@pytest.fixture
def toy_encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """Write noise clips of given durations and return them as a corpus."""

    def make(durations_s: list[float], rate_hz: int = 16000, name: str = "noise") -> Corpus:
        rng = np.random.default_rng(0)
        clips = []
        for i, duration_s in enumerate(durations_s):
            path = tmp_path / name / f"{i:03d}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.1 * rng.standard_normal(round(duration_s * rate_hz)), rate_hz)
            labels = {"speaker": f"s{i % 3}", "recording": f"r{i}"}
            clips.append(Clip(id=f"{i:03d}", path=path, duration_s=duration_s, labels=labels))
        return Corpus(name=name, clips=tuple(clips), licence="CC0", revision="1")

    return make


@pytest.fixture
def clean_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the platform's cache folder into the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "probe-bench"


@pytest.fixture(scope="session")
def speechbrain() -> SimpleNamespace:
    """Return the modules of speechbrain that are oracles, imported once and taken out again.

    Every import patches torch's loaders anew, and hypothesis cannot look at the lazy modules it leaves.
    """
    loaders, before = torch.utils.data.dataloader._BaseDataLoaderIter, set(sys.modules)
    patched = loaders.__init__
    found = SimpleNamespace(
        metric_stats=importlib.import_module("speechbrain.utils.metric_stats"),
        plda=importlib.import_module("speechbrain.processing.PLDA_LDA"),
    )
    loaders.__init__ = patched
    for name in set(sys.modules) - before:
        if name.startswith("speechbrain"):
            del sys.modules[name]
    return found
