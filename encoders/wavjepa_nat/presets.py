"""WavJEPA-Nat's presets: WavJEPA with two ears, in rooms with noise."""

from dataclasses import replace

from probe_bench.encoders.pretraining.data.augment import Augment
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.wavjepa.presets import PRESETS as WAVJEPA

__all__ = ["PRESETS"]

_ROOMS = Augment(microphones=2, rt60_s=(0.2, 0.5), snr_db=(5.0, 40.0))


def _with_two_ears(recipe: Recipe, **changes: int) -> Recipe:
    return replace(
        recipe,
        system="wavjepa-nat",
        augment=_ROOMS,
        frontend=replace(recipe.frontend, microphones=2),  # type: ignore[type-var]
        **changes,  # type: ignore[arg-type]
    )


PRESETS: dict[str, Recipe] = {
    "tiny": _with_two_ears(WAVJEPA["tiny"], batch_size=16, steps=2_000),
    "small": _with_two_ears(WAVJEPA["small"], batch_size=64),
    "base": _with_two_ears(WAVJEPA["base"], batch_size=256),  # 2 GPUs x 16 clips x 8 crops
}
