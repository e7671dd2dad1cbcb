"""The geometry analysis as a stage of a run: which encoders are compared, and its rows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

from probe_bench import screen
from probe_bench.features import Features
from probe_bench.gather import Workshop
from probe_bench.geometry.abx import HOW_TO_GET_IT, Token, installed, triphones
from probe_bench.geometry.analysis import Visit, compare, measure
from probe_bench.geometry.results import Finding
from probe_bench.geometry.sample import Sample, draw
from probe_bench.lineup import Contestant, twin_of
from probe_bench.parallel import side_by_side
from probe_bench.results import Stamp, geometry_rows
from probe_bench.rows import Row
from probe_bench.survey import Survey

__all__ = ["encoder_pairs", "families", "map_geometry"]


def map_geometry(
    corpora: Sequence[str],
    contestants: Sequence[Contestant],
    surveys: Mapping[str, Survey],
    features: Mapping[tuple[str, str], Features],
    stamp: Stamp,
    shop: Workshop,
    notes: dict[str, None],
) -> Iterator[Row]:
    """Measure the geometry of every encoder on every corpus that is analysed, and compare them."""
    framed = [contestant for contestant in contestants if contestant.has_frames]
    if not corpora or not framed:
        return
    frameless = [c.frameless for c in contestants if not c.has_frames]
    notes.update({f"geometry on {name}: {said}": None for name in corpora for said in frameless})
    maps = []
    for name in corpora:
        corpus = surveys[name].corpus
        sample = draw(corpus, stamp.seed)
        tokens = _tokens(triphones(corpus, sample.clips), name, notes)
        maps.append(
            _Map(
                corpus=name,
                sample=sample,
                tokens=tokens,
                contestants=framed,
                features=features,
                shop=shop,
                seed=stamp.seed,
            )
        )
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("geometry", total=len(maps) * (len(families(framed)) + 1))

        def measured(one: _Map, family: Sequence[Contestant]) -> list[Visit]:
            bar.update(progress, description=f"geometry of {family[0].name}")
            found = one.measure(family)
            bar.advance(progress)
            return found

        # Log-mel first: the others are compared with it.
        for are_anchors in (True, False):
            wanted = [f for f in families(framed) if (f[0].role == "logmel") is are_anchors]
            pairs = list(product(maps, wanted))
            found = side_by_side([partial(measured, *pair) for pair in pairs], shop.device)
            for (one, _), visits in zip(pairs, found, strict=True):
                one.visits += visits
        for one in maps:
            bar.update(progress, description="geometry of all")
            yield from one.rows(stamp)
            bar.advance(progress)


@dataclass(kw_only=True)
class _Map:
    """The geometry of all encoders on one corpus; `visits` gather."""

    corpus: str
    sample: Sample
    tokens: Sequence[Token]
    contestants: Sequence[Contestant]
    features: Mapping[tuple[str, str], Features]
    shop: Workshop
    seed: int
    visits: list[Visit] = field(default_factory=list)

    def measure(self, family: Sequence[Contestant]) -> list[Visit]:
        """Measure an encoder and its twin; the log-mel beside them must be there."""
        head = family[0]
        anchors = [v for v in self.visits if v.encoder == _nearest_logmel(head, self.contestants)]
        own = [self.features[member.name, self.corpus] for member in family]
        with self.shop.ledger.time("geometry", encoder=head.name, corpus=self.corpus):
            return list(measure(own, anchors, self.sample, seed=self.seed, tokens=self.tokens))

    def rows(self, stamp: Stamp) -> Iterator[Row]:
        """Compare all layers and say everything that was found, encoder by encoder."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for visit in self.visits:
            found[visit.encoder] += visit.findings
        with self.shop.ledger.time("geometry", encoder="all", corpus=self.corpus):
            for encoder, finding in compare(
                self.visits, encoder_pairs(self.contestants), self.sample
            ):
                found[encoder].append(finding)
        for contestant in self.contestants:
            yield from geometry_rows(found[contestant.name], contestant, self.corpus, stamp)


def _tokens(tokens: list[Token], corpus: str, notes: dict[str, None]) -> list[Token]:
    """Return what ABX is to score: nothing where fastabx is not installed, with a note."""
    if tokens and not installed():
        notes[f"geometry on {corpus}: {HOW_TO_GET_IT}"] = None
        return []
    return tokens


def families(contestants: Sequence[Contestant]) -> list[list[Contestant]]:
    """Group every encoder with its random twin; log-mel first, for others are compared with it."""
    named = {contestant.name: contestant for contestant in contestants}
    taken: set[str] = set()
    found = []
    for contestant in sorted(contestants, key=lambda c: (c.role != "logmel", c.role == "random")):
        if contestant.name not in taken:
            twin = named.get(twin_of(contestant.name))
            found.append([contestant, *([twin] if twin else [])])
            taken |= {member.name for member in found[-1]}
    return found


def encoder_pairs(contestants: Sequence[Contestant]) -> list[tuple[str, str]]:
    """List who is compared with whom by CKA.

    Every encoder with itself and with the log-mel of the nearest frame rate; those under test with
    their twins and with each other.
    """
    names = [contestant.name for contestant in contestants]
    subjects = [contestant for contestant in contestants if contestant.role == "subject"]
    pairs = [(name, name) for name in names]
    pairs += [(c.name, logmel) for c in contestants if (logmel := _nearest_logmel(c, contestants))]
    for i, subject in enumerate(subjects):
        others = [twin_of(subject.name), *(later.name for later in subjects[i + 1 :])]
        pairs += [(subject.name, other) for other in others if other in names]
    return pairs


def _nearest_logmel(contestant: Contestant, contestants: Sequence[Contestant]) -> str:
    """Name the log-mel whose frame rate is nearest; empty if there is none other."""
    rate_hz = max(layer.frame_rate_hz for layer in contestant.layers)
    logmels = [c for c in contestants if c.role == "logmel" and c.name != contestant.name]
    if contestant.role == "logmel" or not logmels:
        return ""
    return min(logmels, key=lambda c: abs(c.layers[0].frame_rate_hz - rate_hz)).name
