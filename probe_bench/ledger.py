"""Where the seconds and bytes of a run went; written to run.json, never to result rows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

__all__ = ["Ledger", "Stage"]


@dataclass(kw_only=True)
class Stage:
    """One timed piece of work."""

    stage: str
    encoder: str = ""
    corpus: str = ""
    task: str = ""
    seconds: float = 0.0
    bytes: int = 0


@dataclass
class Ledger:
    """All stages of a run in the order they ended; some were done side by side."""

    stages: list[Stage] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def time(
        self, stage: str, *, encoder: str = "", corpus: str = "", task: str = ""
    ) -> Iterator[Stage]:
        """Time a block; set `bytes` on what it yields if the block writes or reads any."""
        entry = Stage(stage=stage, encoder=encoder, corpus=corpus, task=task)
        start = time.perf_counter()
        yield entry
        entry.seconds = time.perf_counter() - start
        self.stages.append(entry)

    def record(self) -> dict[str, object]:
        """Return the stages and the seconds since the ledger was opened, ready for JSON."""
        total = time.perf_counter() - self.began
        return {"total": total, "stages": [asdict(stage) for stage in self.stages]}
