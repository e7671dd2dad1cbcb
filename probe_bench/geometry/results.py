"""What the geometry analysis says: one number of one layer, or of a pair of layers."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from probe_bench.bootstrap import Interval
from probe_bench.encoder import Layer
from probe_bench.geometry.jackknife import Scale, interval

__all__ = ["Finding", "Subject"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One number.

    Attributes:
        layer: Whose.
        probe: Estimator.
        metric: What the number is.
        unit: `frame` or `clip`.
        number: Value and 95 % interval; None where there is none.
        n: Units read.
        n_groups: Independent units among them.
        setting: `key=value` pairs joined by `;`, as a row has them.
    """

    layer: Layer
    probe: str
    metric: str
    unit: str
    number: Interval
    n: int
    n_groups: int
    setting: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is being measured: units of one kind of one layer, by one estimator."""

    layer: Layer
    probe: str
    unit: str
    n: int
    n_groups: int

    def found(
        self,
        metric: str,
        replicates: Float[Tensor, " replicates"],
        scale: Scale = "identity",
        **settings: object,
    ) -> Finding:
        """Put an estimate (row 0) and its jackknife replicates into words."""
        return self._finding(metric, interval(replicates, scale), settings)

    def plain(self, metric: str, value: float | None, **settings: object) -> Finding:
        """Put a number without an interval into words; None with a `reason` if there is none."""
        return self._finding(metric, Interval(value=value, low=None, high=None), settings)

    def _finding(self, metric: str, number: Interval, settings: dict[str, object]) -> Finding:
        return Finding(
            layer=self.layer,
            probe=self.probe,
            metric=metric,
            unit=self.unit,
            number=number,
            n=self.n,
            n_groups=self.n_groups,
            setting=_written(settings),
        )


def _written(settings: dict[str, object]) -> str:
    """Join settings as a row holds them; empty ones are left out.

    >>> _written({"other": "hf:a;b", "other_layer": "L3", "reason": ""})
    'other=hf:a,b;other_layer=L3'
    """
    pairs = {key: str(value).replace(";", ",") for key, value in settings.items()}
    return ";".join(f"{key}={value}" for key, value in pairs.items() if value)
