"""Every finding has its row, and what is missing says why."""

from fractions import Fraction

from probe_bench.encoder import Layer
from probe_bench.modulation.findings import findings
from probe_bench.modulation.results import (
    BandEstimate,
    CurvePoint,
    Estimate,
    Joint,
    JointPoint,
    LayerModulation,
    Recovery,
    Speed,
    Support,
)


def layer(**found: object) -> LayerModulation:
    place = Layer(
        name="L1", dim=4, depth=1.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(0)
    )
    return LayerModulation(
        layer=place,
        support=Support(),
        speed=Speed(),
        n_clips=3,
        n_groups=3,
        duration_s=9.0,
        **found,  # type: ignore[arg-type]
    )


def test_settings_say_what_a_number_holds_for() -> None:
    told = Estimate(value=4.0, ci_low=3.0, ci_high=5.0)
    recovery = Recovery(
        r2_bands=(
            BandEstimate(low_hz=0.5, high_hz=1.0, reason="clips too short"),
            BandEstimate(low_hz=1.0, high_hz=2.0, estimate=told),
        ),
        r2_by_frequency=(CurvePoint(mod_freq_hz=1.5, value=0.4, ci_low=0.3, ci_high=0.5),),
        bits_per_s=told,
        information_hz=told,
        share_below=(CurvePoint(mod_freq_hz=8.0, value=0.9, ci_low=0.8, ci_high=1.0),),
    )
    joint = Joint(points=(JointPoint(mod_freq_hz=4.0, scale_cyc_per_oct=0.5, gain=told),))
    phones = Support(hz=told, total_low_hz=2.5, total_high_hz=5.5, r2=told)
    found = list(findings(layer(followed={"phones": phones}, recovery=recovery, joint=joint)))
    assert [(f.metric, f.setting, f.reason) for f in found] == [
        ("support_phones_hz", "", ""),
        ("support_phones_total_hz", "", ""),
        ("support_phones_r2", "", ""),
        ("information_bits_per_s", "", ""),
        ("information_hz", "", ""),
        ("r2_band", "mod_freq_hz=0.5-1", "clips too short"),
        ("r2_band", "mod_freq_hz=1-2", ""),
        ("r2_by_frequency", "mod_freq_hz=1.5", ""),
        ("information_share", "mod_freq_hz=8", ""),
        ("support_joint_gain", "mod_freq_hz=4;scale_cyc_per_oct=0.5", ""),
    ]
    assert (found[1].estimate.ci_low, found[1].estimate.ci_high) == (2.5, 5.5)


def test_reasons_stand_once_for_what_is_missing_as_a_whole() -> None:
    nothing = layer(
        followed={"pitch": Support(reason="too short")},
        recovery=Recovery(reason="too few"),
        joint=Joint(reason="constant"),
    )
    missing = {f.metric: f.reason for f in findings(nothing) if f.reason}
    assert missing == {
        "support_pitch_hz": "too short",
        "support_pitch_total_hz": "too short",
        "information_bits_per_s": "too few",
        "information_hz": "too few",
        "support_joint_gain": "constant",
    }
