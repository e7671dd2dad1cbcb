"""One run: corpora, features, probes and analyses, and the folder they are written to."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from probe_bench import screen
from probe_bench.agenda import Agenda, labelled, make_agenda
from probe_bench.cache import Cache, default_root
from probe_bench.config import RunConfig
from probe_bench.evaluate import chance_scores, evaluate
from probe_bench.features import Features, Subset
from probe_bench.gather import Workshop, pick_device
from probe_bench.ledger import Ledger
from probe_bench.lineup import Contestant, line_up
from probe_bench.results import Stamp, chance_rows, modulation_rows, task_rows, write_predictions
from probe_bench.rows import Row, write_rows
from probe_bench.splits import check_leaks, plan_folds
from probe_bench.survey import Survey

__all__ = ["run"]

_VERSIONS = ("probe-bench", "torch", "torchaudio", "numpy", "scipy", "scikit-learn", "speechbrain")


def run(config: RunConfig, console: Console) -> Path:
    """Do everything that a configuration asks for.

    Args:
        config: What to run.
        console: Where progress is shown.

    Returns:
        The run's folder, with `results.csv`, `predictions/` and `run.json`.

    Raises:
        UserError: If something that was asked for cannot be had; nothing cached is lost.
    """
    shop = Workshop(
        cache=Cache(config.cache or default_root()),
        device=pick_device(config.device),
        dtype=config.dtype,
        console=console,
        ledger=Ledger(),
    )
    with shop.ledger.time("prepare"), console.status("loading encoders and corpora"):
        contestants = line_up(
            config.encoder,
            seed=config.seed,
            baselines=config.baselines,
            trust_code=config.trust_code,
        )
        agenda = make_agenda(config, shop.cache.root)
    surveys = shop.look_over(agenda.corpora, contestants, skip_bad=config.skip_bad)
    features = shop.gather(contestants, surveys, agenda.needs_frames)
