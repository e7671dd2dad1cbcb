"""Probabilities for every class of a task from a probe that may not know all of them yet.

A code needs a probability for whatever may come, and a probe fitted on the first few units has not
seen every class. Classes it has seen share 1 - e as the probe says; the others share e evenly:

    e = (U / 2) / (n + K / 2),   U of K classes unseen in n units,

the probability that Krichevsky and Trofimov (1981) give to a new class. With no data it is 1: the
uniform code. A tag that all or none of the n units carry has no probe; it gets (n_tag + 1/2) / (n + 1).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probe_bench.probes.units import Label

__all__ = ["Known", "encode", "known", "uniform_bits"]


def encode(labels: tuple[Label, ...], classes: tuple[str, ...]) -> Shaped[Tensor, "units ..."]:
    """Turn labels into class indices, or for tags into membership `units classes`."""
    if isinstance(labels[0], tuple):
        return torch.tensor([[name in tags for name in classes] for tags in labels])
    place = {name: k for k, name in enumerate(classes)}
    return torch.tensor([place[str(label)] for label in labels])


def uniform_bits(targets: Shaped[Tensor, "units ..."], n_classes: int) -> float:
    """Bits per unit of the code that knows nothing: log2 K, or one for each tag."""
    return float(n_classes) if targets.dim() == 2 else math.log2(n_classes)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What some training units tell about the classes, before any feature is looked at.

    Attributes:
        counts: Units of each class.
        n: Units.
        columns: Classes that a probe can be fitted for: seen ones; tags that some but not all carry.
        multi_label: Whether units carry sets of tags.
    """

    counts: Float[Tensor, " classes"]
    n: int
    columns: Int[Tensor, " known"]
    multi_label: bool

    def local(self, targets: Shaped[Tensor, "units ..."]) -> Shaped[Tensor, "units ..."]:
        """Targets in terms of `columns`; classes that are not among them are one beyond."""
        if self.multi_label:
            return targets[:, self.columns]
        place = torch.full_like(self.counts, len(self.columns), dtype=torch.long)
        place[self.columns] = torch.arange(len(self.columns), device=place.device)
        return place[targets]

    def prior_scores(self) -> Float[Tensor, " known"]:
        """Scores (logits) of the known classes by their frequencies alone."""
        counts = self.counts[self.columns] + 0.5
        return (counts / (self.n + 1)).logit() if self.multi_label else counts.log()

    def prior_bits(self, targets: Shaped[Tensor, "units ..."]) -> Float[Tensor, " units"]:
        """Bits of each unit by class frequencies alone (Krichevsky-Trofimov)."""
        if not self.multi_label:
            share = (self.counts + 0.5) / (self.n + len(self.counts) / 2)
            return -share.log2()[targets]
        share = (self.counts + 0.5) / (self.n + 1)
        return -torch.where(targets, share, 1 - share).log2().sum(1)

    def bits(
        self, logits: Float[Tensor, "units known"], targets: Shaped[Tensor, "units ..."]
    ) -> Float[Tensor, " units"]:
        """Bits of each unit by the logits of a probe for `columns` (float64)."""
        if self.multi_label:
            return self._tag_bits(logits.double(), targets)
        n_classes, n_known = len(self.counts), len(self.columns)
        unseen = n_classes - n_known
        new = (unseen / 2) / (self.n + n_classes / 2)
        log_p = torch.log_softmax(logits.double(), 1) + math.log1p(-new)
        if unseen:
            beyond = log_p.new_full((len(log_p), 1), math.log(new / unseen))
            log_p = torch.cat([log_p, beyond], 1)
        return -log_p.gather(1, self.local(targets)[:, None])[:, 0] / math.log(2)

    def _tag_bits(
        self, logits: Float[Tensor, "units known"], targets: Shaped[Tensor, "units classes"]
    ) -> Float[Tensor, " units"]:
        constant = (self.counts + 0.5) / (self.n + 1)
        every = constant.logit().repeat(len(targets), 1)
        every[:, self.columns] = logits
        sign = 1 - 2 * targets.double()
        return torch.nn.functional.softplus(sign * every).sum(1) / math.log(2)

    def predicted(self, logits: Float[Tensor, "units known"]) -> Shaped[Tensor, "units ..."]:
        """What metrics take: class indices, or the scores of all tags."""
        if not self.multi_label:
            return self.columns[logits.argmax(1)]
        constant = (self.counts + 0.5) / (self.n + 1)
        every = constant.logit().float().repeat(len(logits), 1)
        every[:, self.columns] = logits.float()
        return every


def known(targets: Shaped[Tensor, "units ..."], n_classes: int) -> Known:
    """Count the classes of some training units."""
    if targets.dim() == 2:
        counts = targets.double().sum(0)
        seen = (counts > 0) & (counts < len(targets))
    else:
        counts = torch.bincount(targets, minlength=n_classes).double()
        seen = counts > 0
    return Known(
        counts=counts,
        n=len(targets),
        columns=seen.nonzero()[:, 0],
        multi_label=targets.dim() == 2,
    )
