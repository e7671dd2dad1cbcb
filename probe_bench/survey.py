"""Look at every clip once before work starts: is its audio usable, and what are its bytes?"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from probe_bench.audio import read
from probe_bench.corpus import Clip, Corpus
from probe_bench.degradations import Degradation
from probe_bench.errors import AudioError, CorpusError
from probe_bench.leaks.fingerprint import Fingerprint, fingerprint

__all__ = ["LeftOut", "Survey", "survey"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A clip that a run does without, and why."""

    clip: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A corpus whose audio has been looked at.

    Attributes:
        corpus: The usable clips.
        n_samples: Length of each usable clip at its file's own rate, and that rate in Hz.
        digest: sha256 over the audio bytes and labels of the usable clips, and official trials.
        left_out: The clips that are not used, with reasons.
        prints: Fingerprint of each usable clip, if they were asked for.
        degradation: What is done to every clip before an encoder hears it.
    """

    corpus: Corpus
    n_samples: tuple[tuple[int, int], ...]
    digest: str
    left_out: tuple[LeftOut, ...]
    prints: tuple[Fingerprint, ...] = ()
    degradation: Degradation | None = None

    def part(self, clips: Sequence[int], name: str, degradation: Degradation) -> "Survey":
        """Return some of the clips, degraded, as a survey of their own.

        Args:
            clips: Their numbers.
            name: Name of the part.
            degradation: What is done to them.
        """
        which = json.dumps([self.digest, list(clips)])
        return Survey(
            corpus=replace(
                self.corpus, name=name, clips=tuple(self.corpus.clips[i] for i in clips)
            ),
            n_samples=tuple(self.n_samples[i] for i in clips),
            digest=hashlib.sha256(which.encode()).hexdigest(),
            left_out=(),
            degradation=degradation,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What a look at one file gives."""

    n_samples: int
    rate_hz: int
    digest: str
    print: Fingerprint | None


def survey(
    corpus: Corpus,
    *,
    skip_bad: bool,
    shortest_s: float = 0.0,
    fingerprints: bool = False,
    threads: int = 4,
    advance: Callable[[], object] = lambda: None,
) -> Survey:
    """Decode every clip, hash its bytes and leave out or refuse what cannot be used.

    Args:
        corpus: Clips to look at.
        skip_bad: Leave unusable clips out; otherwise the first one is an error.
        shortest_s: Least length that every encoder of the run can take.
        fingerprints: Whether to make fingerprints while the audio is at hand.
        threads: Files decoded at once.
        advance: Called after each clip, for a progress bar.

    Raises:
        AudioError: If a clip is unusable and `skip_bad` is off.
        CorpusError: If no clip is left.
    """

    def look(clip: Clip) -> _Seen | AudioError:
        try:
            return _look(clip.path, shortest_s, fingerprints=fingerprints)
        except AudioError as error:
            return error
        finally:
            advance()

    with ThreadPoolExecutor(threads) as pool:
        seen = list(zip(corpus.clips, pool.map(look, corpus.clips), strict=True))
    bad = [(clip, found) for clip, found in seen if isinstance(found, AudioError)]
    good = [(clip, found) for clip, found in seen if isinstance(found, _Seen)]
    if not good:
        raise CorpusError(
            f"corpus {corpus.name}: none of {len(corpus)} clips is usable; first: {bad[0][1]}"
        )
    if bad and not skip_bad:
        others = f"{len(bad) - 1} more like it; " if bad[1:] else ""
        raise AudioError(f"{bad[0][1]} ({others}--skip-bad leaves such clips out)")
    total = hashlib.sha256()
    for clip, found in good:
        total.update(json.dumps([found.digest, clip.record()], sort_keys=True).encode())
    for trial in corpus.trials:
        total.update(json.dumps([trial.same, trial.first, trial.second]).encode())
    return Survey(
        corpus=replace(corpus, clips=tuple(clip for clip, _ in good)),
        n_samples=tuple((found.n_samples, found.rate_hz) for _, found in good),
        digest=total.hexdigest(),
        left_out=tuple(
            LeftOut(clip=clip.id, reason=_reason(clip.path, error)) for clip, error in bad
        ),
        prints=tuple(found.print for _, found in good if found.print is not None),
    )


def _look(path: Path, shortest_s: float, *, fingerprints: bool) -> _Seen:
    """Decode one file and hash its bytes."""
    samples, rate_hz = read(path)
    if len(samples) < shortest_s * rate_hz:
        raise AudioError(
            f"{path}: {len(samples) / rate_hz:.3f} s; expected at least {shortest_s:.3f} s, the "
            "shortest that every encoder of this run takes; remove it or pad it"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    made = fingerprint(samples, rate_hz) if fingerprints else None
    return _Seen(n_samples=len(samples), rate_hz=rate_hz, digest=digest, print=made)


def _reason(path: Path, error: AudioError) -> str:
    """Shorten a one-line error to what was found; the clip's name stands beside it."""
    return str(error).removeprefix(f"{path}: ").split(";")[0]
