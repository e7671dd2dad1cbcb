"""`leaks.csv`: one thing that two sides share a row."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

import pandas as pd

__all__ = ["GROUPS", "Kind", "Leak", "write_leaks"]

Kind = Literal["exact", "near", "speaker", "recording", "source"]

GROUPS: tuple[Kind, ...] = ("speaker", "recording", "source")
"""Labels that say where audio is from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """Something that two sides share.

    Attributes:
        kind: `exact`: the same samples; `near`: the same sound; else the label that is shared.
        task: Task whose parts share it; empty between corpora.
        corpus: Corpus of `clip`.
        fold: Number of the fold, from 0; None between corpora.
        clip: Clip on the one side; of a shared label the first that has it.
        part: `valid`, `test`; or `evaluation`.
        other_clip: Clip on the other side.
        other_part: `train`, `valid`; or `pretraining`.
        similarity: 1 for the same samples, 0 for unrelated sound; None for labels.
        overlap_s: Length of what is the same.
        offset_s: What stands at t in `clip` stands at t + `offset_s` in `other_clip`.
        note: How much more there is.
    """

    kind: Kind
    task: str
    corpus: str
    fold: int | None
    clip: str
    part: str
    other_clip: str
    other_part: str
    similarity: float | None
    overlap_s: float | None
    offset_s: float | None
    note: str

    @property
    def is_audio(self) -> bool:
        """Whether the audio itself is shared, not only a label."""
        return self.kind not in GROUPS

    def __str__(self) -> str:
        if not self.is_audio:
            return self.note
        how = "the same samples" if self.kind == "exact" else f"similarity {self.similarity:.2f}"
        return (
            f"{self.clip} is in {self.other_clip} ({how}, {self.overlap_s:.1f} s, "
            f"offset {self.offset_s:+.2f} s)"
        )


def write_leaks(leaks: Iterable[Leak], path: Path) -> None:
    """Write leaks as CSV; missing values are empty, a table without rows has its columns."""
    columns = [field.name for field in fields(Leak)]
    table = pd.DataFrame([astuple(leak) for leak in leaks], columns=columns)
    table["fold"] = table["fold"].astype("Int64")
    table.to_csv(path, index=False, float_format="%.4g", lineterminator="\n")
