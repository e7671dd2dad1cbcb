"""What was found of a layer beside support and speed, as named numbers for result rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from probe_bench.modulation.results import (
    CurvePoint,
    Estimate,
    Joint,
    LayerModulation,
    Recovery,
    Support,
)

__all__ = ["Finding", "findings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One number.

    Attributes:
        metric: Name in the results.
        probe: What read the layer: `readout` of one token, or `context` of three.
        estimate: The number.
        setting: What it holds for.
        reason: Why there is none; empty if there is one.
    """

    metric: str
    probe: str
    estimate: Estimate
    setting: str = ""
    reason: str = ""


def findings(layer: LayerModulation) -> Iterator[Finding]:
    """List label-specific support, recovery and joint support of a layer."""
    for name, support in layer.followed.items():
        yield from _followed(name, support)
    yield from _recovered(layer.recovery)
    yield from _joint(layer.joint)


def _followed(name: str, support: Support) -> Iterator[Finding]:
    total = replace(support.hz, ci_low=support.total_low_hz, ci_high=support.total_high_hz)
    for what, estimate in (("hz", support.hz), ("total_hz", total)):
        metric = f"support_{name}_{what}"
        yield Finding(metric=metric, probe="readout", estimate=estimate, reason=support.reason)
    yield Finding(metric=f"support_{name}_r2", probe="readout", estimate=support.r2)


def _recovered(recovery: Recovery) -> Iterator[Finding]:
    for metric, estimate in (
        ("information_bits_per_s", recovery.bits_per_s),
        ("information_hz", recovery.information_hz),
    ):
        yield Finding(metric=metric, probe="context", estimate=estimate, reason=recovery.reason)
    for band in recovery.r2_bands:
        yield Finding(
            metric="r2_band",
            probe="context",
            estimate=band.estimate,
            setting=f"mod_freq_hz={band.low_hz:g}-{band.high_hz:g}",
            reason=band.reason,
        )
    curves = (
        ("r2_by_frequency", recovery.r2_by_frequency),
        ("information_share", recovery.share_below),
    )
    for metric, points in curves:
        for point in points:
            setting = f"mod_freq_hz={point.mod_freq_hz:.4g}"
            yield Finding(metric=metric, probe="context", estimate=_at(point), setting=setting)


def _joint(joint: Joint) -> Iterator[Finding]:
    if joint.reason:
        yield Finding(
            metric="support_joint_gain", probe="readout", estimate=Estimate(), reason=joint.reason
        )
    for point in joint.points:
        yield Finding(
            metric="support_joint_gain",
            probe="readout",
            estimate=point.gain,
            setting=f"mod_freq_hz={point.mod_freq_hz:g};"
            f"scale_cyc_per_oct={point.scale_cyc_per_oct:g}",
            reason=point.reason,
        )


def _at(point: CurvePoint) -> Estimate:
    return Estimate(value=point.value, ci_low=point.ci_low, ci_high=point.ci_high)
