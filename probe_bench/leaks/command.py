"""`leaks`: evaluation corpora against pretraining audio; exit code 1 if they share any audio."""

from functools import partial

from rich.console import Console

from probe_bench import screen
from probe_bench.cache import default_root
from probe_bench.config import LeaksConfig
from probe_bench.corpora import load_corpora
from probe_bench.errors import UserError
from probe_bench.folders import make_folder
from probe_bench.leaks.against import Audience, SharedAudio, compare
from probe_bench.leaks.sides import Side, open_side
from probe_bench.leaks.table import Leak, write_leaks

__all__ = ["leaks"]

_SHOWN = 10


def leaks(config: LeaksConfig) -> int:
    """Compare, print and write what is shared; return 1 if audio is, 0 if none is."""
    if not config.corpus or not config.against:
        raise UserError("leaks needs at least one corpus, and audio --against which to look")
    console = Console()
    out = make_folder(config.out)
    root = config.cache or default_root()
    corpora = load_corpora(config.corpus, root)
    pretraining = open_side(config.against, root)
    found: list[Leak] = []
    for corpus in corpora:
        evaluation = Side(corpora=(corpus,), qualified=False)
        with screen.progress(console) as bar:
            job = bar.add_task(f"compare {corpus.name}", total=None)
            shared = compare(
                evaluation,
                pretraining,
                corpus=corpus.name,
                index_pretraining=pretraining.n_bytes < evaluation.n_bytes,
                skip_bad=config.skip_bad,
                advance=partial(bar.advance, job),
            )
        _report(shared, corpus.name, console)
        found += shared.leaks
    write_leaks(found, out / "leaks.csv")
    console.print(f"leaks: {out / 'leaks.csv'}", soft_wrap=True, markup=False)
    return 1 if any(leak.is_audio for leak in found) else 0


def _report(shared: SharedAudio, corpus: str, console: Console) -> None:
    """Print what one corpus shares."""
    audio = [leak for leak in shared.leaks if leak.is_audio]
    clips = len({leak.clip for leak in audio})
    lines = [
        f"{corpus}: {clips} of {shared.evaluation.recordings} clips are in the pretraining audio"
        if clips
        else f"{corpus}: no audio shared",
        f"  looked at {_heard(shared.evaluation)}",
        f"  against {_heard(shared.pretraining)}",
        *(f"  {leak}" for leak in audio[:_SHOWN]),
        *([f"  ... {len(audio) - _SHOWN} more in leaks.csv"] if audio[_SHOWN:] else []),
        *(f"  shared names: {leak}" for leak in shared.leaks if not leak.is_audio),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _heard(side: Audience) -> str:
    """Say how much of a side was heard, and what of it could not be judged."""
    gaps = [f"{count} {reason}" for reason, count in sorted(side.unjudged.items())]
    gaps += [f"{len(side.left_out)} unusable: {side.left_out[0]}"] if side.left_out else []
    text = f"{side.recordings} recordings, {screen.human_seconds(side.seconds)}"
    return f"{text}; not judged: {', '.join(gaps)}" if gaps else text
