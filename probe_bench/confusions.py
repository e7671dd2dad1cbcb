"""What is taken for what: counts of every pair of reference and hypothesis.

Phone strings are aligned by jiwer; an empty reference is an insertion, an empty hypothesis a deletion.
"""

from collections import Counter
from collections.abc import Iterator

import jiwer
import pandas as pd

from probe_bench.scoring import Predictions

__all__ = ["confusions"]


def confusions(predictions: Predictions) -> pd.DataFrame | None:
    """Count pairs at the layer picked on validation data, frequent ones first.

    Args:
        predictions: Of single classes or phone strings; `best` is the last layer.

    Returns:
        Columns `reference`, `hypothesis` and `count`, hits included; None for tags and trials.
    """
    targets, predicted = predictions.targets, predictions.predicted[-1]
    if targets.ndim != 1 or targets.dtype.kind not in "iO":
        return None
    if targets.dtype.kind == "O":
        counts = Counter(_aligned(targets.tolist(), predicted.tolist()))
    else:
        names = (*predictions.classes, "")
        counts = Counter((names[t], names[p]) for t, p in zip(targets, predicted, strict=True))
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return pd.DataFrame(
        [(reference, hypothesis, count) for (reference, hypothesis), count in rows],
        columns=["reference", "hypothesis", "count"],
    )


def _aligned(references: list[str], hypotheses: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of all alignments, phone by phone."""
    found = jiwer.process_words(references, hypotheses)
    clips = zip(found.references, found.hypotheses, found.alignments, strict=True)
    for reference, hypothesis, chunks in clips:
        for chunk in chunks:
            said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            yield from zip(said or [""] * len(heard), heard or [""] * len(said), strict=True)
