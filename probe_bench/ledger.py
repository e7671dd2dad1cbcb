"""Where the seconds and bytes of a run went; written to run.json, never to result rows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

__all__ = ["Ledger", "Stage"]


@dataclass(kw_only=True)
class Stage:
    """One kind of work; what goes by the same names adds up."""

    stage: str
    encoder: str = ""
    corpus: str = ""
    task: str = ""
    seconds: float = 0.0
    bytes: int = 0


@dataclass
class Ledger:
    """All stages of a run in the order they first ended; some were done side by side."""

    _stages: dict[tuple[str, str, str, str], Stage] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def time(
        self, stage: str, *, encoder: str = "", corpus: str = "", task: str = ""
    ) -> Iterator[Stage]:
        """Time a block; set `bytes` on what it yields if the block writes or reads any."""
        piece = Stage(stage=stage, encoder=encoder, corpus=corpus, task=task)
        start = time.perf_counter()
        yield piece
        taken_s = time.perf_counter() - start
        total = self._stages.setdefault((stage, encoder, corpus, task), replace(piece, bytes=0))
        total.seconds += taken_s
        total.bytes += piece.bytes

    def record(self) -> dict[str, object]:
        """Return the stages and the seconds since the ledger was opened, ready for JSON."""
        total = time.perf_counter() - self.began
        return {"total": total, "stages": [asdict(stage) for stage in self._stages.values()]}
