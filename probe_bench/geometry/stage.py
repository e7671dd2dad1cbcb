"""The geometry analysis as a stage of a run: which encoders are compared, and its rows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from probe_bench import screen
from probe_bench.features import Features
from probe_bench.gather import Workshop
from probe_bench.geometry.abx import HOW_TO_GET_IT, Token, installed, triphones
from probe_bench.geometry.analysis import Visit, compare, measure
from probe_bench.geometry.results import Finding
from probe_bench.geometry.sample import draw
from probe_bench.lineup import Contestant, twin_of
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
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("geometry", total=len(corpora) * (len(families(framed)) + 1))
        for name in corpora:
            corpus = surveys[name].corpus
            for contestant in contestants:
                if not contestant.has_frames:
                    notes[f"geometry on {name}: {contestant.frameless}"] = None
            sample = draw(corpus, stamp.seed)
            tokens = _tokens(triphones(corpus, sample.clips), name, notes)
            found: dict[str, list[Finding]] = defaultdict(list)
            visits: list[Visit] = []
            for family in families(framed):
                head = family[0]
                bar.update(progress, description=f"geometry of {head.name}")
                anchors = [v for v in visits if v.encoder == _nearest_logmel(head, framed)]
                own = [features[member.name, name] for member in family]
                with shop.ledger.time("geometry", encoder=head.name, corpus=name):
                    new = list(measure(own, anchors, sample, seed=stamp.seed, tokens=tokens))
                visits += new
                for visit in new:
                    found[visit.encoder] += visit.findings
                bar.advance(progress)
            bar.update(progress, description="geometry of all")
            with shop.ledger.time("geometry", encoder="all", corpus=name):
                for encoder, finding in compare(visits, encoder_pairs(framed), sample):
                    found[encoder].append(finding)
            for contestant in framed:
                yield from geometry_rows(found[contestant.name], contestant, name, stamp)
            bar.advance(progress)


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
