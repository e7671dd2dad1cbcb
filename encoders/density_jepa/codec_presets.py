"""Second-stage presets; each fits the encoder preset of the same name.

`base` is the paper's, `code` its published code's for the same encoder.
"""

from collections.abc import Mapping

from probe_bench.encoders.density_jepa.codec import CodecRecipe
from probe_bench.encoders.density_jepa.decoder import WaveDecoderShape
from probe_bench.encoders.density_jepa.discriminators import DiscriminatorShape
from probe_bench.encoders.density_jepa.fsq import FsqShape

__all__ = ["CODECS"]

_PAPER = CodecRecipe(
    tokens=FsqShape(),
    decoder=WaveDecoderShape(),
    discriminators=DiscriminatorShape(),
    tune_encoder=True,
    precision="bfloat16",
)

_CODE = CodecRecipe(
    tokens=FsqShape(order="little"),
    decoder=WaveDecoderShape(),
    discriminators=DiscriminatorShape(),
    adversarial_from=0,
    precision="bfloat16",
)

_SMALL = CodecRecipe(
    tokens=FsqShape(),
    decoder=WaveDecoderShape(channels=(256, 192, 128, 64, 32), strides=(5, 5, 8, 8)),
    discriminators=DiscriminatorShape(
        period_channels=(16, 64, 128, 256, 256), scale_channels=(16, 64, 128, 256, 256, 256)
    ),
    batch_size=16,
    steps=20_000,
    lr=3e-4,
    discriminator_lr=1.5e-4,
    precision="bfloat16",
)

_TINY = CodecRecipe(
    tokens=FsqShape(dims=64),
    decoder=WaveDecoderShape(channels=(96, 64, 48, 24, 12), strides=(4, 4, 5, 8), kernels=(3, 7)),
    discriminators=DiscriminatorShape(
        periods=(2, 3, 5),
        period_channels=(8, 16, 32, 32, 32),
        scales=2,
        scale_channels=(8, 16, 32, 32, 32, 32),
    ),
    batch_size=4,
    steps=1_500,
    lr=1e-3,
    discriminator_lr=5e-4,
    discriminators_from=1_000,
    adversarial_from=1_000,
)

CODECS: Mapping[str, CodecRecipe] = {
    "tiny": _TINY,
    "small": _SMALL,
    "base": _PAPER,
    "code": _CODE,
}
