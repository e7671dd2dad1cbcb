"""The modulation analysis as a stage of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product

from probe_bench import screen
from probe_bench.features import Features
from probe_bench.gather import Workshop
from probe_bench.lineup import Contestant
from probe_bench.modulation.analysis import measure
from probe_bench.modulation.controls import (
    HeardFeatures,
    LastLayer,
    can_hear,
    known_answers,
    shuffled,
)
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
    controls: bool = True,
) -> Iterator[Row]:
    """Measure how fast every layer of every encoder may change, on every corpus named.

    With `controls`, encoders of known cutoff go the same way, and the last layer of every subject with
    its clips shuffled against the sound.
    """
    if not corpora:
        return
    missing = list(_missing(contestants))
    notes.update({f"modulation on {name}: {said}": None for name in corpora for said in missing})
    framed = [contestant for contestant in contestants if contestant.has_frames]
    references = {name: Reference(surveys[name].corpus) for name in corpora}
    for name, reference in references.items():
        if not any(reference.corpus.clips[i].phones for i in reference.clips):
            notes[f"support of phones on {name}: no aligned phones"] = None
    bench = _Bench(
        references=references,
        features=features,
        stamp=stamp,
        shop=shop,
    )
    work = [*product([bench.rows], corpora, framed)]
    if controls:
        subjects = [contestant for contestant in framed if contestant.role == "subject"]
        for name, who in product(corpora, known_answers(contestants)):
            if can_hear(who, references[name]):
                work.append((bench.rows, name, who))
            else:
                notes[f"modulation on {name}: control {who.name} left out, clips too short"] = None
        work += product([bench.null_rows], corpora, subjects)
    yield from chain.from_iterable(_done(work, shop))


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """What the pieces of the analysis share."""

    references: Mapping[str, Reference]
    features: Mapping[tuple[str, str], Features]
    stamp: Stamp
    shop: Workshop

    def rows(self, corpus: str, who: Contestant) -> list[Row]:
        """Measure an encoder, a folder of features or a control."""
        with self.shop.ledger.time("modulation", encoder=who.name, corpus=corpus):
            own = self.features.get((who.name, corpus)) or self._heard(corpus, who)
            found = measure(own, self.references[corpus], seed=self.stamp.seed)
        if who.encoder:
            found = self._with_emphasis(found, corpus, who)
        return list(modulation_rows(found, who, corpus, self.stamp))

    def null_rows(self, corpus: str, who: Contestant) -> list[Row]:
        """Measure the last layer of an encoder with its clips shuffled."""
        null = shuffled(who)
        with self.shop.ledger.time("modulation", encoder=null.name, corpus=corpus):
            last = LastLayer(self.features[who.name, corpus])
            reference = self.references[corpus]
            found = measure(last, reference, seed=self.stamp.seed, shuffled=True)
        rows = modulation_rows(found, null, corpus, self.stamp)
        return [row for row in rows if row.metric in _NULL]

    def _heard(self, corpus: str, who: Contestant) -> Features:
        assert who.encoder
        return HeardFeatures(who.encoder, self.references[corpus], str(self.shop.device))

    def _with_emphasis(
        self, found: Sequence[LayerModulation], corpus: str, who: Contestant
    ) -> list[LayerModulation]:
        assert who.encoder
        clips, device = self.references[corpus].corpus, str(self.shop.device)
        with self.shop.ledger.time("emphasis", encoder=who.name, corpus=corpus):
            heard = emphasise(who.encoder, clips, seed=self.stamp.seed, device=device)
        return [replace(layer, emphasis=own) for layer, own in zip(found, heard, strict=True)]


def _done(
    work: Sequence[tuple[Callable[[str, Contestant], list[Row]], str, Contestant]], shop: Workshop
) -> list[list[Row]]:
    """Do the work side by side, with progress."""
    if not work:
        return []
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("modulation", total=len(work))

        def one(
            measured: Callable[[str, Contestant], list[Row]], corpus: str, who: Contestant
        ) -> list[Row]:
            bar.update(progress, description=f"modulation of {who.name}")
            rows = measured(corpus, who)
            bar.advance(progress)
            return rows

        return side_by_side([partial(one, *piece) for piece in work], shop.device)


def _missing(contestants: Sequence[Contestant]) -> Iterator[str]:
    """Say what cannot be measured of folders of features."""
    for contestant in contestants:
        if not contestant.has_frames:
            yield contestant.frameless
        elif not contestant.encoder:
            yield (
                f"emphasis of {contestant.name} left out, which needs the encoder itself: "
                "it has to hear rippled audio"
            )
