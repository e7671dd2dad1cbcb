"""Every kind of degradation: its severities, in physical units, and the function that applies it.

Severities stand at equal distances on the scale of their axis, decibels or octaves, from mild to
severe: the mean score over them is then the area under the degradation curve by the midpoint rule,
divided by its width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from jaxtyping import Float32

from probe_bench import registry
from probe_bench.degradations.band import low_pass, telephone
from probe_bench.degradations.channel import colour
from probe_bench.degradations.codec import LIBRARY, mp3, mu_law, opus
from probe_bench.degradations.modulation import low_pass_modulations
from probe_bench.degradations.noise import add_noise, pink, white
from probe_bench.degradations.reverb import reverberate
from probe_bench.degradations.spectrum import LongTermSpectrum
from probe_bench.errors import UserError

__all__ = ["ALL", "KINDS", "Call", "Kind", "named_kinds"]

ALL = "all"
Samples = Float32[np.ndarray, " samples"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a kind is applied with.

    Attributes:
        rate_hz: Sample rate of the recording.
        severity: In the unit of the kind's axis.
        rng: Draws what is drawn, the same for every severity.
        spectrum: Long-term spectrum of the corpus; None for kinds that do not use it.
    """

    rate_hz: int
    severity: float
    rng: np.random.Generator
    spectrum: LongTermSpectrum | None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of degradation.

    Attributes:
        name: On the command line and in result rows.
        summary: One line.
        axis: What the severity is, with its unit.
        scale: Whether severities stand at equal differences or equal ratios.
        severities: From mild to severe.
        neutral: Severity that changes nothing.
        apply: Degrades samples at the recording's own rate; keeps their number and level.
        version: Goes up when its samples change; part of the cache key.
        uses_spectrum: Whether it needs the corpus' long-term spectrum.
    """

    name: str
    summary: str
    axis: str
    scale: Literal["linear", "octaves"]
    severities: tuple[float, ...]
    neutral: float
    apply: Callable[[Samples, Call], Samples]
    version: str = "1"
    uses_spectrum: bool = False


_SNR_DB = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)


def _corpus_noise(samples: Samples, call: Call) -> Samples:
    assert call.spectrum is not None
    return add_noise(samples, call.rate_hz, call.severity, call.spectrum, call.rng)


_ALL = (
    Kind(
        name="noise",
        summary="noise of the corpus' own long-term spectrum",
        axis="snr_db",
        scale="linear",
        severities=_SNR_DB,
        neutral=inf,
        apply=_corpus_noise,
        uses_spectrum=True,
    ),
    Kind(
        name="noise-white",
        summary="white noise",
        axis="snr_db",
        scale="linear",
        severities=_SNR_DB,
        neutral=inf,
        apply=lambda x, call: add_noise(x, call.rate_hz, call.severity, white, call.rng),
    ),
    Kind(
        name="noise-pink",
        summary="pink noise",
        axis="snr_db",
        scale="linear",
        severities=_SNR_DB,
        neutral=inf,
        apply=lambda x, call: add_noise(x, call.rate_hz, call.severity, pink, call.rng),
    ),
    Kind(
        name="reverb",
        summary="a room, listened to at its critical distance",
        axis="t60_s",
        scale="octaves",
        severities=(0.15, 0.3, 0.6, 1.2),
        neutral=0.0,
        apply=lambda x, call: reverberate(x, call.rate_hz, call.severity, call.rng),
    ),
    Kind(
        name="channel",
        summary="coloration by a smooth random filter",
        axis="range_db",
        scale="linear",
        severities=(6.0, 12.0, 18.0, 24.0),
        neutral=0.0,
        apply=lambda x, call: colour(x, call.rate_hz, call.severity, call.rng),
    ),
    Kind(
        name="band",
        summary="a low-pass filter",
        axis="cutoff_hz",
        scale="octaves",
        severities=(4000.0, 2000.0, 1000.0, 500.0),
        neutral=inf,
        apply=lambda x, call: low_pass(x, call.rate_hz, call.severity),
    ),
    Kind(
        name="telephone",
        summary="the band of a telephone line, from 300 Hz on",
        axis="cutoff_hz",
        scale="octaves",
        severities=(3400.0,),
        neutral=inf,
        apply=lambda x, call: telephone(x, call.rate_hz, call.severity),
    ),
    Kind(
        name="codec",
        summary="MP3 at a constant bit rate",
        axis="bitrate_kbps",
        scale="octaves",
        severities=(64.0, 32.0, 16.0, 8.0),
        neutral=inf,
        apply=lambda x, call: mp3(x, call.rate_hz, call.severity),
        version=f"1, {LIBRARY}",
    ),
    Kind(
        name="codec-opus",
        summary="Opus at a mean bit rate",
        axis="bitrate_kbps",
        scale="octaves",
        severities=(48.0, 24.0, 12.0, 6.0),
        neutral=inf,
        apply=lambda x, call: opus(x, call.rate_hz, call.severity),
        version=f"1, {LIBRARY}",
    ),
    Kind(
        name="codec-mulaw",
        summary="8-bit mu-law at 8 kHz",
        axis="bitrate_kbps",
        scale="octaves",
        severities=(64.0,),
        neutral=inf,
        apply=lambda x, call: mu_law(x, call.rate_hz),
    ),
    Kind(
        name="modulations",
        summary="levels of all bands that change no faster than a cutoff",
        axis="mod_cutoff_hz",
        scale="octaves",
        severities=(16.0, 8.0, 4.0, 2.0, 1.0),
        neutral=inf,
        apply=lambda x, call: low_pass_modulations(x, call.rate_hz, call.severity),
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}


def named_kinds(names: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds asked for, once each; `none` stands for nothing, `all` for every one.

    Raises:
        UserError: If a name is unknown, or `none` does not stand alone.
    """
    if "none" in names and len(names) > 1:
        raise UserError(f"--degrade {' '.join(names)}: none stands alone")
    if tuple(names) == ("none",):
        return ()
    wanted = [each for name in names for each in (KINDS if name == ALL else (name,))]
    return tuple(registry.find("degradation", name, KINDS) for name in dict.fromkeys(wanted))
