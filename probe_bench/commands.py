"""The commands around `run`: embed, list, check, report, cache. Each returns an exit code."""

import csv
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.table import Table

from probe_bench import degradations, registry
from probe_bench.cache import Cache, Entry, default_root
from probe_bench.check import check as check_contract
from probe_bench.config import (
    CacheConfig,
    CheckConfig,
    EmbedConfig,
    ListConfig,
    ReportConfig,
    RunConfig,
)
from probe_bench.corpora import load_corpus
from probe_bench.encoders.pretraining.presets import presets
from probe_bench.errors import UserError
from probe_bench.exported import write_features
from probe_bench.folders import make_folder
from probe_bench.gather import Workshop, pick_device
from probe_bench.ledger import Ledger
from probe_bench.lineup import line_up
from probe_bench.probes.kinds import KINDS
from probe_bench.reports.html import render
from probe_bench.reports.terminal import summary
from probe_bench.resolve import resolve
from probe_bench.rows import read_comparisons, read_rows
from probe_bench.run import run as run_all
from probe_bench.screen import human_bytes

__all__ = ["cache", "check", "embed", "report", "run", "show"]


def run(config: RunConfig) -> int:
    """Run, render the report, and end with the summary table and the report's path."""
    console = Console()
    folder = run_all(config, console)
    with console.status("drawing figures"):
        page = render([folder], folder)
    tests = read_comparisons(folder / "comparisons.csv")
    console.print(summary(read_rows(folder / "results.csv"), tests))
    console.print(f"report: {page}", soft_wrap=True)
    return 0


def embed(config: EmbedConfig) -> int:
    """Write an encoder's features to a folder."""
    console = Console()
    make_folder(config.out)
    shop = Workshop(
        cache=Cache(config.cache or default_root()),
        device=pick_device(config.device),
        dtype="float32",
        console=console,
        ledger=Ledger(),
    )
    contestants = line_up(
        [config.encoder], seed=config.seed, baselines=False, trust_code=config.trust_code
    )
    corpus = load_corpus(config.corpus, shop.cache.root)
    corpus = corpus if config.limit is None else corpus.limit(config.limit)
    surveys = shop.look_over([corpus], contestants, skip_bad=config.skip_bad)
    need_frames = surveys if config.pool == "none" else ()
    features = shop.gather(contestants, surveys, need_frames)
    (kept,) = (looked.corpus for looked in surveys.values())
    write_features(features[contestants[0].name, kept.name], kept, config.out, config.pool)
    console.print(f"features: {config.out}", soft_wrap=True)
    return 0


def show(config: ListConfig) -> int:
    """List encoders, tasks, probes, protocols, corpora, degradations or what can be pretrained."""
    match config.what:
        case "encoders":
            table = _encoders(verbose=config.verbose)
        case "tasks":
            table = _tasks(verbose=config.verbose)
        case "probes":
            table = _probes()
        case "protocols":
            table = _protocols(verbose=config.verbose)
        case "corpora":
            table = _corpora(verbose=config.verbose)
        case "degradations":
            table = _degradations()
        case "systems":
            table = _systems(verbose=config.verbose)
    Console().print(table)
    return 0


def _table(*columns: str) -> Table:
    """Return an empty plain table."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    return table


def _encoders(*, verbose: bool) -> Table:
    """List encoders and what may stand after their colon."""
    table = _table("name", "what", *(["source"] if verbose else []))
    for spec in registry.encoders().values():
        name = f"{spec.name}:{spec.argument}" if spec.argument else spec.name
        table.add_row(name, spec.summary, *([spec.source] if verbose else []))
    return table


def _tasks(*, verbose: bool) -> Table:
    """List tasks; verbose adds what chance and log-mel reach on the embedded corpora."""
    if not verbose:
        table = _table("name", "what", "metric", "corpus")
        for task in registry.tasks().values():
            table.add_row(task.name, task.summary, task.headline, task.corpus)
        return table
    table = _table("name", "what", "metric", "corpus", "chance", "log-mel", "of the way to perfect")
    content = resources.files("probe_bench.tasks.corpora").joinpath("difficulty.csv").read_text()
    measured = {line["task"]: line for line in csv.DictReader(content.splitlines())}
    for task in registry.tasks().values():
        line = measured.get(task.name)
        numbers = (
            [f"{float(line[k]):.3f}" for k in ("chance", "logmel", "fraction")] if line else []
        )
        table.add_row(task.name, task.summary, task.headline, task.corpus, *numbers)
    return table


def _probes() -> Table:
    """List probes."""
    table = _table("name", "what", "scored by")
    for kind in KINDS:
        table.add_row(kind.name, kind.summary, ", ".join(kind.metrics) or "the task's metrics")
    return table


def _protocols(*, verbose: bool) -> Table:
    """List published protocols; verbose adds their faults and where we depart from them."""
    table = _table("name", "what", "source", *(["faults", "departures"] if verbose else []))
    for protocol in registry.protocols().values():
        said = [
            "; ".join(f"{name}: {fault}" for name, fault in protocol.faults().items()),
            "; ".join(protocol.departures),
        ]
        table.add_row(protocol.name, protocol.summary, protocol.source, *(said if verbose else []))
    return table


def _corpora(*, verbose: bool) -> Table:
    """List corpora and how to name them."""
    table = _table("name", "what", *(["source", "licence"] if verbose else []))
    for spec in registry.corpora().values():
        name = spec.name if spec.embedded else f"{spec.name}=FOLDER"
        table.add_row(name, spec.summary, *([spec.source, spec.licence] if verbose else []))
    table.add_row("NAME=FOLDER", "any folder with a manifest.csv")
    return table


def _degradations() -> Table:
    """List what may be done to test audio, and how severely."""
    table = _table("name", "what", "severity", "from mild to severe")
    for kind in degradations.KINDS.values():
        severities = ", ".join(f"{severity:g}" for severity in kind.severities)
        table.add_row(kind.name, kind.summary, kind.axis, severities)
    return table


def _systems(*, verbose: bool) -> Table:
    """List what can be pretrained; verbose adds the geometry of every preset."""
    if not verbose:
        table = _table("name", "presets")
        for system, recipes in presets().items():
            table.add_row(system, " ".join(recipes))
        return table
    table = _table("name", "crop", "tokens", "frame rate", "encoder", "batch", "steps")
    for system, recipes in presets().items():
        for preset, recipe in recipes.items():
            grid = recipe.grid
            table.add_row(
                f"{system}/{preset}",
                f"{recipe.crop_samples / recipe.sample_rate_hz:.2f} s",
                f"{grid.frames} x {grid.bands}",
                f"{recipe.sample_rate_hz / recipe.frontend.stride_samples:.4g} Hz",
                f"{recipe.encoder.dim} x {recipe.encoder.depth}",
                str(recipe.batch_size),
                str(recipe.steps),
            )
    return table


def check(config: CheckConfig) -> int:
    """Check an encoder's contract; exit code 1 if it is broken."""
    encoder = resolve(config.reference, trust_code=config.trust_code)
    verdicts = check_contract(encoder.to(str(pick_device(config.device))))
    table = _table("name", "verdict", "detail")
    for verdict in verdicts:
        word = "[green]ok[/]" if verdict.passed else "[bold red]BROKEN[/]"
        table.add_row(verdict.name, word, verdict.detail)
    Console().print(table)
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def report(config: ReportConfig) -> int:
    """Render the report of one run, or of several side by side."""
    if not config.runs:
        raise UserError("report needs the folder of at least one run")
    out = config.out or (config.runs[0] if len(config.runs) == 1 else Path("report"))
    Console().print(f"report: {render(config.runs, out)}", soft_wrap=True)
    return 0


def cache(config: CacheConfig) -> int:
    """List, verify or prune the feature cache."""
    store = Cache(config.cache or default_root())
    console = Console()
    match config.action:
        case "ls":
            table = _table("name", "encoder", "corpus", "layers", "shards", "size")
            for entry in store.entries():
                key, names = entry.describe(), entry.signed()
                done = entry.shards - len(entry.missing())
                layers = f"{len(key['layers'])}{' + frames' if key['frames'] else ''}"
                table.add_row(
                    entry.folder.name[:12],
                    names.get("encoder", key["encoder"][:12]),
                    names.get("corpus", key["corpus"][:12]),
                    layers,
                    f"{done}/{entry.shards}",
                    human_bytes(entry.n_bytes()),
                )
            console.print(table)
            console.print(str(store.features), soft_wrap=True)
        case "verify":
            damaged = [path for entry in store.entries() for path in _drop_damaged(entry)]
            for path in damaged:
                console.print(f"damaged, dropped: {path}", soft_wrap=True)
            again = "; the next run makes them again" if damaged else ""
            console.print(f"{len(damaged)} damaged shards{again}")
        case "prune":
            console.print(
                f"freed {human_bytes(store.prune(everything=config.all, degraded=config.degraded))}"
            )
    return 0


def _drop_damaged(entry: Entry) -> list[Path]:
    """Remove the shards of an entry whose checksum does not match, and return their paths."""
    damaged = [entry.shard_path(shard) for shard in entry.verify()]
    for path in damaged:
        path.unlink()
    return damaged
