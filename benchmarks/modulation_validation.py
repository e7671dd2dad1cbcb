"""The data sheet of the modulation analysis: what it reads of encoders whose cutoff is known.

    python benchmarks/modulation_validation.py [--smoke] [--corpus NAME[=FOLDER]] [--out FILE.csv]

Every family of `known_cells.py` x cutoffs of 1 to 20 Hz x 100 to 12.5 tokens/s x 1 to 10 min of audio. In
every repeat other speakers are drawn (24 of 72) and with them clips, noise, projections, networks and
codes. One line of the file is one measurement, written as it is made; the same command goes on where it
was stopped. `modulation_sheet.py` turns the file into the table and the figure of the documentation.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from known_cells import Cell, cells
from modulation_sheet import report
from sheet_lines import COLUMNS, Line, read_lines
from torch import Tensor

from probe_bench.cache import default_root
from probe_bench.corpora import load_corpus
from probe_bench.corpus import Corpus
from probe_bench.modulation import Estimate, Reference
from probe_bench.modulation.probing import emphasise_stretches
from probe_bench.modulation.readout import readout
from probe_bench.modulation.results import Gain, Support
from probe_bench.modulation.stretches import cut_stretches
from probe_bench.modulation.support import support
from probe_bench.modulation.tokens import flatten, without_position_mean
from probe_bench.studies.known_cutoffs import codebook
from probe_bench.studies.made import FRAME_RATE_HZ, MadeEncoder, Part, hear

SPEAKERS, CODES = 24, 128


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """All encoders of one token rate on one draw of speakers."""

    kind: str
    per_token: int
    minutes: float
    repeat: int

    @property
    def frame_rate_hz(self) -> float:
        """Tokens per second."""
        return FRAME_RATE_HZ / self.per_token


def sittings() -> Iterator[Sitting]:
    """What the full sheet holds: most repeats where intervals are judged."""
    repeats = {1: 3, 2: 6, 4: 3, 8: 6, 16: 20}
    for per_token, n in repeats.items():
        for i in range(n):
            yield Sitting(kind="support", per_token=per_token, minutes=5, repeat=i)
    for minutes, i in product((1, 2, 10), range(2)):
        yield Sitting(kind="support", per_token=2, minutes=minutes, repeat=i)
    for per_token, i in product((2, 8), range(6)):
        yield Sitting(kind="emphasis", per_token=per_token, minutes=8 / 3, repeat=i)


def smoke() -> Iterator[Sitting]:
    """One sitting of either kind."""
    yield Sitting(kind="support", per_token=2, minutes=1, repeat=0)
    yield Sitting(kind="emphasis", per_token=8, minutes=8 / 3, repeat=0)


def drawn(corpus: Corpus, repeat: int) -> Corpus:
    """Draw speakers; of a small corpus two thirds of them."""
    names = sorted({clip.labels["speaker"] for clip in corpus})
    n = min(SPEAKERS, math.ceil(2 * len(names) / 3))
    kept = set(np.random.default_rng([11, repeat]).choice(names, n, replace=False))
    return replace(corpus, clips=tuple(c for c in corpus if c.labels["speaker"] in kept))


def supports(corpus: Corpus, sitting: Sitting) -> Iterator[Line]:
    """Measure the support of every encoder."""
    reference = Reference(corpus, max_minutes=sitting.minutes)
    heard = [hear(waveform) for waveform in reference.waveforms(16_000)]
    codes = codebook(heard, CODES, sitting.repeat)
    for cell in cells(sitting.per_token):
        found = _support(cell.part(sitting.repeat, codes), heard, reference, sitting.repeat)
        yield line(sitting, cell, cell.support_hz, found, found.r2.value)


def _support(
    part: Part, heard: Sequence[Float[Tensor, "_ 64"]], reference: Reference, seed: int
) -> Support:
    tokens = without_position_mean(flatten([part.make(frames[None])[0] for frames in heard]))
    bands = reference.bands(part.layer("L1"))
    sums = readout(tokens, bands, reference.group, n_groups=reference.n_groups)
    return support(sums, seed=seed)


def emphases(corpus: Corpus, sitting: Sitting) -> Iterator[Line]:
    """Measure the emphasis of every encoder, all in two passes over the same sound."""
    stretches = cut_stretches(corpus, MadeEncoder({}))
    codes = codebook(list(hear(stretches.waveform)), CODES, sitting.repeat)
    listed = list(cells(sitting.per_token))
    parts = {str(i): cell.part(sitting.repeat, codes) for i, cell in enumerate(listed)}
    found = emphasise_stretches(MadeEncoder(parts), stretches, seed=sitting.repeat)
    for cell, emphasis in zip(listed, found, strict=True):
        gain = emphasis.weighted
        yield line(sitting, cell, cell.emphasis_hz, gain, gain.excess)


def line(
    sitting: Sitting, cell: Cell, true_hz: float, found: Support | Gain, strength: float | None
) -> Line:
    """Say what came out, and whether the intervals hold the truth."""
    total = replace(found.hz, ci_low=found.total_low_hz, ci_high=found.total_high_hz)
    told = found.hz.value is not None
    return Line(
        kind=sitting.kind,
        family=cell.family,
        true_hz=true_hz,
        frame_rate_hz=sitting.frame_rate_hz,
        minutes=sitting.minutes,
        repeat=sitting.repeat,
        outcome=_outcome(found),
        hz=found.hz.value if told else None,
        ci_low=found.hz.ci_low,
        ci_high=found.hz.ci_high,
        holds=_holds(found.hz, true_hz) if told else None,
        total_holds=_holds(total, true_hz) if told else None,
        strength=strength,
    )


def _outcome(found: Support | Gain) -> str:
    if found.hz.value is None:
        return "refused"
    return {"": "read", "at least": "beyond", "at most": "below"}[found.hz.bound]


def _holds(estimate: Estimate, true_hz: float) -> bool:
    """Whether an interval, open where an end is missing, holds the truth."""
    low, high = estimate.ci_low or 0.0, estimate.ci_high or math.inf
    return low <= true_hz <= high


def main() -> None:
    """Measure what is not yet in the file, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="speech", help="NAME or NAME=FOLDER, with speakers")
    parser.add_argument("--smoke", action="store_true", help="two sittings, about a minute")
    parser.add_argument("--out", type=Path, default=Path("modulation_sheet.csv"))
    o = parser.parse_args()
    torch.set_num_threads(1)
    corpus = load_corpus(o.corpus, default_root())
    done = {line.sitting for line in read_lines(o.out)} if o.out.exists() else set()
    planned = list(smoke() if o.smoke else sittings())
    with o.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not done:
            writer.writeheader()
        for number, sitting in enumerate(planned):
            key = (sitting.kind, sitting.frame_rate_hz, round(sitting.minutes, 2), sitting.repeat)
            if key in done:
                continue
            start = time.process_time()
            measure = supports if sitting.kind == "support" else emphases
            lines = list(measure(drawn(corpus, sitting.repeat), sitting))
            writer.writerows(each.as_row() for each in lines)
            file.flush()
            spent = time.process_time() - start
            print(f"{number + 1}/{len(planned)} {key}: {len(lines)} in {spent:.0f} s", flush=True)
    report(o.out)


if __name__ == "__main__":
    main()
