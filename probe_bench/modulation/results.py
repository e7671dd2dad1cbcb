"""What the modulation analysis says about a layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from probe_bench.encoder import Layer

__all__ = [
    "BandEstimate",
    "CurvePoint",
    "Emphasis",
    "Estimate",
    "Gain",
    "Joint",
    "JointPoint",
    "LayerModulation",
    "Recovery",
    "Speed",
    "Support",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its 95 % bootstrap interval over groups.

    A cutoff beyond what could be measured is *censored*: its value is the limit, its bound says on
    which side of it the truth lies, and the end of the interval on that side is open.

    Attributes:
        value: The number; None where it could not be measured.
        ci_low: Lower end; None where it lies beyond what could be measured.
        ci_high: Upper end; None where it lies beyond what could be measured.
        bound: What `value` is to the truth if it is censored; empty if it is not.
    """

    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    bound: Literal["", "at least", "at most"] = ""

    @property
    def censored(self) -> bool:
        """Whether the truth lies beyond what could be measured."""
        return bool(self.bound)


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One point of a curve over modulation frequency, with its 95 % interval."""

    mod_freq_hz: float
    value: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Support:
    """What a linear readout can follow.

    Attributes:
        hz: Cutoff, where |T|² is half of its plateau.
        low_hz: Lower half-power point; censored where the gain never falls towards slow modulations.
        r2: Held-out broadband R² of the readout.
        lag_s: Best lag: the token at time t predicts the sound at `t + lag_s`.
        plateau: Largest power gain.
        systematic: Relative bias to expect on top of the interval, from encoders of known cutoff.
        total_low_hz: Lower end of interval and systematic term together.
        total_high_hz: Upper end of interval and systematic term together; None as in `Estimate`.
        gain: |T|² relative to its plateau.
        reason: Why there is no cutoff; empty if there is one.
    """

    hz: Estimate = Estimate()
    low_hz: Estimate = Estimate()
    r2: Estimate = Estimate()
    lag_s: float | None = None
    plateau: float | None = None
    systematic: float | None = None
    total_low_hz: float | None = None
    total_high_hz: float | None = None
    gain: tuple[CurvePoint, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BandEstimate:
    """A number for a band of modulation frequencies.

    Attributes:
        low_hz: Lower edge.
        high_hz: Upper edge.
        estimate: The number.
        reason: Why there is none; empty if there is one.
    """

    low_hz: float
    high_hz: float
    estimate: Estimate = Estimate()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What a readout with context recovers of the sound, by modulation frequency. No cutoff.

    Attributes:
        r2_bands: Held-out R² in octave bands.
        r2_by_frequency: Held-out R² over a third of an octave around each frequency.
        bits_per_s: Spectral information up to 40 Hz.
        information_hz: Frequency below which 95 % of it lie.
        share_below: Share of the information below some frequencies.
        reason: Why there is nothing; empty if there is.
    """

    r2_bands: tuple[BandEstimate, ...] = ()
    r2_by_frequency: tuple[CurvePoint, ...] = ()
    bits_per_s: Estimate = Estimate()
    information_hz: Estimate = Estimate()
    share_below: tuple[CurvePoint, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointPoint:
    """Power gain for ripples of one rate in time and one scale in frequency.

    Attributes:
        mod_freq_hz: Centre of an octave of modulation frequencies.
        scale_cyc_per_oct: Spectral modulation in cycles per octave.
        gain: Power gain relative to the largest.
        reason: Why there is none; empty if there is one.
    """

    mod_freq_hz: float
    scale_cyc_per_oct: float
    gain: Estimate = Estimate()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joint:
    """Support by rate and scale.

    Attributes:
        points: Power gain of every ripple.
        reason: Why there is none; empty if there is one.
    """

    points: tuple[JointPoint, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """How fast the features themselves change.

    Attributes:
        hz: Centroid of the variance-weighted modulation spectrum within the measured range.
        psd: Variance-weighted spectrum in 1/Hz, of unit area over the measured range.
        psd_whitened: The same with every principal component counting alike.
        reason: Why there is none; empty if there is one.
    """

    hz: Estimate = Estimate()
    psd: tuple[CurvePoint, ...] = ()
    psd_whitened: tuple[CurvePoint, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """How a response to ripples falls with their rate.

    Attributes:
        hz: Cutoff, where the gain is half of that of slow ripples.
        systematic: Relative bias to expect on top of the interval, from encoders of known cutoff.
        total_low_hz: Lower end of interval and systematic term together.
        total_high_hz: Upper end of interval and systematic term together; None as in `Estimate`.
        excess: Power that clips share over what chance leaves, at the weakest tone up to the cutoff.
        curve: Power gain relative to that of slow ripples, one point a tone.
        reason: Why there is no cutoff; empty if there is one.
    """

    hz: Estimate = Estimate()
    systematic: float | None = None
    total_low_hz: float | None = None
    total_high_hz: float | None = None
    excess: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Emphasis:
    """How strongly a layer responds to ripples of each rate.

    Attributes:
        weighted: Every dimension counts by its variance.
        whitened: Every principal component counts alike.
        n_clips: Stretches of audio used.
        n_groups: Independent units among them.
    """

    weighted: Gain
    whitened: Gain
    n_clips: int = 0
    n_groups: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerModulation:
    """Everything measured of one layer.

    Attributes:
        layer: The layer.
        support: What a linear readout can follow.
        speed: How fast the features change.
        emphasis: How strongly it responds to ripples; None where no encoder could hear them.
        followed: Support of phones, energy, voicing and pitch, by name; empty where not asked for.
        recovery: What a readout with context recovers.
        joint: Support by rate and scale.
        n_clips: Clips used.
        n_groups: Independent units among them.
        duration_s: Audio used.
    """

    layer: Layer
    support: Support
    speed: Speed
    emphasis: Emphasis | None = None
    n_clips: int
    n_groups: int
    duration_s: float
    followed: Mapping[str, Support] = field(default_factory=dict)
    recovery: Recovery = Recovery()
    joint: Joint = Joint()
