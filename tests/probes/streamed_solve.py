"""Solve cached features four times larger than the memory that this process may take, then with all of it.

Run by test_streaming.py in a process of its own; prints what it compared as JSON.
"""

import json
import resource
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from probe_bench.cache import Entry
from probe_bench.encoder import Layer
from probe_bench.probes import units as reading
from probe_bench.probes.convex import Fitted, fit_layers
from probe_bench.probes.scratch import Room
from probe_bench.probes.units import UnitFeatures, Units, gather
from probe_bench.residency import Residency
from probe_bench.stored import StoredFeatures
from probe_bench.task import Measure

MEMORY, DIM, FRAMES, CLASSES, CLIPS_IN_SHARD = 40 << 20, 256, 512, 4, 4
CLIPS = 4 * MEMORY // (4 * DIM * FRAMES)
LAYER = Layer(
    name="L1", dim=DIM, depth=1.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(1, 100)
)
MEASURES = (
    Measure(probe="logistic", metrics=("accuracy",)),
    Measure(probe="ridge", metrics=("accuracy",)),
)
L2 = {"logistic": (1.0, 1e-1), "ridge": (1.0, 1e-1)}


def labels(clip: int) -> torch.Tensor:
    """Return the class of each frame."""
    g = torch.Generator().manual_seed(clip)
    return torch.randint(0, CLASSES, (FRAMES,), generator=g)


def write_features(folder: Path) -> StoredFeatures:
    """Write a cache entry shard by shard; clips lie in another order than their numbers."""
    order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(0)).tolist()
    shards = [order[i : i + CLIPS_IN_SHARD] for i in range(0, CLIPS, CLIPS_IN_SHARD)]
    entry = Entry(folder=folder, shards=len(shards))
    centres = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(1))
    for number, shard in enumerate(shards):
        g = torch.Generator().manual_seed(1000 + number)
        frames = [centres[labels(c)] + 12 * torch.randn(FRAMES, DIM, generator=g) for c in shard]
        counts = torch.full((len(shard),), FRAMES)
        entry.write(number, {"L1.frames": torch.cat(frames), "L1.n_frames": counts})
    residency = Residency(torch.device("cpu"), 2 << 20)  # the features are read from disk
    return StoredFeatures(
        encoder="stored", layers=(LAYER,), entry=entry, shards=shards, residency=residency
    )


def units(clips: range) -> tuple[Units, torch.Tensor]:
    """Return every frame of some clips as a unit, and its class."""
    times = (np.arange(FRAMES) + 0.5) / 50
    y = torch.cat([labels(clip) for clip in clips])
    return Units(
        clip=np.repeat(np.array(clips), FRAMES),
        time_s=np.tile(times, len(clips)),
        labels=tuple(str(k) for k in y.tolist()),
    ), y


def memory_bytes() -> int:
    """Return what counts against RLIMIT_DATA: private memory, not files that are mapped."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmData:")[1].split()[0])


def solve(
    features: StoredFeatures, train: range, valid: range, *, stream: bool, folder: Path
) -> dict[str, list[Fitted]]:
    """Fit both probes, from features streamed into a scratch file or held in memory."""
    (train_units, y), (valid_units, y_valid) = units(train), units(valid)
    sources = [
        UnitFeatures(features=features, layer=0, units=some) for some in (train_units, valid_units)
    ]
    x, v = sources if stream else [gather(features, 0, s.units) for s in sources]
    return fit_layers(
        MEASURES,
        L2,
        train=[x],
        train_targets=y,
        valid=[v],
        valid_targets=y_valid.numpy(),
        room=Room(budget_bytes=0 if stream else None, folder=folder),
    )


def main(folder: Path) -> None:
    """Solve with a limit, then without, and compare."""
    torch.set_num_threads(1)
    reading._ELEMENTS_IN_FLIGHT = 1 << 18  # as small as the memory is: what is in hand is constant
    features = write_features(folder)
    train, valid = range(CLIPS * 7 // 8), range(CLIPS * 7 // 8, CLIPS)
    few = (range(4), range(4, 8))
    solve(features, *few, stream=True, folder=folder)  # libraries take what they never give back
    limit = memory_bytes() + MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        torch.empty(2 * MEMORY, dtype=torch.uint8).fill_(1)
        honest = False
    except RuntimeError:
        honest = True  # the limit holds: not even half of the features fits
    streamed = solve(features, train, valid, stream=True, folder=folder)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    held = solve(features, train, valid, stream=False, folder=folder)
    x = gather(features, 0, units(valid)[0])
    print(
        json.dumps(
            {
                "limit holds": honest,
                "features by memory": 4 * DIM * FRAMES * CLIPS / MEMORY,
                "left in the folder": [p.name for p in folder.glob("*.scratch")],
                "probes": {
                    probe: {
                        "strengths": [streamed[probe][0].l2, held[probe][0].l2],
                        "values": [streamed[probe][0].valid_value, held[probe][0].valid_value],
                        "weights": float(
                            (streamed[probe][0].path.weight - held[probe][0].path.weight).norm()
                            / held[probe][0].path.weight.norm()
                        ),
                        "same": float(
                            (
                                streamed[probe][0].scores(x).argmax(1)
                                == held[probe][0].scores(x).argmax(1)
                            )
                            .double()
                            .mean()
                        ),
                    }
                    for probe in streamed
                },
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
