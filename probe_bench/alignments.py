"""Time-aligned phone segments from the formats that aligners and corpora write.

Conventions:
    Every `*_segments` function is pure: text in, segments in seconds out, in the file's order. It
    raises ValueError for text that is not in its format; `read_phones` adds the file's name.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

from probe_bench.corpus import Segment
from probe_bench.errors import CorpusError

__all__ = [
    "arpabet",
    "arpabet_phone",
    "csv_segments",
    "decode",
    "phn_segments",
    "read_phones",
    "textgrid_segments",
    "xlabel_segments",
]

_TIERS = ("phones", "phone", "phonemes", "phoneme", "mau", "segments")
_STARTS = ("start_s", "start", "begin", "xmin")
_ENDS = ("end_s", "end", "xmax")
_LABELS = ("label", "phone", "phoneme", "text")
# Praat reads only free-standing numbers, strings in double quotes (a quote inside is doubled) and
# flags in angle brackets; everything else, such as `intervals [1]:`, is comment. That is why one
# reader serves the long and the short format.
_PRAAT_TOKEN = re.compile(
    r'"(?P<string>(?:[^"]|"")*)"'
    r"|(?<!\S)(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|<(?P<flag>\w+)>|(?P<comment>!.*)"
)


def read_phones(path: Path, sample_rate_hz: int) -> tuple[Segment, ...]:
    """Read one alignment file by its suffix: .csv, .TextGrid or .phn.

    Args:
        path: Alignment file, in any encoding that `decode` knows.
        sample_rate_hz: Rate of the audio; .phn files count samples.

    Raises:
        CorpusError: If the file is missing, of another kind or damaged.
    """
    try:
        text = decode(path.read_bytes())
        match path.suffix.lower():
            case ".csv":
                return csv_segments(text)
            case ".textgrid":
                return textgrid_segments(text)
            case ".phn":
                return phn_segments(text, sample_rate_hz)
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: not a readable alignment ({error})") from error
    raise CorpusError(f"{path}: unknown kind of alignment; expected .csv, .TextGrid or .phn")


def decode(data: bytes) -> str:
    """Decode text by its byte-order mark, else as UTF-8, else as Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def csv_segments(text: str) -> tuple[Segment, ...]:
    """Read a CSV with a header: start, end (seconds) and label, under their usual names.

    Where there is a `type` column, as the Montreal Forced Aligner writes, only phones are kept.
    """
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    names = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    start, end, label = (_column(names, known, text) for known in (_STARTS, _ENDS, _LABELS))
    kept = [row for row in rows if "type" not in names or row[names["type"]].strip() == "phones"]
    return _timed((float(row[start]), float(row[end]), row[label].strip()) for row in kept)


def textgrid_segments(text: str, tier: str | None = None) -> tuple[Segment, ...]:
    """Read the phone tier of a Praat TextGrid, long or short; empty intervals are left out.

    Args:
        text: Content of the file.
        tier: Name of the tier; by default `phones`, `phonemes`, `MAU` ... or the only one.

    Source:
        Praat manual, "TextGrid file formats".
    """
    tiers = dict(_tiers(text))
    if not tiers:
        raise ValueError("a TextGrid without interval tiers")
    if tier is None:
        likely = [n for n in tiers if n.lower() in _TIERS or n.lower().endswith("- phones")]
        tier = next(iter(likely or (tiers if len(tiers) == 1 else ())), None)
    if tier not in tiers:
        raise ValueError(f"tiers {', '.join(tiers)}; expected one named phones")
    return _timed(interval for interval in tiers[tier] if interval[2])


def phn_segments(text: str, sample_rate_hz: int) -> tuple[Segment, ...]:
    """Read TIMIT's .phn: a line for each phone with its first and last sample and its label."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if any(len(row) != 3 for row in rows):
        bad = next(row for row in rows if len(row) != 3)
        raise ValueError(f"line {' '.join(bad)!r}; expected START END LABEL")
    return _timed((int(a) / sample_rate_hz, int(b) / sample_rate_hz, label) for a, b, label in rows)


def xlabel_segments(text: str, times: Literal["start", "end"]) -> tuple[Segment, ...]:
    """Read an ESPS xlabel file: after the line `#`, a line is TIME COLOUR LABEL [MARKS].

    Args:
        text: Content of the file.
        times: Whether TIME is where a segment ends (as xlabel itself has it) or where it starts
            (as in the Berlin emotional speech database, whose last line only closes the one before).

    Returns:
        Segments with their first label word; labels may be empty.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if ["#"] not in lines:
        raise ValueError("no line # after the header; expected xlabel format")
    rows = lines[lines.index(["#"]) + 1 :]
    marks = [(float(row[0]), row[2] if len(row) > 2 else "") for row in rows]
    if times == "start":
        pairs = pairwise(marks)
        return _timed((start, end, label) for (start, label), (end, _) in pairs)
    starts = [0.0, *(time for time, _ in marks)]
    return _timed((start, end, label) for start, (end, label) in zip(starts, marks, strict=False))


def arpabet(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Reduce ARPABET segments to the 39 phones: no stress digit, no silence, no spoken noise."""
    named = ((s.start_s, s.end_s, arpabet_phone(s.label)) for s in segments)
    return _timed(segment for segment in named if segment[2])


def arpabet_phone(label: str) -> str:
    """Reduce one label, e.g. `AH0_B` to `AH`; empty for silence and noise."""
    phone = label.partition("_")[0].rstrip("012").upper()
    return "" if phone in ("SIL", "SP", "SPN", "NSN") else phone


def _timed(intervals: Iterable[tuple[float, float, str]]) -> tuple[Segment, ...]:
    """Make segments of the intervals that have a length (aligners write a few that have none)."""
    return tuple(Segment(start_s=a, end_s=b, label=label) for a, b, label in intervals if a < b)


def _column(names: dict[str, str], known: tuple[str, ...], text: str) -> str:
    """Find a column under one of its usual names."""
    for name in known:
        if name in names:
            return names[name]
    raise ValueError(
        f"columns {text.partition(chr(10))[0].strip()!r}; expected one of {', '.join(known)}"
    )


def _tiers(text: str) -> Iterator[tuple[str, list[tuple[float, float, str]]]]:
    """Yield name and intervals of every interval tier."""
    tokens = (match for match in _PRAAT_TOKEN.finditer(text) if match["comment"] is None)

    def string() -> str:
        return _token(tokens, "string")

    def number() -> float:
        return float(_token(tokens, "number"))

    if not string().startswith("ooTextFile") or string() != "TextGrid":
        raise ValueError("not a TextGrid in text format")
    number(), number(), _token(tokens, "flag")
    for _ in range(int(number())):
        kind, name = string(), string()
        number(), number()
        count = int(number())
        if kind == "IntervalTier":
            yield name, [(number(), number(), string().strip()) for _ in range(count)]
        else:
            for _ in range(count):
                number(), string()


def _token(tokens: Iterator[re.Match[str]], kind: str) -> str:
    """Take the next token, which must be of one kind."""
    token = next(tokens, None)
    if token is None or token[kind] is None:
        found = "the end" if token is None else repr(token[0][:40])
        raise ValueError(f"{found} where a {kind} should stand in a TextGrid")
    return str(token[kind]).replace('""', '"')
