"""Alignment formats: one utterance written in each gives the same segments."""

from pathlib import Path

import pytest

from probe_bench.alignments import (
    arpabet,
    arpabet_phone,
    csv_segments,
    decode,
    phn_segments,
    read_phones,
    textgrid_segments,
    xlabel_segments,
)
from probe_bench.corpus import Segment
from probe_bench.errors import CorpusError

WANTED = [(0.1, 0.25, "sh"), (0.25, 0.5, 'i"y'), (0.5, 0.75, "ä")]

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.0
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "shie 1 2"
    item [2]:
        class = "TextTier"
        name = "bell"
        xmin = 0
        xmax = 1
        points: size = 1
        points [1]:
            number = 0.5
            mark = "ding"
    item [3]:
        class = "IntervalTier"
        name = "Phones"
        xmin = 0
        xmax = 1
        intervals: size = 5
        intervals [1]:
            xmin = 0
            xmax = 1e-1
            text = ""
        intervals [2]:
            xmin = 1e-1
            xmax = 0.25
            text = "sh"
        intervals [3]:
            xmin = 0.25
            xmax = 0.5
            text = "i""y"
        intervals [4]:
            xmin = 0.5
            xmax = 0.75
            text = "ä"
        intervals [5]:
            xmin = 0.75
            xmax = 1.0
            text = ""
"""
SHORT = """File type = "ooTextFile"
"TextGrid"
0
1.0
<exists>
2
"IntervalTier"
"words" ! a comment with 3 numbers
0
1
1
0
1
"shie"
"IntervalTier"
"phones"
0
1
4
0
0.1
""
0.1
0.25
"sh"
0.25
0.5
"i""y"
0.5
0.75
"ä"
"""


def plain(segments: tuple[Segment, ...]) -> list[tuple[float, float, str]]:
    return [(s.start_s, s.end_s, s.label) for s in segments]


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_textgrid_in_both_formats_and_any_encoding(text: str, encoding: str) -> None:
    assert plain(textgrid_segments(decode(text.encode(encoding)))) == WANTED


def test_textgrid_tier_by_name_and_unknown_tier() -> None:
    assert plain(textgrid_segments(SHORT, tier="words")) == [(0, 1, "shie")]
    with pytest.raises(ValueError, match="tiers words, sounds; expected one named phones"):
        textgrid_segments(SHORT.replace('"phones"', '"sounds"'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "where a string should stand"),
        ('"ooTextFile"\n"Pitch"\n0 1', "not a TextGrid"),
        (SHORT[: SHORT.index('"sh"')], "the end where a string"),
        (SHORT.replace("0.25", "oops"), "where a number should stand"),
    ],
)
def test_damaged_textgrid_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        textgrid_segments(text)


def test_csv_takes_usual_names_and_keeps_only_phones() -> None:
    own = 'start_s,end_s,label\n0.1,0.25,sh\n0.25,0.5,"i""y"\n0.5,0.75,ä\n'
    mfa = "Begin,End,Label,Type,Speaker\n0.1,0.5,she,words,a\n0.1,0.25,SH,phones,a\n"
    assert plain(csv_segments(own)) == WANTED
    assert plain(csv_segments(mfa)) == [(0.1, 0.25, "SH")]
    with pytest.raises(ValueError, match="expected one of end_s, end, xmax"):
        csv_segments("start,label\n0,a\n")


def test_phn_counts_samples() -> None:
    assert plain(phn_segments("1600 4000 sh\n4000 8000 iy\n8000 8000 q\n", 16000)) == [
        (0.1, 0.25, "sh"),
        (0.25, 0.5, "iy"),
    ]
    with pytest.raises(ValueError, match="expected START END LABEL"):
        phn_segments("0 1600\n", 16000)


def test_xlabel_times_as_ends_or_starts() -> None:
    text = (
        "signal x\nnfields 1\n#\n  0.10 -1 _t\n  0.25 -1 \t+sth\n  0.50 -1 a\t+lar\t2\n 0.75 -1 .\n"
    )
    assert plain(xlabel_segments(text, times="start")) == [
        (0.1, 0.25, "_t"),
        (0.25, 0.5, "+sth"),
        (0.5, 0.75, "a"),
    ]
    assert plain(xlabel_segments(text, times="end"))[0] == (0, 0.1, "_t")
    with pytest.raises(ValueError, match="no line #"):
        xlabel_segments("0.1 -1 a\n", times="end")


def test_arpabet_drops_stress_positions_and_silence() -> None:
    assert [arpabet_phone(p) for p in ("AH0_B", "T_E", "sil", "sp", "spn", "iy1")] == [
        "AH",
        "T",
        "",
        "",
        "",
        "IY",
    ]
    segments = csv_segments("start,end,label\n0,1,sil\n1,2,AH0\n2,3,AH1\n")
    assert plain(arpabet(segments)) == [(1, 2, "AH"), (2, 3, "AH")]


def test_read_phones_names_the_file(tmp_path: Path) -> None:
    good = tmp_path / "a.PHN"
    good.write_text("0 800 h#\n")
    assert plain(read_phones(good, 8000)) == [(0, 0.1, "h#")]
    bad = tmp_path / "b.TextGrid"
    bad.write_text("nothing")
    with pytest.raises(CorpusError, match=r"b\.TextGrid: not a readable alignment"):
        read_phones(bad, 16000)
    odd = tmp_path / "c.txt"
    odd.write_text("0 1 a")
    with pytest.raises(CorpusError, match=r"c\.txt: unknown kind of alignment"):
        read_phones(odd, 16000)
    with pytest.raises(CorpusError, match=r"none\.csv: not a readable alignment"):
        read_phones(tmp_path / "none.csv", 16000)
