"""Geometry of every layer of some encoders on one corpus.

A layer is read once. Its sampled frames (at most 16 384, whatever the corpus) serve ranks, isotropy,
codes, the whitening of CCA and the Gram matrices of CKA; its clip means, which the cache holds, serve
what is asked of clips. An encoder and its random twin go through their layers side by side, so that
CCA finds both; what CKA compares is kept, about 4 MB a layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.features import Features
from probe_bench.geometry.abx import CONDITIONS, Token, abx_errors, count_cells
from probe_bench.geometry.cca import Canonical, Reduced, canonical, reduce
from probe_bench.geometry.cka import FEWEST_CLIPS, cka, grams, hsic
from probe_bench.geometry.layer import measure_layer
from probe_bench.geometry.results import Finding, Subject
from probe_bench.geometry.sample import Sample, embeddings, picks
from probe_bench.geometry.spectrum import Moments, moments

__all__ = ["Visit", "compare", "measure"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Visit:
    """What stays of a layer once it was read.

    Attributes:
        encoder: Whose layer.
        layer: The layer.
        findings: What was measured.
        gram: For CKA; None if there are too few clips.
        halves: For CCA, as each half of the independent units sees it; empty if there is one unit.
    """

    encoder: str
    layer: Layer
    findings: tuple[Finding, ...]
    gram: Float[Tensor, "batches rounds batch batch"] | None
    halves: tuple[Reduced, ...]


def measure(
    family: Sequence[Features],
    anchors: Sequence[Visit],
    sample: Sample,
    *,
    seed: int,
    tokens: Sequence[Token] = (),
) -> Iterator[Visit]:
    """Measure every layer of an encoder and of its twin, if there is one.

    By CCA each layer is compared with its encoder's first and with the anchors, and each of the
    encoder with the twin's of the same name.

    Args:
        family: An encoder, then its random twin.
        anchors: Layers that all are compared with: log-mel.
        sample: What to read.
        seed: Seed of k-means and of the subsampling of ABX.
        tokens: Triphones to score by ABX; none if it is not to be done.

    Yields:
        Layers, those of one depth side by side.
    """
    first: dict[str, Visit] = {}
    for i in range(max(len(features.layers) for features in family)):
        here = [_visit(each, i, sample, seed, tokens) for each in family if i < len(each.layers)]
        for visit in here:
            start = first.setdefault(visit.encoder, visit)
            others = [*([start] if i else []), *anchors]
            if visit is here[0]:
                others += [twin for twin in here[1:] if twin.layer.name == visit.layer.name]
            pairs = [f for other in others for f in _similarity(visit, other, sample)]
            yield replace(visit, findings=(*visit.findings, *pairs))


def _visit(
    features: Features, index: int, sample: Sample, seed: int, tokens: Sequence[Token]
) -> Visit:
    """Read one layer and measure all that needs no other."""
    layer = features.layers[index]
    x, clips = picks(features, index, sample), embeddings(features, index, sample)
    found = moments(x, sample.fold)
    findings = [
        *measure_layer(layer, x, clips, found, sample, seed),
        *_abx(features, index, sample, tokens, seed),
    ]
    return Visit(
        encoder=features.encoder,
        layer=layer,
        findings=tuple(findings),
        gram=grams(x) if len(x) >= FEWEST_CLIPS else None,
        halves=_halves(x, found, sample),
    )


def _halves(
    x: Float[Tensor, "clips rounds dim"], found: Moments, sample: Sample
) -> tuple[Reduced, ...]:
    """Whiten a layer by the even parts of the jackknife, then by the odd ones."""
    if sample.n_folds < 2:
        return ()
    rows = x.flatten(0, 1)
    halves = []
    for parity in (0, 1):
        fit = (sample.fold % 2 == parity)[:, None].expand(x.shape[:2]).flatten()
        weights = (torch.arange(sample.n_folds) % 2 == parity).double()
        halves.append(reduce(rows, fit, found.scatter(weights)))
    return tuple(halves)


def _similarity(visit: Visit, other: Visit, sample: Sample) -> list[Finding]:
    """SVCCA and PWCCA of a layer with another one."""
    if sample.n_folds < 2:
        found = Canonical(reason=f"one {sample.group_label}, to fit and to test need two")
    else:
        found = canonical(visit.halves, other.halves)
    n = sample.time_s.numel()
    subject = Subject(layer=visit.layer, probe="cca", unit="frame", n=n, n_groups=sample.n_groups)
    whom = {"other": other.encoder, "other_layer": other.layer.name, "reason": found.reason}
    return [
        subject.plain("svcca", found.svcca, **whom),
        subject.plain("pwcca", found.pwcca, **whom),
    ]


def _abx(
    features: Features, index: int, sample: Sample, tokens: Sequence[Token], seed: int
) -> Iterator[Finding]:
    fold = dict(zip(sample.clips, sample.fold.tolist(), strict=True))
    part = {token.speaker: fold[token.clip] for token in tokens}
    for condition in CONDITIONS:
        if count_cells(tokens, condition):
            errors, n = abx_errors(features, index, tokens, part, condition, seed)
            subject = Subject(
                layer=features.layers[index],
                probe="abx",
                unit="frame",
                n=n,
                n_groups=sample.n_groups,
            )
            yield subject.found("abx_error", errors, speaker=condition)


def compare(
    visits: Sequence[Visit], pairs: Sequence[tuple[str, str]], sample: Sample
) -> Iterator[tuple[str, Finding]]:
    """Compare layers by CKA.

    Args:
        visits: All layers of all encoders.
        pairs: Names of the encoders to compare; of one with itself, each pair of layers stands once.
        sample: What was read.

    Yields:
        The first encoder's name and what was found of its layer.
    """
    visits = [visit for visit in visits if visit.gram is not None]
    if not visits:
        return
    layers = [visit.gram for visit in visits if visit.gram is not None]
    alike = cka(hsic(layers, sample.fold))
    n = layers[0].shape[:3].numel()
    for name, other_name in pairs:
        mine = [i for i, visit in enumerate(visits) if visit.encoder == name]
        theirs = [i for i, visit in enumerate(visits) if visit.encoder == other_name]
        for i in mine:
            subject = Subject(
                layer=visits[i].layer, probe="cka", unit="frame", n=n, n_groups=sample.n_groups
            )
            for j in (j for j in theirs if name != other_name or j > i):
                whom = {"other": other_name, "other_layer": visits[j].layer.name}
                yield name, subject.found("cka", alike[:, i, j], "fisher", **whom)
