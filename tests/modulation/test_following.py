"""Label-specific support: known cutoffs, a slow oracle, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import csd
from scipy.signal.windows import dpss
from sklearn.linear_model import Ridge
from torch import Tensor

from probe_bench.corpus import Clip, Segment
from probe_bench.modulation.fitting import Fitted
from probe_bench.modulation.following import follow, follow_sums, reach_hz
from probe_bench.modulation.lowpass import causal_low_pass, low_pass
from probe_bench.modulation.targets import Target, make_targets

Fit = Callable[..., Fitted]
Encoded = Callable[..., list[Tensor]]
NAMES = ("phones", "energy", "voicing", "pitch")


@pytest.fixture(scope="module")
def targets(
    waveforms: tuple[list[Tensor], Tensor],
    log_mels: list[Tensor],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Target]:
    """Targets of the known-answer speech; phones of 20 to 150 ms are drawn at random."""
    rng = np.random.default_rng(0)
    clips = []
    for i in range(30):
        edges = np.cumsum(rng.uniform(0.02, 0.15, 150))
        edges = np.concatenate([[0], edges[edges < 10]])
        labels = rng.choice(list("aeioupstk"), len(edges))
        phones = [
            Segment(start_s=a, end_s=b, label=c)
            for a, b, c in zip(edges, edges[1:], labels, strict=False)
        ]
        clips.append(
            Clip(
                id=str(i),
                path=tmp_path_factory.getbasetemp(),
                duration_s=10.0,
                phones=tuple(phones),
            )
        )
    centres_s = [torch.arange(len(x)).double() / 100 + 0.0125 for x in log_mels]
    made = make_targets(clips, waveforms[0], 16_000, centres_s, 0.025)
    return {target.name: target for target in made}


def by_clip(target: Target) -> list[Tensor]:
    return list(target.frames.values.split(target.frames.lengths.tolist()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cutoff_hz", [2, 4, 8, 16])
def test_recovers_the_cutoff_of_every_target(
    name: str, cutoff_hz: int, targets: dict[str, Target], encoded: Encoded, fitted: Fit
) -> None:
    clips = [low_pass(x, 100.0, float(cutoff_hz)) for x in by_clip(targets[name])]
    found = follow(fitted(encoded(clips, stride=2), per_token=2), targets[name], seed=0, n_draws=20)
    assert found.hz.value == pytest.approx(cutoff_hz, rel=0.03), found.reason
    assert found.hz.bound == ""


@pytest.mark.parametrize("cutoff_hz", [2, 4, 8])
def test_recovers_what_log_mel_behind_a_low_pass_follows_of_energy(
    cutoff_hz: int,
    targets: dict[str, Target],
    log_mels: list[Tensor],
    encoded: Encoded,
    fitted: Fit,
) -> None:
    clips = [low_pass(x, 100.0, float(cutoff_hz)) for x in log_mels]
    fit = fitted(encoded(clips, stride=2), per_token=2)
    found = follow(fit, targets["energy"], seed=0, n_draws=20)
    assert found.hz.value == pytest.approx(cutoff_hz, rel=0.1)


@pytest.mark.parametrize("per_token", [4, 8])
def test_recovers_cutoffs_at_low_frame_rates(
    per_token: int, targets: dict[str, Target], encoded: Encoded, fitted: Fit
) -> None:
    clips = [low_pass(x, 100.0, 4.0) for x in by_clip(targets["phones"])]
    fit = fitted(encoded(clips, stride=per_token), per_token=per_token)
    found = follow(fit, targets["phones"], seed=0, n_draws=20)
    assert found.hz.value == pytest.approx(4, rel=0.03)


def test_finds_the_delay_of_the_target_itself(
    targets: dict[str, Target], log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    late = [causal_low_pass(x, 100.0, 4.0) for x in by_clip(targets["phones"])]
    both = [torch.cat([x, 3 * y], 1) for x, y in zip(log_mels, late, strict=True)]
    fit = fitted(encoded(both, stride=2), per_token=2)
    found = follow(fit, targets["phones"], seed=0, n_draws=20)
    assert fit.lag == 0
    assert found.lag_s == pytest.approx(-0.43 / 4, abs=0.03)
    assert found.hz.value == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_all_pass_is_censored_at_the_reach_of_the_target(
    name: str, targets: dict[str, Target], encoded: Encoded, fitted: Fit
) -> None:
    fit = fitted(encoded(by_clip(targets[name]), stride=2), per_token=2)
    found = follow(fit, targets[name], seed=0, n_draws=20)
    reach = reach_hz(follow_sums(fit, targets[name]))
    assert 16 < reach <= 40
    assert (found.hz.value, found.hz.bound, found.hz.ci_high) == (reach, "at least", None)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_clips_are_not_measurable(
    name: str, targets: dict[str, Target], encoded: Encoded, fitted: Fit
) -> None:
    features = encoded(by_clip(targets[name]), stride=2)
    fit = fitted(features[3:] + features[:3], per_token=2)
    found = follow(fit, targets[name], seed=0, n_draws=20)
    assert found.hz.value is None
    assert found.reason


def test_equals_a_loop_over_folds_and_clips(
    targets: dict[str, Target], log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    tracks = by_clip(targets["phones"])
    mixed = [
        torch.cat([x, 9 * low_pass(y, 100.0, 6.0)], 1)
        for x, y in zip(log_mels, tracks, strict=True)
    ]
    short = [x[:500] for x in mixed]
    features = encoded(short, snr_db=10, stride=2)
    group = torch.arange(30) // 3
    fit = fitted(features, per_token=2, speech=[x[:500] for x in log_mels], group=group)
    known = torch.arange(30) % 3 != 1
    tracks = [x[:500] for x in tracks]
    frames = replace(
        targets["phones"].frames,
        values=torch.cat(tracks),
        clip=torch.arange(30).repeat_interleave(500),
        position=torch.arange(500).repeat(30),
        lengths=torch.full((30,), 500),
    )
    found = follow_sums(fit, Target(name="phones", frames=frames, known=known))
    lag = round(100 * found.lag_s)
    error, total, cross, power = 0.0, 0.0, 0.0, 0.0
    for clip in np.flatnonzero(known):
        fold = fit.clip_fold[clip]
        train = [c for c in np.flatnonzero(known) if fit.clip_fold[c] != fold]
        z = fit.projected[fold].double().numpy().reshape(30, 250, -1)
        at = [n for n in range(250) if 0 <= 2 * n + lag < 500]
        rows = [2 * n + lag for n in at]
        x = np.concatenate([z[c][at] for c in train])
        y = np.concatenate([tracks[c][rows].double().numpy() for c in train])
        ridge = Ridge(alpha=1e-3 * ((x - x.mean(0)) ** 2).sum(0).mean()).fit(x, y)
        guess, wanted = ridge.predict(z[clip][at]), tracks[clip].double().numpy()
        error += ((guess - wanted[rows]) ** 2).sum()
        total += ((wanted[rows] - y.mean(0)) ** 2).sum()
        stuffed = np.zeros_like(wanted)
        stuffed[rows] = 2 * (guess - guess.mean(0))
        span = slice(rows[0], min(rows[0] + 2 * len(rows), 500))
        u, v = stuffed[span], (wanted - wanted.mean(0))[span]
        how = {"window": dpss(len(u), 1.0, 1)[0], "nperseg": len(u), "nfft": 512, "detrend": False}
        cross = cross + len(u) * csd(v.T, u.T, **how)[1].sum(0)
        power = power + len(u) * csd(v.T, v.T, **how)[1].real.sum(0)
    assert float(found.error.sum() / found.total.sum()) == pytest.approx(error / total, abs=1e-4)
    gain = (found.cross.sum((0, 1)).abs() / found.power.sum((0, 1))).numpy()
    np.testing.assert_allclose(gain[4:200], (np.abs(cross) / power)[4:200], atol=2e-3)


def test_says_why_a_target_is_not_followed(
    targets: dict[str, Target], log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    fit = fitted(encoded(log_mels, stride=2), per_token=2)
    phones = targets["phones"]
    few = replace(phones, known=torch.arange(30) < 6)
    assert follow(fit, few, seed=0).reason.startswith("2 independent groups")
    still = replace(
        phones, frames=replace(phones.frames, values=torch.ones(len(phones.frames.values), 1))
    )
    assert follow(fit, still, seed=0).reason == "phones never changes"
    assert follow(fit, replace(phones, reason="because"), seed=0).reason == "because"
    # Random phones have nothing to do with the sound.
    assert "R²" in follow(fit, phones, seed=0).reason


def test_clips_too_short_for_what_a_target_does(
    targets: dict[str, Target], log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    time, phase = torch.arange(130)[:, None] / 100, torch.rand(30, generator=torch.manual_seed(0))
    slow = [torch.cos(2 * torch.pi * (time + p)) for p in phase]
    speech = [x[:130] for x in log_mels]
    fit = fitted(encoded(slow, stride=2), per_token=2, speech=speech)
    frames = replace(
        targets["energy"].frames,
        values=torch.cat(slow),
        clip=torch.arange(30).repeat_interleave(130),
        position=torch.arange(130).repeat(30),
        lengths=torch.full((30,), 130),
    )
    known = torch.ones(30, dtype=torch.bool)
    found = follow(fit, Target(name="energy", frames=frames, known=known), seed=0, n_draws=20)
    assert "use more or longer clips" in found.reason
