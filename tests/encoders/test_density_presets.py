"""Presets of both stages: the published sizes, and decoders that mirror their encoders."""

from fractions import Fraction

import pytest
import torch

from probe_bench.encoders.density_jepa.codec import Codec
from probe_bench.encoders.density_jepa.codec_presets import CODECS
from probe_bench.encoders.density_jepa.frontend import DensityStemShape
from probe_bench.encoders.density_jepa.presets import PRESETS
from probe_bench.encoders.pretraining.jepa import Jepa


def test_the_base_preset_has_the_published_sizes() -> None:
    with torch.device("meta"):
        model = Jepa(PRESETS["base"])
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in (("encoder", model.encoder), ("predictor", model.predictor))
    }
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    # The published code builds these numbers: an encoder of 118.5 M; the paper's 121.7 M are all
    # that is trained, predictor (3.2 M) and mask token included.
    assert counts == {"encoder": 118_512_562, "predictor": 3_177_600 + 128}
    assert trained == 121_690_290


@pytest.mark.parametrize("name", sorted(CODECS))
def test_every_codec_mirrors_its_encoder(name: str) -> None:
    codec, encoder = CODECS[name], PRESETS["base" if name == "code" else name]
    assert isinstance(encoder.frontend, DensityStemShape)
    assert tuple(codec.decoder.strides) == tuple(reversed(encoder.frontend.strides))
    with torch.device("meta"):
        Codec(encoder, codec)


def test_published_rates_of_the_base_codec() -> None:
    base = PRESETS["base"]
    frame_rate_hz = Fraction(base.sample_rate_hz, base.frontend.stride_samples)
    assert frame_rate_hz == Fraction(5, 2)
    assert CODECS["base"].tokens.token_rate_hz(frame_rate_hz) == Fraction(95, 2)
    assert CODECS["base"].tokens.information_bps(frame_rate_hz) == 640
    assert (CODECS["base"].tokens.order, CODECS["code"].tokens.order) == ("big", "little")
    assert (CODECS["base"].tune_encoder, CODECS["code"].tune_encoder) == (True, False)
