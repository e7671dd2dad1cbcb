"""What a run will do: which task reads which corpus, and where frames are needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probe_bench import registry
from probe_bench.config import RunConfig
from probe_bench.corpora import load_corpora
from probe_bench.corpus import Corpus
from probe_bench.diagnostics import DIAGNOSTICS
from probe_bench.errors import UserError
from probe_bench.probes.kinds import KINDS, OWN, kind_of, with_probes
from probe_bench.protocols.labels import verifies
from probe_bench.protocols.protocol import Protocol
from probe_bench.task import Task

__all__ = ["ANALYSES", "Agenda", "labelled", "make_agenda", "reads_frames"]

ANALYSES = ("modulation", "geometry")
_ANALYSIS_CORPUS = "speech"


@dataclass(frozen=True, kw_only=True)
class Agenda:
    """Tasks and analyses by the corpus they read.

    Attributes:
        corpora: Corpora in the order they were named.
        tasks: (task, corpus name) in the order of the command line.
        analyses: (analysis, corpus name).
        diagnostics: Names.
        protocols: Published protocols that read the tasks as well.
        notes: What was left out.
    """

    corpora: tuple[Corpus, ...]
    tasks: tuple[tuple[Task, str], ...]
    analyses: tuple[tuple[str, str], ...]
    diagnostics: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    notes: tuple[str, ...]

    def analysed(self, analysis: str) -> list[str]:
        """Return the corpora that an analysis reads."""
        return [corpus for name, corpus in self.analyses if name == analysis]

    def needs_frames(self, corpus: str) -> bool:
        """Say whether anything reads single frames of a corpus."""
        probed = [task for task, name in self.tasks if name == corpus]
        analysed = any(name == corpus for _, name in self.analyses)
        embedded = any(protocol.pairs for protocol in self.protocols) and any(map(verifies, probed))
        return analysed or embedded or any(reads_frames(task) for task in probed)


def make_agenda(config: RunConfig, cache_root: Path) -> Agenda:
    """Load the corpora and match tasks to those that carry their labels.

    Raises:
        UserError: If a task, probe, analysis, diagnostic or corpus is unknown, no corpus has the label
            of a task that was asked for, or nothing is left to do.
    """
    tasks = _tasks(config)
    analyses = _named(config.analysis)
    for name in analyses:
        registry.find("analysis", name, dict.fromkeys(ANALYSES))
    diagnostics = DIAGNOSTICS if config.diagnostic == ("all",) else _named(config.diagnostic)
    for name in diagnostics:
        registry.find("diagnostic", name, dict.fromkeys(DIAGNOSTICS))
    known = registry.protocols()
    named = known if config.protocol == ("all",) else _named(config.protocol)
    protocols = tuple(registry.find("protocol", name, known) for name in named)
    if not tasks and not analyses:
        raise UserError("nothing to do: both --task and --analysis are none")
    defaults = [task.corpus for task in tasks] + [_ANALYSIS_CORPUS for _ in analyses]
    corpora = load_corpora(config.corpus or defaults, cache_root)
    if config.limit is not None:
        corpora = [corpus.limit(config.limit) for corpus in corpora]
    pairs = {task: _pairs(task, corpora, given=bool(config.corpus)) for task in tasks}
    lacking = [task for task, found in pairs.items() if not found]
    if lacking and (config.task or not (analyses or any(pairs.values()))):
        raise UserError(
            f"task {lacking[0].name} {_lack(lacking[0], corpora)}; "
            "name another --corpus or leave the task out"
        )
    measured = corpora if config.corpus else [c for c in corpora if c.name == _ANALYSIS_CORPUS]
    return Agenda(
        corpora=tuple(corpora),
        tasks=tuple(pair for found in pairs.values() for pair in found),
        analyses=tuple((name, corpus.name) for name in analyses for corpus in measured),
        diagnostics=diagnostics,
        protocols=protocols,
        notes=tuple(f"task {task.name} left out, it {_lack(task, corpora)}" for task in lacking),
    )


def reads_frames(task: Task) -> bool:
    """Say whether a task reads single frames and not only statistics of clips."""
    return task.unit == "frame" or any(kind_of(m.probe).frames for m in task.measures)


def labelled(task: Task, corpus: Corpus) -> list[int]:
    """Return the clips that carry a task's label; phones count with or without alignment."""
    wanted = ("phones", "phone_sequence") if task.label == "phones" else (task.label,)
    return [i for i, clip in enumerate(corpus) if any(clip.has_label(name) for name in wanted)]


def _tasks(config: RunConfig) -> list[Task]:
    """Return the tasks asked for, read by the probes asked for."""
    for name in config.probe:
        registry.find("probe", name, dict.fromkeys([OWN, *(kind.name for kind in KINDS)]))
    tasks = [registry.find("task", name, registry.tasks()) for name in _named(config.tasks)]
    return [with_probes(task, config.probe) for task in tasks]


def _named(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names once each; `none` stands for nothing."""
    if "none" in names and len(names) > 1:
        raise UserError(f"{' '.join(names)}: none stands alone")
    return () if tuple(names) == ("none",) else tuple(dict.fromkeys(names))


def _pairs(task: Task, corpora: Sequence[Corpus], *, given: bool) -> list[tuple[Task, str]]:
    """Return the corpora that a task reads: its own by default, else all that carry its label."""
    fitting = corpora if given else [c for c in corpora if c.name == task.corpus]
    return [(task, corpus.name) for corpus in fitting if labelled(task, corpus)]


def _lack(task: Task, corpora: Sequence[Corpus]) -> str:
    names = ", ".join(corpus.name for corpus in corpora)
    return f"needs the label {task.label!r}, and no clip of {names} has it"
