"""What each metric is called, which way is better, and how its numbers are written."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

__all__ = [
    "CODED",
    "LOCATED",
    "METRICS",
    "MetricText",
    "Score",
    "is_curve",
    "is_diagnostic",
    "metric_text",
    "signed",
    "thousands",
]

CODED = ("code_length_bits", "compression")
LOCATED = ("depth_peak", "depth_gravity", "depth_expected")
_OWN = ("selectivity", "v_information_bits", *CODED, *LOCATED)
_CURVES = ("_at_fraction", "_at_dim")


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One number with its 95 % interval; NaN where there is none.

    Attributes:
        value: The number in the units of `results.csv`.
        low: Lower end of the interval.
        high: Upper end of the interval.
        censored: The true value lies beyond `value`.
        below: A censored value is an upper limit.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    censored: bool = False
    below: bool = False

    @property
    def measured(self) -> bool:
        """Say whether there is a number at all."""
        return math.isfinite(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricText:
    """How a metric is written.

    Attributes:
        label: In words.
        short: As on axes and in narrow columns; the label where empty.
        unit: Unit as shown; empty for plain numbers.
        scale: Factor from the stored number to the shown one.
        lower_is_better: Errors are, hits are not.
        ranked: Whether one value can be called better than another.
        censored_sign: Which side of a censored value the truth lies on.
        least_span: Least range of an axis, in the stored unit: smaller differences shall not fill it.
    """

    label: str
    short: str = ""
    unit: str = ""
    scale: float = 1.0
    lower_is_better: bool = False
    ranked: bool = True
    censored_sign: str = ">"
    least_span: float = 0.0

    @property
    def axis(self) -> str:
        """Label of an axis, with unit and, where it is unusual, direction."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.short or self.label}{unit}" + (
            ", lower is better" if self.lower_is_better else ""
        )

    def number(self, score: Score) -> str:
        """Write the value alone, with as many digits as its interval supports."""
        if not score.measured:
            return "not measurable"
        text = signed(f"{score.value * self.scale:.{self._decimals(score)}f}")
        sign = "<" if score.below else self.censored_sign
        return f"{sign} {text}" if score.censored else text

    def interval(self, score: Score) -> str:
        """Write the interval as `[low, high]`; empty where there is none, or it adds nothing.

        An end that lies beyond what could be measured is written as 0 or ∞.
        """
        ends = (score.low, score.high)
        if not score.measured or not any(map(math.isfinite, ends)) or score.low == score.high:
            return ""
        if score.censored and score.value in ends:
            return ""
        decimals = self._decimals(score)
        low, high = (
            f"{end * self.scale:.{decimals}f}" if math.isfinite(end) else beyond
            for end, beyond in zip(ends, ("0", "∞"), strict=True)
        )
        return signed(f"[{low}, {high}]")

    def reach(self, score: Score) -> str:
        """Write the interval as `(low to high)`; an end beyond what could be measured is not named."""
        low, high = (self.number(replace(score, value=end)) for end in (score.low, score.high))
        match math.isfinite(score.low), math.isfinite(score.high):
            case True, True:
                return f"({low} to {high})"
            case True, False:
                return f"(at least {low})"
            case False, True:
                return f"(at most {high})"
        return ""

    def full(self, score: Score) -> str:
        """Write value, unit and interval."""
        if not score.measured:
            return self.number(score)
        unit = f"\u202f{self.unit}" if self.unit else ""
        return f"{self.number(score)}{unit} {self.interval(score)}".rstrip()

    def _decimals(self, score: Score) -> int:
        half_width = (score.high - score.low) / 2 * self.scale
        if math.isfinite(half_width) and half_width > 0:
            # The last digit shown is at most two thirds of the half-width: 0.15 needs one decimal.
            return min(3, max(1, math.ceil(-math.log10(half_width / 1.5))))
        magnitude = abs(score.value * self.scale)
        digits = 2 if score.censored else 3
        return (
            min(3, max(0, digits - 1 - math.floor(math.log10(magnitude)))) if magnitude > 0 else 1
        )


def signed(text: str) -> str:
    """Write numbers with a minus sign, as the figures do, and not with a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def thousands(number: int) -> str:
    """Write a whole number with thin spaces between thousands.

    >>> thousands(12047)
    '12\u202f047'
    """
    return f"{number:,}".replace(",", "\u202f")


def _share(label: str, short: str = "", *, lower_is_better: bool = False) -> MetricText:
    return MetricText(
        label=label, short=short, unit="%", scale=100.0, lower_is_better=lower_is_better
    )


METRICS: Mapping[str, MetricText] = {
    "accuracy": _share("accuracy"),
    "uar": _share("unweighted average recall", "UAR"),
    "map": _share("mean average precision", "mAP"),
    "macro_auc": _share("macro AUC"),
    "eer": _share("equal error rate", "EER", lower_is_better=True),
    "mindcf": MetricText(
        label="minimum detection cost", short="minDCF", lower_is_better=True, least_span=0.2
    ),
    "per": _share("phone error rate", "PER", lower_is_better=True),
    "selectivity": _share("selectivity"),
    "v_information_bits": MetricText(label="V-information", unit="bits"),
    "code_length_bits": MetricText(
        label="code length", short="code", unit="bits", lower_is_better=True
    ),
    "compression": MetricText(label="compression"),
    "depth_peak": MetricText(label="depth of the best layer", ranked=False),
    "depth_gravity": MetricText(label="depth, centre of gravity", ranked=False),
    "depth_expected": MetricText(label="expected depth of the gains", ranked=False),
    "layer_weight": MetricText(label="layer weight", unit="%", scale=100.0, ranked=False),
    "support_hz": MetricText(label="support cutoff", unit="Hz", ranked=False),
    "support_total_hz": MetricText(
        label="support cutoff with the estimator's own error", unit="Hz", ranked=False
    ),
    "support_low_hz": MetricText(
        label="lower support cutoff", unit="Hz", ranked=False, censored_sign="<"
    ),
    "support_phones_hz": MetricText(label="phones followed up to", unit="Hz", ranked=False),
    "support_energy_hz": MetricText(label="energy followed up to", unit="Hz", ranked=False),
    "support_voicing_hz": MetricText(label="voicing followed up to", unit="Hz", ranked=False),
    "support_pitch_hz": MetricText(label="pitch followed up to", unit="Hz", ranked=False),
    "support_joint_gain": MetricText(label="power gain of ripples", ranked=False),
    "r2_band": MetricText(label="R² with context in a band", ranked=False),
    "r2_by_frequency": MetricText(label="R² with context", ranked=False),
    "information_bits_per_s": MetricText(label="spectral information", unit="bit/s", ranked=False),
    "information_hz": MetricText(label="95 % of the information below", unit="Hz", ranked=False),
    "information_share": MetricText(label="share of the information below", ranked=False),
    "emphasis_hz": MetricText(label="emphasis cutoff", unit="Hz", ranked=False),
    "emphasis_total_hz": MetricText(
        label="emphasis cutoff with the estimator's own error", unit="Hz", ranked=False
    ),
    "emphasis_whitened_hz": MetricText(label="whitened emphasis cutoff", unit="Hz", ranked=False),
    "emphasis_excess": MetricText(label="response to ripples over chance", ranked=False),
    "emphasis_gain": MetricText(label="response to ripples", ranked=False),
    "speed_hz": MetricText(label="output speed", unit="Hz", ranked=False),
    "support_r2": MetricText(label="readout R²", ranked=False),
    "support_lag_s": MetricText(label="readout lag", unit="ms", scale=1000.0, ranked=False),
    "support_gain": MetricText(label="power gain", ranked=False),
    "speed_psd": MetricText(label="power density", ranked=False),
    "effective_rank": MetricText(label="effective rank", ranked=False),
    "participation_ratio": MetricText(label="participation ratio", ranked=False),
    "isoscore": MetricText(label="IsoScore", unit="%", scale=100.0, ranked=False),
    "mean_cosine": MetricText(label="mean cosine", ranked=False),
    "alignment": MetricText(label="alignment", ranked=False),
    "uniformity": MetricText(label="uniformity", ranked=False),
    "phone_mi_bits": MetricText(
        label="mutual information of codes and phones", short="phone MI", unit="bit", ranked=False
    ),
    "pnmi": MetricText(label="phone-normalised mutual information", short="PNMI", ranked=False),
    "speaker_mi_bits": MetricText(
        label="mutual information of codes and speakers",
        short="speaker MI",
        unit="bit",
        ranked=False,
    ),
    **dict.fromkeys(
        ("abx_error", "abx_within", "abx_across"),
        MetricText(label="ABX error", unit="%", scale=100.0, lower_is_better=True, ranked=False),
    ),
    "cka": MetricText(label="CKA", ranked=False),
    "cka_logmel": MetricText(label="CKA with log-mel", ranked=False),
    "svcca": MetricText(label="SVCCA", ranked=False),
    "pwcca": MetricText(label="PWCCA", ranked=False),
}


def metric_text(metric: str) -> MetricText:
    """Describe a metric; unknown ones show under their own name and are never ranked.

    A metric `at_fraction`, `at_dim` or of the `control` task is written as the metric itself; areas
    and shares of robustness are called `robustness_area:KIND:METRIC`, half rates `half_rate_hz:METRIC`.
    """
    what, _, rest = metric.partition(":")
    kind, _, of = rest.partition(":")
    if what == "robustness_area":
        own = metric_text(of)
        return replace(own, short=f"mean {own.short or own.label} under {kind}")
    if what == "robustness_share":
        return _share(f"{metric_text(of).label} kept under {kind}")
    if what == "half_rate_hz":
        return MetricText(
            label=f"half rate of {metric_text(rest).label}",
            short="half rate",
            unit="Hz",
            ranked=False,
        )
    plain = metric.removeprefix("control_")
    for suffix in _CURVES:
        plain = plain.removesuffix(suffix)
    if plain != metric and plain in METRICS:
        measured, said = METRICS[plain], metric.replace(plain, "").replace("_", " ").strip()
        return replace(
            measured, label=f"{measured.label}, {said}", short=measured.short or measured.label
        )
    return METRICS.get(metric, MetricText(label=metric.replace("_", " "), ranked=False))


def is_curve(metric: str) -> bool:
    """Say whether a metric has one row for every size of a curve."""
    return metric.endswith(_CURVES)


def is_diagnostic(metric: str) -> bool:
    """Say whether a metric tells what a score means, and is no score itself."""
    return metric in _OWN or metric.startswith("control_") or is_curve(metric)
