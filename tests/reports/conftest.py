"""Result rows as a real run writes them, made from smooth curves and a seed."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from probe_bench.reports.html import render
from probe_bench.reports.tables import join_runs
from probe_bench.rows import Role, Row, write_rows

TASKS = (
    # task, corpus, unit, probe, metric, chance, log-mel, gain of pretraining, peak depth
    ("speaker", "speech", "clip", "logistic", "accuracy", 1 / 40, 0.46, 0.22, 0.35),
    ("speaker", "speech", "trial", "cosine", "eer", 0.5, 0.21, -0.08, 0.35),
    ("phoneme", "speech", "frame", "logistic", "accuracy", 0.11, 0.58, 0.16, 0.75),
    ("phoneme", "speech", "frame", "ctc", "per", 1.0, 0.47, -0.14, 0.75),
    ("emotion", "speech", "clip", "logistic", "uar", 1 / 6, 0.52, 0.04, 0.6),
    ("tagging", "scenes", "clip", "logistic", "map", 0.21, 0.55, 0.13, 0.5),
    ("tagging", "scenes", "clip", "logistic", "macro_auc", 0.5, 0.78, 0.07, 0.5),
)
FREQUENCIES_HZ = np.geomspace(0.5, 40, 24)


def layer_names(blocks: int) -> list[str]:
    return ["cnn", "in", *(f"L{k + 1}" for k in range(blocks)), "out_norm"]


def base(**fields: object) -> Row:
    defaults: dict[str, object] = {
        "run_id": "5f0c2e9a71d3",
        "encoder": "",
        "layer": "",
        "depth": None,
        "dim": None,
        "frame_rate_hz": None,
        "corpus": "speech",
        "task": "speaker",
        "unit": "clip",
        "probe": "logistic",
        "setting": "",
        "split": "test",
        "metric": "accuracy",
        "value": None,
        "ci_low": None,
        "ci_high": None,
        "n": 240,
        "n_groups": 40,
        "chosen": False,
        "role": "subject",
        "censored": False,
        "seed": 0,
    }
    return Row(**{**defaults, **fields})  # type: ignore[arg-type]


def encoder_rows(
    name: str, role: Role, layers: list[str], gain: float, rng: np.random.Generator
) -> list[Row]:
    rows = []
    for task, corpus, unit, probe, metric, chance, logmel, lift, peak in TASKS:
        curve = []
        for index, layer in enumerate(layers):
            depth = index / max(1, len(layers) - 1)
            shape = np.exp(-((depth - peak) ** 2) / 0.12) - 0.35
            value = logmel + gain * lift * shape + abs(lift) * 0.06 * rng.standard_normal()
            value = float(np.clip(value, min(chance, 0.03), 0.99))
            half = 0.012 if unit == "frame" else 0.045
            curve.append(
                base(
                    encoder=name,
                    role=role,
                    layer=layer,
                    depth=depth,
                    dim=96 if layer != "cnn" else 64,
                    frame_rate_hz=100.0,
                    corpus=corpus,
                    task=task,
                    unit=unit,
                    probe=probe,
                    metric=metric,
                    value=value,
                    ci_low=value - half * (1 + 0.2 * rng.random()),
                    ci_high=value + half * (1 + 0.2 * rng.random()),
                    setting="" if probe == "cosine" else f"l2={10.0 ** -(index % 4):g}",
                    n=21033 if unit == "frame" else 240,
                )
            )
        scores = [row.value or 0.0 for row in curve]
        pick = int(np.argmin(scores) if metric in ("eer", "per") else np.argmax(scores))
        rows += [replace(row, chosen=index == pick) for index, row in enumerate(curve)]
        rows.append(
            replace(
                curve[pick], layer="best", chosen=True, depth=None, dim=None, frame_rate_hz=None
            )
        )
    return rows


def modulation_rows(
    name: str, role: Role, layers: list[str], cutoffs_hz: list[float | None]
) -> list[Row]:
    rows = []
    common = {"task": "modulation", "corpus": "speech", "unit": "frame", "encoder": name}
    for index, (layer, cutoff_hz) in enumerate(zip(layers, cutoffs_hz, strict=True)):
        mine = base(
            **common,
            role=role,
            layer=layer,
            depth=index / max(1, len(layers) - 1),
            dim=96,
            frame_rate_hz=100.0,
            probe="readout",
            split="all",
            n=400,
        )
        censored = cutoff_hz is not None and cutoff_hz >= 40
        value = None if cutoff_hz is None else min(cutoff_hz, 40.0)
        interval = (None, None) if value is None or censored else (value * 0.93, value * 1.08)
        rows.append(
            replace(
                mine,
                metric="support_hz",
                value=value,
                ci_low=interval[0],
                ci_high=interval[1],
                censored=censored,
            )
        )
        total = (None, None) if interval[0] is None else (interval[0] / 1.06, interval[1] * 1.06)
        rows.append(replace(rows[-1], metric="support_total_hz", ci_low=total[0], ci_high=total[1]))
        rows.append(replace(mine, metric="support_r2", value=0.6, ci_low=0.57, ci_high=0.63))
        rows.append(replace(mine, metric="support_lag_s", value=-0.02))
        rows.append(replace(mine, metric="speed_hz", value=4.9, ci_low=4.7, ci_high=5.2))
        corner = cutoff_hz or 3.0
        for frequency in FREQUENCIES_HZ:
            setting = f"mod_freq_hz={frequency:.4g}"
            gain = 0.95 / (1 + (frequency / corner) ** 4)
            psd = 1 / (1 + (frequency / 4) ** 2) * (0.2 + gain)
            for metric, value in (("support_gain", gain), ("speed_psd", psd)):
                rows.append(
                    replace(
                        mine,
                        metric=metric,
                        value=float(value),
                        setting=setting,
                        ci_low=float(value * 0.95),
                        ci_high=float(value * 1.05),
                    )
                )
    return rows


def chance_rows() -> list[Row]:
    return [
        base(
            corpus=corpus,
            task=task,
            unit=unit,
            probe="majority",
            metric=metric,
            value=chance,
            ci_low=chance * 0.9,
            ci_high=chance * 1.05,
            role="chance",
        )
        for task, corpus, unit, _, metric, chance, *_ in TASKS
    ]


def made_rows(encoders: dict[str, int] | None = None, seed: int = 0) -> list[Row]:
    """Rows of some encoders (name: number of blocks) with twins, log-mel and chance."""
    encoders = encoders or {"wavjepa": 4, "audio-jepa": 6}
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for order, (name, blocks) in enumerate(encoders.items()):
        layers = layer_names(blocks)
        falling = [float(f) for f in np.geomspace(48, 5.0 + 3 * (order % 3), len(layers))]
        rows += encoder_rows(name, "subject", layers, 1.0 - 0.15 * (order % 5), rng)
        rows += encoder_rows(f"random:{name}", "random", layers, -0.25, rng)
        rows += modulation_rows(name, "subject", layers, list(falling))
        twin = [*(float(f) for f in np.geomspace(44, 21, len(layers) - 1)), None]
        rows += modulation_rows(f"random:{name}", "random", layers, list(twin))
    rows += encoder_rows("logmel:100", "logmel", ["in"], 0.05, rng)
    rows += modulation_rows("logmel:100", "logmel", ["in"], [45.0])
    return rows + chance_rows()


def write_run(folder: Path, rows: list[Row], *, record: bool = True) -> Path:
    """Write a run folder: `results.csv` and, if asked for, `run.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(rows, folder / "results.csv")
    if record:
        (folder / "run.json").write_text(json.dumps(made_record(rows)), encoding="utf-8")
    return folder


def made_record(rows: list[Row]) -> dict[str, Any]:
    """What `run.json` says of these rows: `record.json` with their encoders and tasks."""
    layers: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.encoder and row.layer != "best":
            layers.setdefault(row.encoder, {}).setdefault(row.layer, row)
    record: dict[str, Any] = json.loads((Path(__file__).parent / "record.json").read_text())
    (encoder,), (task,) = record["encoders"], record["tasks"]
    record["run_id"] = rows[0].run_id
    record["encoders"] = [
        {
            **encoder,
            "name": name,
            "role": next(iter(found.values())).role,
            "fingerprint": sha256(name.encode()).hexdigest(),
            "layers": [
                {"name": layer, "dim": row.dim, "frame_rate_hz": row.frame_rate_hz}
                for layer, row in found.items()
            ],
        }
        for name, found in layers.items()
    ]
    record["tasks"] = [
        {**task, "name": name, "label": name, "unit": unit, "metric": metric, "corpus": corpus}
        for name, corpus, unit, _, metric, *_ in TASKS
    ]
    return record


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., list[Row]]:
    """`make_rows(encoders={name: blocks}, seed=0)`."""
    return made_rows


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`make_run(folder, rows, record=True)`."""
    return write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two encoders with its rendered report; not to be written to."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "both", made_rows())
    render([folder], folder)
    return folder


@pytest.fixture(scope="session")
def table(run: Path) -> pd.DataFrame:
    """The rows of `run`."""
    return join_runs([run])
