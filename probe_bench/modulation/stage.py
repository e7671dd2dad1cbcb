"""The modulation analysis as a stage of a run."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, product

from probe_bench import screen
from probe_bench.features import Features
from probe_bench.gather import Workshop
from probe_bench.lineup import Contestant
from probe_bench.modulation.analysis import measure
from probe_bench.modulation.reference import Reference
from probe_bench.parallel import side_by_side
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
    framed = [contestant for contestant in contestants if contestant.has_frames]
    frameless = [c.frameless for c in contestants if not c.has_frames]
    notes.update({f"modulation on {name}: {said}": None for name in corpora for said in frameless})
    references = {name: Reference(surveys[name].corpus) for name in corpora}
    for name, reference in references.items():
        if not any(reference.corpus.clips[i].phones for i in reference.clips):
            notes[f"support of phones on {name}: no aligned phones"] = None
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("modulation", total=len(corpora) * len(framed))

        def rows(name: str, contestant: Contestant) -> list[Row]:
            bar.update(progress, description=f"modulation of {contestant.name}")
            with shop.ledger.time("modulation", encoder=contestant.name, corpus=name):
                found = measure(features[contestant.name, name], references[name], seed=stamp.seed)
            bar.advance(progress)
            return list(modulation_rows(found, contestant, name, stamp))

        pieces = [partial(rows, *pair) for pair in product(corpora, framed)]
        found = side_by_side(pieces, shop.device) if pieces else []
    yield from chain.from_iterable(found)
