"""The command line: `probe-bench COMMAND`. Nothing heavy is imported before a command runs."""

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from probe_bench.config import (
    CacheConfig,
    CheckConfig,
    EmbedConfig,
    ExportConfig,
    LeaksConfig,
    ListConfig,
    PretrainConfig,
    ReportConfig,
    RunConfig,
    ShardsConfig,
    StudyConfig,
    TokenizerConfig,
)
from probe_bench.errors import UserError

__all__ = ["main"]

Command = (
    Annotated[RunConfig, tyro.conf.subcommand("run")]
    | Annotated[EmbedConfig, tyro.conf.subcommand("embed")]
    | Annotated[ExportConfig, tyro.conf.subcommand("export")]
    | Annotated[ListConfig, tyro.conf.subcommand("list")]
    | Annotated[CheckConfig, tyro.conf.subcommand("check")]
    | Annotated[ReportConfig, tyro.conf.subcommand("report")]
    | Annotated[CacheConfig, tyro.conf.subcommand("cache")]
    | Annotated[PretrainConfig, tyro.conf.subcommand("pretrain")]
    | Annotated[LeaksConfig, tyro.conf.subcommand("leaks")]
    | Annotated[ShardsConfig, tyro.conf.subcommand("shards")]
    | Annotated[TokenizerConfig, tyro.conf.subcommand("tokenizer")]
    | Annotated[StudyConfig, tyro.conf.subcommand("study")]
)

_HANDLERS = {
    RunConfig: "commands:run",
    EmbedConfig: "commands:embed",
    ExportConfig: "exporting:export",
    ListConfig: "commands:show",
    CheckConfig: "commands:check",
    ReportConfig: "commands:report",
    CacheConfig: "commands:cache",
    PretrainConfig: "pretraining:pretrain",
    LeaksConfig: "leaks.command:leaks",
    ShardsConfig: "pretraining:shards",
    TokenizerConfig: "tokenizing:tokenizer",
    StudyConfig: "studies.command:study",
}

_AT_LEAST = {
    "seed": 0,
    "seeds": 1,
    "train_frames": 0,
    "limit": 1,
    "steps": 1,
    "checkpoint_every": 1,
    "monitor_every": 1,
    "probe_every": 0,
    "probe_limit": 1,
    "workers": 0,
    "shard_mb": 1,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; user errors are one line on standard error and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = tyro.cli(
        Command,
        args=words,
        prog="probe-bench",
        description="What an audio encoder hears, at which layer, and how fast.",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
    try:
        _refuse_repeated(words)
        _refuse_small(command)
        sys.exit(_execute(command))
    except UserError as error:
        print(f"probe-bench: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print(f"\nprobe-bench: stopped{stopped}; what was finished is kept", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def _refuse_repeated(words: Sequence[str]) -> None:
    """Refuse an option that stands twice: the first would be dropped without a word."""
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    for option, count in Counter(options).items():
        if count > 1:
            raise UserError(
                f"{option} stands {count} times; write it once with all its values: {option} A B"
            )


def _refuse_small(command: object) -> None:
    """Refuse numbers that count something and are too small to."""
    for name, least in _AT_LEAST.items():
        value = getattr(command, name, None)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise UserError(f"--{option} {value}: expected at least {least}")


def _execute(command: object) -> int:
    """Import the part that does the work, hand it the configuration and return its exit code."""
    module, _, name = _HANDLERS[type(command)].partition(":")
    handler: Callable[[Any], int] = getattr(importlib.import_module(f"probe_bench.{module}"), name)
    return handler(command)
