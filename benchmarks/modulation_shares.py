"""Time what is read from one layer beside support and output speed: what sharing one fit saves.

    python benchmarks/modulation_shares.py

One layer of 768 dimensions, ten minutes at 50 Hz, 24 groups: random features that hold every target, so
that nothing is refused. Times are of one thread; every layer costs the same.
"""

import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import torch

from probe_bench.encoder import Layer
from probe_bench.modulation.fitting import fit_readout
from probe_bench.modulation.following import follow
from probe_bench.modulation.information import recovery
from probe_bench.modulation.joint import joint_support
from probe_bench.modulation.readout import band_readout
from probe_bench.modulation.recovery import recover
from probe_bench.modulation.reference import Bands, band_grid
from probe_bench.modulation.speed import speed
from probe_bench.modulation.support import support
from probe_bench.modulation.targets import Target
from probe_bench.modulation.tokens import Tokens, flatten, without_position_mean

N_CLIPS, N_GROUPS, DIM, RATE_HZ = 215, 24, 768, 50
WIDTHS = {"phones": 39, "energy": 1, "voicing": 1, "pitch": 1}


def main() -> None:
    """Print seconds of each part and the ratio of all to support and speed."""
    torch.set_num_threads(1)
    bands, targets, frames = _made()
    group = torch.arange(N_CLIPS) % N_GROUPS
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        seconds[name] = time.process_time() - start
        return result

    tokens = timed("tokens", lambda: without_position_mean(flatten(frames)))
    fit = timed("fit", partial(fit_readout, tokens, bands, group, n_groups=N_GROUPS))
    timed("support", lambda: support(band_readout(fit), seed=0))
    timed("speed", partial(speed, tokens, float(RATE_HZ), group, n_groups=N_GROUPS, seed=0))
    before = sum(seconds.values())
    timed("components of all folds", lambda: fit.projected)
    for target in targets:
        timed(target.name, partial(follow, fit, target, seed=0))
    timed("recovery", lambda: recovery(recover(fit), seed=0))
    timed("joint", partial(joint_support, fit, seed=0))
    print(", ".join(f"{name} {spent:.2f} s" for name, spent in seconds.items()))
    print(f"all / (tokens, fit, support, speed) = {sum(seconds.values()) / before:.2f}")


def _made() -> tuple[Bands, list[Target], list[torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    lengths = [2 * RATE_HZ + (i % 5) * 20 for i in range(N_CLIPS)]
    layer = Layer(
        name="L1",
        dim=DIM,
        depth=1.0,
        frame_rate_hz=Fraction(RATE_HZ),
        first_frame_s=Fraction(1, 80),
    )

    def table(width: int) -> Tokens:
        return flatten([torch.randn(2 * n - 1, width, generator=rng) for n in lengths])

    bands = Bands(grid=band_grid(layer), frames=table(64))
    known = torch.ones(N_CLIPS, dtype=torch.bool)
    targets = [Target(name=name, frames=table(d), known=known) for name, d in WIDTHS.items()]
    held = torch.cat([bands.frames.values, *(t.frames.values for t in targets)], 1)
    frames = []
    for rows in held.split(bands.frames.lengths.tolist()):
        noise = torch.randn(len(rows[::2]), DIM, generator=rng)
        noise[:, : rows.shape[1]] += rows[::2]
        frames.append(noise)
    return bands, targets, frames


if __name__ == "__main__":
    main()
