"""Find the corpora named on the command line: `NAME` or `NAME=FOLDER`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from probe_bench import registry
from probe_bench.corpus import Corpus
from probe_bench.errors import CorpusError
from probe_bench.manifest import load_manifest
from probe_bench.trials import with_trials

__all__ = ["load_corpora", "load_corpus"]


def load_corpora(references: Sequence[str], cache_root: Path) -> list[Corpus]:
    """Load several corpora, each once, in the order given.

    Raises:
        CorpusError: As `load_corpus`, or if two corpora share a name.
    """
    corpora = [load_corpus(reference, cache_root) for reference in dict.fromkeys(references)]
    names = [corpus.name for corpus in corpora]
    for name in names:
        if names.count(name) > 1:
            raise CorpusError(
                f"corpus name {name!r} is given twice; names stand in every result row"
            )
    return corpora


def load_corpus(reference: str, cache_root: Path) -> Corpus:
    """Load one corpus.

    Args:
        reference: `NAME` of an embedded corpus, `NAME=FOLDER` of a known data set, or any other
            `NAME=FOLDER` whose folder holds a `manifest.csv`. Either folder may hold official trials
            (`probe_bench.trials`).
        cache_root: Embedded corpora are synthesised below it at first use.

    Raises:
        CorpusError: If the folder is missing or not what the name promises.
        UserError: If the name is unknown.
    """
    name, has_folder, path = reference.partition("=")
    folder = Path(path).expanduser()
    known = registry.corpora()
    if not has_folder:
        spec = registry.find("corpus", name, known)
        if not spec.embedded:
            raise CorpusError(f"corpus {name} needs its folder: --corpus {name}=FOLDER")
        return spec.load(cache_root / "corpora" / name)
    if not re.fullmatch(r"[\w.-]+", name) or not path:
        raise CorpusError(
            f"--corpus {reference}: expected NAME=FOLDER, the name of letters, digits and . _ -"
        )
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; expected the audio of corpus {name}")
    if name in known and known[name].embedded:
        raise CorpusError(f"corpus {name} is embedded and takes no folder: --corpus {name}")
    if (folder / "manifest.csv").exists():
        return with_trials(load_manifest(name, folder), folder)
    if name not in known:
        close = registry.suggest(name, known)
        raise CorpusError(
            f"{folder}: no manifest.csv found, and {name!r} is not a known data set; {close}"
        )
    return with_trials(replace(known[name].load(folder), name=name), folder)
