"""One kind at one severity, ready to be applied to any clip of a corpus."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from probe_bench.degradations.kinds import Call, Kind
from probe_bench.degradations.spectrum import LongTermSpectrum

__all__ = ["Degradation"]


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """A kind at a severity.

    What is drawn (noise, room, filter) depends on the seed, the clip and the kind: all severities
    share it, and so do all encoders.

    Attributes:
        kind: The kind.
        severity: In the unit of the kind's axis.
        seed: Seed of the run.
        spectrum: Long-term spectrum of the corpus, where the kind uses it.
    """

    kind: Kind
    severity: float
    seed: int
    spectrum: LongTermSpectrum | None = None

    @property
    def setting(self) -> str:
        """Severity as in result rows, e.g. `snr_db=5`."""
        return f"{self.kind.axis}={self.severity:g}"

    def canonical(self) -> str:
        """Return everything that decides the samples, but for the corpus that it is applied to."""
        record = {
            "kind": self.kind.name,
            self.kind.axis: self.severity,
            "seed": self.seed,
            "version": self.kind.version,
        }
        return json.dumps(record, sort_keys=True)

    def apply(
        self, samples: Float32[np.ndarray, " samples"], rate_hz: int, clip_id: str
    ) -> Float32[np.ndarray, " samples"]:
        """Degrade one clip at its own rate; number of samples and RMS stay.

        Args:
            samples: The clean clip.
            rate_hz: Its sample rate.
            clip_id: Decides, with seed and kind, what is drawn.
        """
        if self.severity == self.kind.neutral:
            return samples
        text = json.dumps([self.seed, clip_id, self.kind.name])
        digest = hashlib.sha256(text.encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        call = Call(rate_hz=rate_hz, severity=self.severity, rng=rng, spectrum=self.spectrum)
        degraded = self.kind.apply(samples, call)
        assert len(degraded) == len(samples)
        assert np.isfinite(degraded).all()
        return degraded
