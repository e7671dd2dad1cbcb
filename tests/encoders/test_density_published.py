"""Equality with the published code (gioannides/Density-Adaptive-JEPA, commit ac9d866).

Its `JEPAEncoder` was built with every tensor filled by a formula of its name and index, and run on
a computed waveform; the numbers below are its outputs. Ours must give the same with the same fill.
"""

import re

import pytest
import torch
from torch import Tensor, nn

from probe_bench.encoders.density_jepa.decoder import WaveDecoderShape
from probe_bench.encoders.density_jepa.frontend import DensityStem, DensityStemShape
from probe_bench.encoders.density_jepa.fsq import FsqShape, codes_of, quantise
from probe_bench.encoders.density_jepa.predictor import ConvPredictor, ConvPredictorShape
from probe_bench.encoders.pretraining.blocks.conformer import Conformer, ConformerShape
from probe_bench.encoders.pretraining.masking.masks import Grid, select

_CONFORMER = [
    (r"feed([12])\.norm", r"ff\1.0"),
    (r"feed([12])\.fc1", r"ff\1.1"),
    (r"feed([12])\.fc2", r"ff\1.4"),
    (r"attention\.norm", "norm_attn"),
    (r"attention\.qkv", "qkv"),
    (r"attention\.out", "out_proj"),
    (r"convolution\.norm_in", "conv.0"),
    (r"convolution\.gated", "conv.1"),
    (r"convolution\.depthwise", "conv.3"),
    (r"convolution\.norm_out", "conv.4"),
    (r"convolution\.out", "conv.6"),
    (r"(\d)\.norm\.", r"\1.norm_final."),
]
_STEM = [
    (r"^stem", "input_conv"),
    (r"^blocks", "encoder"),
    (r"^projection", "bottleneck_proj"),
    (r"residual", "res_blocks"),
    (r"dilated", "convs1"),
    (r"plain", "convs2"),
    (r"gate\.score", "gaatn_gate.to_attn"),
    (r"gate\.offsets", "gaatn_gate.gaa.mean_offsets"),
    (r"gate\.raw_widths", "gaatn_gate.gaa.log_sigma"),
    (r"gate\.alpha", "gaatn_gate.alpha"),
]
_DECODER = [
    (r"^inward", "bottleneck_unproj"),
    (r"^blocks", "decoder"),
    (r"^out\b", "output_conv"),
    (r"(\d)\.conv\.", r"\1.deconv."),
    (r"residual", "mrf.resblocks"),
    (r"dilated", "convs1"),
    (r"plain", "convs2"),
]
_PREDICTOR = [
    (r"^inward", "predictor.0"),
    (r"^first\.blocks\.0", "predictor.2"),
    (r"^between", "predictor.3"),
    (r"^second\.blocks\.0", "predictor.5"),
    (r"^outward", "predictor.6"),
    *_CONFORMER,
]


def _fill(module: nn.Module, rules: list[tuple[str, str]]) -> None:
    """Give every tensor the value that its published name and the index say."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            published = name
            for ours, theirs in rules:
                published = re.sub(ours, theirs, published)
            phase = sum(map(ord, published)) % 97
            wave = torch.arange(parameter.numel(), dtype=torch.float64) * 0.7 + phase
            value = 0.2 * torch.sin(wave)
            if parameter.ndim == 1 and "norm" in published and published.endswith("weight"):
                value += 1
            parameter.copy_(value.reshape(parameter.shape))


@pytest.fixture
def stem() -> DensityStem:
    shape = DensityStemShape(channels=(4, 6, 8), strides=(4, 5), residual_blocks=4)
    stem = shape.build(24_000, 16)
    _fill(stem, _STEM)
    return stem


@pytest.fixture
def conformer() -> Conformer:
    model = Conformer(ConformerShape(dim=16, depth=2, heads=4, activation="gelu", norm="clip"))
    _fill(model, [(r"^blocks", "conformer_blocks"), *_CONFORMER])
    return model


@pytest.fixture
def predictor() -> ConvPredictor:
    predictor = ConvPredictorShape(heads=4).build_predictor(Grid(frames=34), 16)
    _fill(predictor, _PREDICTOR)
    return predictor


@pytest.fixture
def waveform() -> Tensor:
    n = torch.arange(700, dtype=torch.float64)
    return (0.5 * torch.sin(n * n / 900) + 0.2 * torch.sin(0.31 * n)).float()[None]


@torch.no_grad()
def test_front_end(stem: DensityStem, waveform: Tensor) -> None:
    features = stem.features(waveform)
    assert features.shape == (1, 34, 8)
    expected = [-3.258913, 2.060973, 2.386724, -4.117149, 0.449606, 2.266721, -3.647268, 0.943032]
    torch.testing.assert_close(features[0, 3], torch.tensor(expected), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_encoder(stem: DensityStem, conformer: Conformer, waveform: Tensor) -> None:
    encoded = conformer(stem.project(stem.features(waveform)))[-1]
    expected = [
        [-0.790319, -0.63655, -1.033358, -0.975238],
        [-0.055915, -0.153931, 0.075593, 0.113363],
        [1.517812, 1.32308, 1.727472, 1.722696],
        [2.193614, 2.182868, 2.336183, 2.28665],
    ]  # channels 0 to 3 at frames 0, 11, 22 and 33
    torch.testing.assert_close(encoded[0, ::11, :4].T, torch.tensor(expected), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_predictor(
    stem: DensityStem, conformer: Conformer, predictor: ConvPredictor, waveform: Tensor
) -> None:
    encoded = conformer(stem.project(stem.features(waveform)))[-1]
    hidden = torch.zeros(1, 34, dtype=torch.bool)
    hidden[0, 5:9] = hidden[0, 20:24] = True
    rows = predictor(encoded[:, ~hidden[0]], select(~hidden), select(hidden[:, None]))
    expected = [
        [-0.682028, 0.63068, -0.582707, -0.071407, 0.040819, -0.522789, 0.797166, -0.606574],
        [-0.671539, 0.619255, -0.572228, -0.079211, 0.044663, -0.522039, 0.791946, -0.597744],
    ]  # frames 6 and 22: the second row of each hidden run, and the third
    torch.testing.assert_close(rows[[1, 6], :8], torch.tensor(expected), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_waveform_decoder() -> None:
    decoder = WaveDecoderShape(channels=(8, 6, 4), strides=(5, 4)).build(16)
    _fill(decoder, _DECODER)
    x = (2 * torch.sin(torch.arange(80).float() * 1.7)).view(1, 16, 5).transpose(1, 2)
    shape = FsqShape(dims=16)
    decoded = decoder(codes_of(quantise(x, shape), shape))
    assert decoded.shape == (1, 104)
    expected = [0.182035, -0.017769, -0.079368, -0.051154, -0.104881, -0.07794]
    expected += [-0.089737, -0.119166, -0.062857, -0.163495, -0.043938, -0.014527]
    torch.testing.assert_close(decoded[0, ::9], torch.tensor(expected), atol=1e-4, rtol=1e-4)
