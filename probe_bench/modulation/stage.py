"""The modulation analysis as a stage of a run."""

from collections.abc import Iterator, Mapping, Sequence

from probe_bench import screen
from probe_bench.features import Features
from probe_bench.gather import Workshop
from probe_bench.lineup import Contestant
from probe_bench.modulation.analysis import measure
from probe_bench.modulation.reference import Reference
from probe_bench.results import Stamp, modulation_rows
from probe_bench.rows import Row
from probe_bench.survey import Survey

__all__ = ["measure_modulation"]


def measure_modulation(
    corpora: Sequence[str],
    contestants: Sequence[Contestant],
    surveys: Mapping[str, Survey],
    features: Mapping[tuple[str, str], Features],
    stamp: Stamp,
    shop: Workshop,
    notes: dict[str, None],
) -> Iterator[Row]:
    """Measure how fast every layer of every encoder may change, on every corpus named."""
    if not corpora:
        return
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("modulation", total=len(corpora) * len(contestants))
        for name in corpora:
            reference = Reference(surveys[name].corpus)
            for contestant in contestants:
                bar.update(progress, description=f"modulation of {contestant.name}")
                if contestant.has_frames:
                    with shop.ledger.time("modulation", encoder=contestant.name, corpus=name):
                        found = measure(features[contestant.name, name], reference, seed=stamp.seed)
                    yield from modulation_rows(found, contestant, name, stamp)
                else:
                    notes[f"modulation on {name}: {contestant.frameless}"] = None
                bar.advance(progress)
