"""Everything that is measured of one layer by itself."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.geometry.hypersphere import alignment, on_sphere, uniformity
from probe_bench.geometry.information import FRAME_CODES, codes, information, tables
from probe_bench.geometry.results import Finding, Subject
from probe_bench.geometry.sample import Sample
from probe_bench.geometry.spectrum import (
    Moments,
    effective_rank,
    eigenvalues,
    isoscore,
    mean_cosine,
    moments,
    participation_ratio,
)

__all__ = ["measure_layer"]

_UNITS_PER_DIM = 2  # of fewer, the rank would be the sample's, not the representation's
_FRAMES_PER_CODE = 20
_CLIPS_PER_SPEAKER = 4


def measure_layer(
    layer: Layer,
    x: Float[Tensor, "clips rounds dim"],
    clips: Float[Tensor, "clips dim"],
    found: Moments,
    sample: Sample,
    seed: int,
) -> Iterator[Finding]:
    """Measure one layer.

    Args:
        layer: The layer.
        x: Its sampled frames.
        clips: Its clip means.
        found: Moments of the frames.
        sample: What was sampled.
        seed: Seed of k-means.
    """
    n_frames, n_groups = x.shape[0] * x.shape[1], sample.n_groups
    yield from _ranks(layer, found, n_groups, "frame")
    cosine = Subject(layer=layer, probe="cosine", unit="frame", n=n_frames, n_groups=n_groups)
    yield cosine.found("mean_cosine", mean_cosine(x, sample.fold))
    yield from _ranks(layer, moments(clips, sample.fold), n_groups, "clip")
    yield from _sphere(layer, clips, sample)
    yield from _phones(layer, x, sample, seed)
    yield from _speakers(layer, clips, sample, seed)


def _ranks(layer: Layer, found: Moments, n_groups: int, unit: str) -> Iterator[Finding]:
    n = int(found.n.sum())
    subject = Subject(layer=layer, probe="spectrum", unit=unit, n=n, n_groups=n_groups)
    names = ("effective_rank", "participation_ratio", "isoscore")
    variances = eigenvalues(found) if n >= _UNITS_PER_DIM * layer.dim else None
    reason = f"{n} {unit}s, at least {_UNITS_PER_DIM * layer.dim} are needed, use more audio"
    if variances is not None and not float(variances[0].sum()) > 0:
        variances, reason = None, "the features are constant"
    if variances is None:
        yield from (subject.plain(name, None, reason=reason) for name in names)
        return
    yield subject.found(names[0], effective_rank(variances), "log")
    yield subject.found(names[1], participation_ratio(variances), "log")
    if layer.dim > 1:
        yield subject.found(names[2], isoscore(variances))


def _sphere(layer: Layer, clips: Float[Tensor, "clips dim"], sample: Sample) -> Iterator[Finding]:
    subject = Subject(
        layer=layer, probe="sphere", unit="clip", n=len(clips), n_groups=sample.n_groups
    )
    unit_vectors = on_sphere(clips)
    if sample.group_label != "clip":
        distance = alignment(unit_vectors, sample.group, sample.fold)
        yield subject.found("alignment", distance, positive=sample.group_label)
    yield subject.found("uniformity", uniformity(unit_vectors, sample.fold))


def _phones(
    layer: Layer, x: Float[Tensor, "clips rounds dim"], sample: Sample, seed: int
) -> Iterator[Finding]:
    """Codes of frames against phones, where there are any."""
    # Round after round: what k-means picks evenly from that is of all clips and of all their parts.
    label, rows = sample.phone.T.flatten(), x.transpose(0, 1).flatten(0, 1)
    known = label >= 0
    if not known.any():
        return
    n, k = int(known.sum()), FRAME_CODES
    subject = Subject(layer=layer, probe="kmeans", unit="frame", n=n, n_groups=sample.n_groups)
    if n < _FRAMES_PER_CODE * k:
        reason = f"{n} frames with a phone, at least {_FRAMES_PER_CODE * k} are needed"
        yield from (subject.plain(m, None, reason=reason) for m in ("phone_mi_bits", "pnmi"))
        return
    fold = sample.fold.expand(x.shape[1], -1).flatten()
    found = codes(rows[known.to(rows.device)], k, seed)
    about = information(tables(found, label[known].numpy(), fold[known].numpy()))
    subtracted = f"{about.expected_bits:.4g}"
    yield subject.found("phone_mi_bits", about.bits, k=k, subtracted_bits=subtracted)
    yield subject.found("pnmi", about.normalised, k=k)


def _speakers(
    layer: Layer, clips: Float[Tensor, "clips dim"], sample: Sample, seed: int
) -> Iterator[Finding]:
    """Codes of clip means, as many as there are speakers, against the speakers."""
    known = sample.speaker >= 0
    n, k = int(known.sum()), int(sample.speaker.max()) + 1
    if k < 2:
        return
    subject = Subject(layer=layer, probe="kmeans", unit="clip", n=n, n_groups=sample.n_groups)
    if n < _CLIPS_PER_SPEAKER * k:
        reason = f"{n} clips of {k} speakers, at least {_CLIPS_PER_SPEAKER * k} are needed"
        yield subject.plain("speaker_mi_bits", None, reason=reason)
        return
    found = codes(clips[known.to(clips.device)], k, seed)
    label, fold = sample.speaker[known].numpy(), sample.fold[known].numpy()
    about = information(tables(found, label, fold))
    subtracted = f"{about.expected_bits:.4g}"
    yield subject.found("speaker_mi_bits", about.bits, k=k, subtracted_bits=subtracted)
