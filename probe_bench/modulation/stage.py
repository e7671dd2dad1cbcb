"""The modulation analysis as a stage of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, product

from probe_bench import screen
from probe_bench.features import Features
from probe_bench.gather import Workshop
from probe_bench.lineup import Contestant
from probe_bench.modulation.analysis import measure
from probe_bench.modulation.controls import HeardFeatures, known_answers, shuffled
from probe_bench.modulation.probing import emphasise
from probe_bench.modulation.reference import Reference
from probe_bench.modulation.results import LayerModulation
from probe_bench.parallel import side_by_side
from probe_bench.results import Stamp, modulation_rows
from probe_bench.rows import Row
from probe_bench.survey import Survey

__all__ = ["measure_modulation"]

_NULL = ("support_hz", "support_r2")  # what is told of shuffled clips


def measure_modulation(
    corpora: Sequence[str],
    contestants: Sequence[Contestant],
    surveys: Mapping[str, Survey],
    features: Mapping[tuple[str, str], Features],
    stamp: Stamp,
    shop: Workshop,
    notes: dict[str, None],
    *,
    controls: bool = False,
) -> Iterator[Row]:
    """Measure how fast every layer of every encoder may change, on every corpus named.

    With `controls`, encoders of known cutoff and the shuffled clips of every subject go the same way.
    """
    framed = [contestant for contestant in contestants if contestant.has_frames]
    notes.update(
        {
            f"modulation on {name}: {said}": None
            for name in corpora
            for said in _missing(contestants)
        }
    )
    references = {name: Reference(surveys[name].corpus) for name in corpora}
    known = known_answers(contestants) if controls else []
    nulls = [c for c in framed if c.role == "subject"] if controls else []
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("modulation", total=len(corpora) * len([*framed, *known, *nulls]))

        def done(
            what: Callable[[str, Contestant], list[Row]], name: str, who: Contestant
        ) -> list[Row]:
            bar.update(progress, description=f"modulation of {who.name}")
            rows = what(name, who)
            bar.advance(progress)
            return rows

        def of_encoder(name: str, who: Contestant) -> list[Row]:
            with shop.ledger.time("modulation", encoder=who.name, corpus=name):
                own = features.get((who.name, name)) or _heard(who, references[name], shop)
                found = measure(own, references[name], seed=stamp.seed)
            found = _with_emphasis(found, who, references[name], stamp, shop)
            return list(modulation_rows(found, who, name, stamp))

        def of_null(name: str, who: Contestant) -> list[Row]:
            with shop.ledger.time("modulation", encoder=shuffled(who).name, corpus=name):
                own = features[who.name, name]
                found = measure(own, references[name], seed=stamp.seed, shuffled=True)
            rows = modulation_rows(found, shuffled(who), name, stamp)
            return [row for row in rows if row.metric in _NULL]

        pieces = [
            partial(done, what, *pair)
            for what, who in ((of_encoder, [*framed, *known]), (of_null, nulls))
            for pair in product(corpora, who)
        ]
        found = side_by_side(pieces, shop.device) if pieces else []
    yield from chain.from_iterable(found)


def _missing(contestants: Sequence[Contestant]) -> Iterator[str]:
    """Say what cannot be measured of folders of features."""
    for contestant in contestants:
        if not contestant.has_frames:
            yield contestant.frameless
        elif not contestant.encoder:
            yield (
                f"{contestant.name} has no emphasis, which needs the encoder itself: it is heard by "
                "what it makes of rippled audio"
            )


def _heard(who: Contestant, reference: Reference, shop: Workshop) -> Features:
    """Encode what the reference holds, for a control that is not in the cache."""
    assert who.encoder
    return HeardFeatures(who.encoder, reference, str(shop.device))


def _with_emphasis(
    found: Sequence[LayerModulation],
    contestant: Contestant,
    reference: Reference,
    stamp: Stamp,
    shop: Workshop,
) -> list[LayerModulation]:
    """Add the emphasis of every layer, if there is an encoder to hear ripples."""
    if not contestant.encoder:
        return list(found)
    corpus = reference.corpus
    with shop.ledger.time("emphasis", encoder=contestant.name, corpus=corpus.name):
        heard = emphasise(contestant.encoder, corpus, seed=stamp.seed, device=str(shop.device))
    return [replace(layer, emphasis=own) for layer, own in zip(found, heard, strict=True)]
