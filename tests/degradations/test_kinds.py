"""All kinds: determinism, neutral severities, equal steps, and names on the command line."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from probe_bench.commands import show
from probe_bench.config import ListConfig, RunConfig
from probe_bench.degradations import ALL, KINDS, Degradation, LongTermSpectrum, named_kinds
from probe_bench.degradations.level import rms
from probe_bench.errors import UserError

RATE_HZ = 16000
SPECTRUM = LongTermSpectrum(
    frequency_hz=np.linspace(0, 8000, 257), power=1 / (1 + np.linspace(0, 8, 257)) ** 2
)


def degradation(kind: str, severity: float | None = None, seed: int = 0) -> Degradation:
    found = KINDS[kind]
    severity = found.severities[-1] if severity is None else severity
    return Degradation(kind=found, severity=severity, seed=seed, spectrum=SPECTRUM)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_depend_on_clip_and_seed_and_nothing_else(
    kind: str, speech: Callable[..., np.ndarray]
) -> None:
    clips = [speech(RATE_HZ, 0.5, seed) for seed in range(4)]
    apply = degradation(kind).apply
    alone = [apply(clip, RATE_HZ, f"clip {k}") for k, clip in enumerate(clips)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(apply, clips[k], RATE_HZ, f"clip {k}") for k in (3, 1, 0, 2)]
    together = dict(zip((3, 1, 0, 2), [job.result() for job in jobs], strict=True))
    for k, expected in enumerate(alone):
        np.testing.assert_array_equal(together[k], expected)
        assert expected.dtype == np.float32
        assert rms(expected) == pytest.approx(rms(clips[k]), rel=1e-5)
    if kind.startswith(("noise", "reverb", "channel")):
        for other in (
            apply(clips[0], RATE_HZ, "clip 1"),
            degradation(kind, seed=1).apply(clips[0], RATE_HZ, "clip 0"),
        ):
            assert rms(other - alone[0]) > 0.01 * rms(alone[0])


def test_another_process_hears_the_same() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from probe_bench.degradations import KINDS, Degradation, LongTermSpectrum\n"
        "f = np.linspace(0, 8000, 257)\n"
        "s = LongTermSpectrum(frequency_hz=f, power=1 / (1 + f / 1000) ** 2)\n"
        "x = (0.1 * np.random.default_rng(0).standard_normal(4000)).astype('float32')\n"
        "for k in KINDS.values():\n"
        "    d = Degradation(kind=k, severity=k.severities[0], seed=3, spectrum=s)\n"
        "    print(hashlib.sha256(d.apply(x, 16000, 'c').tobytes()).hexdigest())\n"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    with redirect_stdout(StringIO()) as here:
        exec(code)
    assert there.decode() == here.getvalue()
    assert len(set(there.split())) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_neutral_severity_is_the_same_array(
    kind: str, speech: Callable[..., np.ndarray]
) -> None:
    clean = speech(RATE_HZ, 0.3)
    assert degradation(kind, KINDS[kind].neutral).apply(clean, RATE_HZ, "a") is clean


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_severities_are_equal_steps_and_get_worse(kind: object) -> None:
    from probe_bench.degradations import Kind  # noqa: PLC0415

    assert isinstance(kind, Kind)
    scaled = np.array(kind.severities)
    scaled = np.log2(scaled) if kind.scale == "octaves" else scaled
    steps = np.diff(scaled)
    np.testing.assert_allclose(steps, steps[:1].repeat(len(steps)))
    distance = np.abs(np.array(kind.severities) - min(kind.neutral, 1e9))
    assert (np.diff(distance) > 0).all()


@pytest.mark.parametrize(
    "kind",
    ["noise", "noise-white", "noise-pink", "channel", "band", "codec", "codec-opus", "modulations"],
)
def test_severe_changes_more_than_mild(kind: str, speech: Callable[..., np.ndarray]) -> None:
    clean = speech(RATE_HZ)
    changes = [
        rms(degradation(kind, severity).apply(clean, RATE_HZ, "a") - clean)
        for severity in KINDS[kind].severities
    ]
    assert changes[0] < 0.9 * changes[-1]


def test_what_the_cache_is_told() -> None:
    described = degradation("noise", 5.0).canonical()
    assert described == '{"kind": "noise", "seed": 0, "snr_db": 5.0, "version": "1"}'
    assert "libsndfile" in degradation("codec").canonical()
    one = degradation("noise", 5.0)
    assert (
        len({d.canonical() for d in (one, replace(one, severity=0.0), replace(one, seed=1))}) == 3
    )
    assert one.setting == "snr_db=5"


def test_names_on_the_command_line() -> None:
    assert named_kinds(["none"]) == ()
    assert [kind.name for kind in named_kinds(["band", "noise", "band"])] == ["band", "noise"]
    assert [kind.name for kind in named_kinds([ALL])] == list(KINDS)
    with pytest.raises(UserError, match="did you mean 'reverb'"):
        named_kinds(["reverp"])
    with pytest.raises(UserError, match="none stands alone"):
        named_kinds(["none", "band"])


def test_the_help_names_every_kind() -> None:
    from inspect import getsource  # noqa: PLC0415

    text = getsource(RunConfig).split("degrade: ")[1].split('"""')[1]
    assert set(KINDS) <= set(text.replace(",", " ").replace(".", " ").split())


def test_the_list_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(ListConfig(what="degradations")) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]} >= set(KINDS)
