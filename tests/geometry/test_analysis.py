"""From cached features to findings, with known answers on the way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.geometry import analysis
from probe_bench.geometry.abx import Token, triphones
from probe_bench.geometry.analysis import Visit, compare, measure
from probe_bench.geometry.results import Finding
from probe_bench.geometry.sample import Sample, draw

DIM = 6
Clips = list[Tensor]


@pytest.fixture
def corpus(made_corpus: Callable[..., Corpus]) -> Corpus:
    return made_corpus(n_clips=96)


@pytest.fixture
def layers(corpus: Corpus) -> dict[str, Clips]:
    """A layer of phones and speakers, a rotation of it, noise, and nothing, at 50 Hz."""
    rng = torch.Generator().manual_seed(0)
    names = sorted({s.label for clip in corpus for s in clip.phones or ()})
    phone, speaker = (
        torch.randn(len(names), DIM, generator=rng),
        torch.randn(12, DIM, generator=rng),
    )
    rich = []
    for i, clip in enumerate(corpus):
        said = torch.tensor([names.index(s.label) for s in clip.phones or ()])
        frames = 6 * phone[said].repeat_interleave(5, 0) + 5 * speaker[i % 12]
        rich.append(frames + 0.3 * torch.randn(100, DIM, generator=rng))
    turn = torch.linalg.qr(torch.randn(DIM, DIM, generator=rng))[0]
    return {
        "rich": rich,
        "turned": [3 * x @ turn + 1 for x in rich],
        "noise": [torch.randn(100, DIM, generator=rng) for _ in rich],
        "nothing": [torch.ones(100, DIM) for _ in rich],
    }


def measured(
    family: Sequence[Features], sample: Sample, anchors: Sequence[Visit] = ()
) -> dict[tuple[str, str, str, str], Finding]:
    """All findings by encoder, layer, metric and what else tells them apart."""
    return {
        (
            visit.encoder,
            visit.layer.name,
            f.metric,
            f.unit + (f.setting if f.probe == "cca" else ""),
        ): f
        for visit in measure(family, anchors, sample, seed=0)
        for f in visit.findings
    }


def test_labels_are_found_where_they_are(
    corpus: Corpus, layers: dict[str, Clips], made_features: Callable[..., Features]
) -> None:
    sample = draw(corpus, 0)
    found = measured([made_features(layers["rich"], layers["noise"])], sample)
    assert (found["made", "in", "pnmi", "frame"].number.value or 0) > 0.95
    assert abs(found["made", "L1", "pnmi", "frame"].number.value or 9) < 0.02
    assert (found["made", "in", "speaker_mi_bits", "clip"].number.value or 0) > 1.5
    assert abs(found["made", "L1", "speaker_mi_bits", "clip"].number.value or 9) < 0.3
    assert (found["made", "in", "alignment", "clip"].number.value or 9) < 0.5
    assert found["made", "L1", "alignment", "clip"].number.value == pytest.approx(2, abs=0.2)
    rank = found["made", "L1", "participation_ratio", "frame"]
    assert rank.number.value == pytest.approx(DIM, rel=0.01)
    assert (rank.n, rank.n_groups) == (96 * 50, 12)
    assert "k=100;subtracted_bits=" in found["made", "in", "phone_mi_bits", "frame"].setting


def test_intervals_hold_their_value(
    corpus: Corpus, layers: dict[str, Clips], made_features: Callable[..., Features]
) -> None:
    found = measured([made_features(layers["rich"])], draw(corpus, 0))
    assert len(found) == 12
    for finding in found.values():
        number = finding.number
        assert number.low is not None
        assert number.high is not None
        assert number.low <= (number.value or 0) <= number.high


def test_a_constant_layer_says_why_it_has_no_numbers(
    corpus: Corpus, layers: dict[str, Clips], made_features: Callable[..., Features]
) -> None:
    found = measured([made_features(layers["rich"], layers["nothing"])], draw(corpus, 0))
    for metric in ("effective_rank", "participation_ratio", "isoscore"):
        finding = found["made", "L1", metric, "frame"]
        assert finding.number.value is None
        assert finding.setting == "reason=the features are constant"
    other = "other=made;other_layer=in;reason=the features are constant"
    assert found["made", "L1", "svcca", "frame" + other].number.value is None


def test_too_few_units_are_refused(
    made_corpus: Callable[..., Corpus], made_features: Callable[..., Features]
) -> None:
    few = made_corpus(n_speakers=10, n_clips=20)
    wide = [torch.randn(100, 64) for _ in few]
    found = measured([made_features(wide)], draw(few, 0))
    assert found["made", "in", "effective_rank", "clip"].setting == (
        "reason=20 clips, at least 128 are needed, use more audio"
    )
    assert found["made", "in", "effective_rank", "frame"].number.value is not None
    assert found["made", "in", "pnmi", "frame"].setting == (
        "reason=1000 frames with a phone, at least 2000 are needed"
    )
    assert found["made", "in", "speaker_mi_bits", "clip"].setting == (
        "reason=20 clips of 10 speakers, at least 40 are needed"
    )


def test_without_labels_there_are_no_label_numbers_and_one_speaker_has_no_interval(
    corpus: Corpus, layers: dict[str, Clips], made_features: Callable[..., Features]
) -> None:
    clips = tuple(replace(clip, labels={"speaker": "one"}, phones=None) for clip in corpus)
    sample = draw(replace(corpus, clips=clips), 0)
    found = measured([made_features(layers["rich"], layers["noise"])], sample)
    metrics = {key[2] for key in found}
    assert not metrics & {"pnmi", "phone_mi_bits", "speaker_mi_bits"}
    rank = found["made", "in", "effective_rank", "frame"].number
    assert rank.value is not None
    assert rank.low is None
    (cca,) = (f for key, f in found.items() if key[2] == "svcca")
    assert "reason=one speaker, to fit and to test need two" in cca.setting


def test_pairs_of_layers(
    corpus: Corpus, layers: dict[str, Clips], made_features: Callable[..., Features]
) -> None:
    sample = draw(corpus, 0)
    mel = made_features(layers["rich"], encoder="logmel", rate_hz=50)
    own = made_features(layers["rich"], layers["turned"], encoder="e")
    twin = made_features(layers["noise"], layers["noise"], encoder="random:e")
    anchors = list(measure([mel], [], sample, seed=0))
    visits = [*anchors, *measure([own, twin], anchors, sample, seed=0)]
    cca = {
        (visit.encoder, visit.layer.name, f.metric, f.setting): f.number.value
        for visit in visits
        for f in visit.findings
        if f.probe == "cca"
    }
    assert sorted({(key[0], key[1], key[3]) for key in cca}) == [
        ("e", "L1", "other=e;other_layer=in"),
        ("e", "L1", "other=logmel;other_layer=in"),
        ("e", "L1", "other=random:e;other_layer=L1"),
        ("e", "in", "other=logmel;other_layer=in"),
        ("e", "in", "other=random:e;other_layer=in"),
        ("random:e", "L1", "other=logmel;other_layer=in"),
        ("random:e", "L1", "other=random:e;other_layer=in"),
        ("random:e", "in", "other=logmel;other_layer=in"),
    ]
    assert cca["e", "L1", "pwcca", "other=e;other_layer=in"] == pytest.approx(1, abs=1e-3)
    assert abs(cca["e", "in", "svcca", "other=random:e;other_layer=in"] or 9) < 0.05
    found = list(compare(visits, [("e", "e"), ("e", "random:e"), ("e", "logmel")], sample))
    alike = {(n, f.layer.name, f.setting): f.number.value or 0 for n, f in found}
    assert len(alike) == len(found) == 1 + 4 + 2
    assert alike["e", "in", "other=e;other_layer=L1"] == pytest.approx(1, abs=1e-4)
    assert abs(alike["e", "L1", "other=random:e;other_layer=in"]) < 0.05


def test_abx_is_asked_of_every_layer(
    corpus: Corpus,
    layers: dict[str, Clips],
    made_features: Callable[..., Features],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def stand_in(
        features: Features,
        layer: int,
        tokens: Sequence[Token],
        part: Mapping[str, int],
        condition: str,
        seed: int,
    ) -> tuple[Float[Tensor, " replicates"], int]:
        asked.append((features.encoder, layer, condition, seed))
        clips = dict(zip(sample.clips, sample.fold.tolist(), strict=True))
        assert {token.speaker: clips[token.clip] for token in tokens} == part
        return torch.tensor([0.1, *(0.1 + 0.001 * k for k in part.values())]), len(tokens)

    monkeypatch.setattr(analysis, "abx_errors", stand_in)
    sample = draw(corpus, 0)
    tokens = triphones(corpus, sample.clips)
    features = made_features(layers["rich"], layers["noise"])
    visits = list(measure([features], [], sample, seed=3, tokens=tokens))
    assert asked == [("made", i, c, 3) for i in (0, 1) for c in ("within", "across")]
    found = [f for visit in visits for f in visit.findings if f.metric == "abx_error"]
    assert [f.setting for f in found] == ["speaker=within", "speaker=across"] * 2
    assert {f.n for f in found} == {96 * 18}
    for number in (f.number for f in found):
        assert number.value == pytest.approx(0.1)
        assert number.low is not None
        assert number.low < 0.1
