"""What `run.json` says: how the numbers of a run were made."""

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from probe_bench.config import RunConfig
from probe_bench.degradations import Kind, named_kinds
from probe_bench.gather import Workshop
from probe_bench.jobs import Job
from probe_bench.lineup import Contestant
from probe_bench.protocols.protocol import Protocol
from probe_bench.survey import Survey

__all__ = ["describe", "digest"]

_VERSIONS = ("probe-bench", "torch", "torchaudio", "numpy", "scipy", "scikit-learn")


def digest(
    config: RunConfig, contestants: Sequence[Contestant], surveys: Mapping[str, Survey]
) -> str:
    """Return a digest of everything that decides the numbers."""
    record = {
        "version": version("probe-bench"),
        "tasks": config.tasks,
        "probes": config.probe,
        "analyses": config.analysis,
        "diagnostics": config.diagnostic,
        "seed": config.seed,
        "dtype": config.dtype,
        "train_frames": config.train_frames,
        "encoders": [[c.name, c.fingerprint] for c in contestants],
        "corpora": [[name, looked.digest] for name, looked in surveys.items()],
    }
    degradations = [[k.name, k.version, k.severities] for k in named_kinds(config.degrade)]
    if config.protocol != ("none",):
        record["protocols"] = config.protocol
    if degradations:  # runs without any keep the ids that they always had
        record["degradations"] = degradations
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def describe(
    config: RunConfig,
    run_id: str,
    contestants: Sequence[Contestant],
    surveys: Mapping[str, Survey],
    jobs: Sequence[Job],
    protocols: Sequence[Protocol],
    notes: Sequence[str],
    shop: Workshop,
) -> dict[str, Any]:
    """Return what `run.json` says: how the numbers were made."""
    return {
        "run_id": run_id,
        "command": sys.argv,
        "config": {key: _plain(value) for key, value in asdict(config).items()},
        "versions": {"python": platform.python_version()} | {n: version(n) for n in _VERSIONS},
        "device": str(shop.device),
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "seconds": shop.ledger.record(),
        "encoders": [_encoder_record(contestant) for contestant in contestants],
        "corpora": [_corpus_record(looked) for looked in surveys.values()],
        "tasks": [_task_record(job) for job in jobs],
        "degradations": [_degradation_record(kind) for kind in named_kinds(config.degrade)],
        "protocols": [_protocol_record(protocol) for protocol in protocols],
        "notes": list(notes),
    }


def _plain(value: object) -> object:
    """Turn a configuration value into JSON."""
    return str(value) if isinstance(value, Path) else value


def _encoder_record(contestant: Contestant) -> dict[str, Any]:
    """Return what is known of one encoder."""
    encoder = contestant.encoder
    trained = encoder if contestant.role == "subject" else None
    return {
        "name": contestant.name,
        "role": contestant.role,
        "fingerprint": contestant.fingerprint,
        "sample_rate_hz": encoder.sample_rate_hz if encoder else None,
        "n_parameters": encoder.n_parameters if encoder else None,
        "hidden_run_ms": getattr(trained, "hidden_run_ms", None),
        "layers": [
            {
                "name": layer.name,
                "dim": layer.dim,
                "frame_rate_hz": str(layer.frame_rate_hz),
                "first_frame_s": str(layer.first_frame_s),
            }
            for layer in contestant.layers
        ],
    }


def _corpus_record(looked: Survey) -> dict[str, Any]:
    """Return what is known of one corpus."""
    corpus = looked.corpus
    return {
        "name": corpus.name,
        "digest": looked.digest,
        "licence": corpus.licence,
        "revision": corpus.revision,
        "clips": len(corpus),
        "seconds": corpus.duration_s,
        "left_out": [asdict(left) for left in looked.left_out],
    }


def _protocol_record(protocol: Protocol) -> dict[str, Any]:
    """Return what a protocol does, where it is wrong, and where we do otherwise."""
    return {
        "name": protocol.name,
        "summary": protocol.summary,
        "source": protocol.source,
        "faults": protocol.faults(),
        "departures": protocol.departures,
    }


def _degradation_record(kind: Kind) -> dict[str, Any]:
    """Return what was done to test clips."""
    names = ("name", "summary", "axis", "scale", "severities", "version")
    return {name: getattr(kind, name) for name in names}


def _task_record(job: Job) -> dict[str, Any]:
    """Return how one task was divided."""
    sizes = {
        part: [len(getattr(fold, part)) for fold in job.folds]
        for part in ("train", "valid", "test")
    }
    return {
        "name": job.task.name,
        "label": job.task.label,
        "unit": job.task.unit,
        "classes": len(job.classes),
        "metric": job.task.headline,
        "corpus": job.corpus.name,
        "folds": len(job.folds),
        **sizes,
    }
