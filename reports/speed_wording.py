"""How fast each encoder follows, in one sentence."""

import math
from dataclasses import dataclass, replace

from probe_bench.reports.layers import in_words
from probe_bench.reports.metrics import Score, metric_text
from probe_bench.reports.speed_facts import Reading, SpeedFacts

__all__ = ["SpeedLine", "amount", "speed_line"]

THIN, FIRM = "\u202f", "\u00a0"  # neither breaks a line
HZ = metric_text("support_total_hz")
UNEVEN = 1.5
WIDE = 4.0  # two octaves between the ends of an interval: there is no number to speak of


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedLine:
    """One sentence: what the page prints bold, and what follows it."""

    lead: str
    rest: str


def speed_line(facts: SpeedFacts) -> SpeedLine:
    """Say how fast one encoder follows, and what its baselines do."""
    parts = (
        _over_layers(facts),
        _instead(facts),
        _part("phone classes", facts.phones),
        _emphasis(facts.emphasis),
        _twin(facts),
        _logmel(facts),
    )
    return SpeedLine(lead=_lead(facts), rest="".join(parts) + ".")


def amount(score: Score) -> str:
    """Write a cutoff with its uncertainty: `13.7 ± 2.9 Hz`, `at least 40 Hz`.

    The sign ± stands before the longer arm of the interval; where one arm is more than half as long
    again as the other, both ends are written.
    """
    number = HZ.number(score).lstrip("<> ")
    low, high = (
        HZ.number(replace(score, value=x, censored=False)) for x in (score.low, score.high)
    )
    if score.below and score.high > score.value:  # a limit that its own interval leaves
        return f"at most {high}{THIN}Hz"
    if not score.censored and score.high > WIDE * score.low:
        return f"somewhere between {low} and {high}{THIN}Hz"
    if score.censored:
        return f"at {'most' if score.below else 'least'} {number}{THIN}Hz"
    arms = sorted((score.high - score.value, score.value - score.low))
    if arms[1] <= UNEVEN * arms[0]:
        return f"{number}{FIRM}±{FIRM}{HZ.number(replace(score, value=arms[1]))}{THIN}Hz"
    return f"{number}{THIN}Hz {HZ.reach(score)}".rstrip()


def _lead(facts: SpeedFacts) -> str:
    who = f"{facts.support.layer} of {facts.name}" if facts.support.layer else facts.name
    where = f" on {facts.corpus}" if facts.corpus else ""
    if facts.support.score.measured:
        return f"{who} follows modulations{where} up to {amount(facts.support.score)}"
    return f"How fast {who} follows{where} is {_missing(facts.support)}"


def _missing(reading: Reading) -> str:
    return f"not measurable ({reading.reason})" if reading.reason else "not measurable"


def _over_layers(facts: SpeedFacts) -> str:
    if facts.span is None:
        return ""
    others = [end for end in facts.span if end.layer != facts.support.layer]
    first, *second = (f"{_brief(end.score)} at {in_words(end.layer)}" for end in others)
    if second:
        return f", its layers from {first} to {second[0]}"
    falls = facts.support.score.value < others[0].score.value
    return f", {'down' if falls else 'up'} from {first}"


def _brief(score: Score) -> str:
    """Write a cutoff without its uncertainty."""
    return f"{HZ.number(score).replace(' ', FIRM)}{THIN}Hz"


def _instead(facts: SpeedFacts) -> str:
    if facts.measured is None:
        return ""
    return f"; {in_words(facts.measured.layer)} follows up to {amount(facts.measured.score)}"


def _part(what: str, reading: Reading | None) -> str:
    if reading is None:
        return ""
    if not reading.score.measured:
        return f"; {what}: {_missing(reading)}"
    return f"; {what} up to {amount(reading.score)}"


def _emphasis(reading: Reading | None) -> str:
    if reading is None:
        return ""
    if not reading.score.measured:
        return f"; up to which rate most of its variance responds is {_missing(reading)}"
    return f"; most of its variance responds up to {amount(reading.score)}"


def _twin(facts: SpeedFacts) -> str:
    compared = f", clearly {facts.twin_is}," if facts.twin_is else ""
    return _baseline("its random twin", compared, facts.twin)


def _logmel(facts: SpeedFacts) -> str:
    rate = f" at {facts.logmel_rate_hz:g} frames/s" if math.isfinite(facts.logmel_rate_hz) else ""
    return _baseline(f"log-mel{rate}", "", facts.logmel)


def _baseline(what: str, compared: str, reading: Reading | None) -> str:
    if reading is None or not reading.score.measured:
        return _part(what, reading)
    if reading.score.censored and not reading.score.below:
        return f"; {what}{compared} is all-pass ({_brief(reading.score)})"
    return _part(f"{what}{compared} follows", reading)
