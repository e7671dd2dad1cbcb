"""Verification by a protocol: a speaker embedding trained on frames, and cosines of test trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.frames import in_blocks
from probe_bench.probes.stitching import FoldPredictions, largest_index
from probe_bench.probes.verification import Trials, cosine_scores
from probe_bench.probes.verify import TrialPlan, pair_clips, plan_trials
from probe_bench.protocols.layers import from_sum, in_step, stacked_frames
from probe_bench.protocols.parts import divide
from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Variant
from probe_bench.protocols.training import Inputs, train
from probe_bench.protocols.xvector import FEWEST_FRAMES, XVector, additive_margin_loss
from probe_bench.scoring import Predictions, plain_value
from probe_bench.splits import Fold
from probe_bench.task import Task

__all__ = ["CROP_S", "read_pairs"]

CROP_S = 8.0
"""Seconds that training reads of a longer clip, anew each time."""

_CLIPS_AT_ONCE = 8


def read_pairs(
    protocol: Protocol,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
) -> list[Predictions]:
    """Train the embeddings of a protocol and score the test trials by their cosines.

    The trials are those of the task's own back-ends (`probe_bench.probes.verify`).

    Returns:
        One set of predictions a variant, `best` alone; none where test or valid trials lack pairs of
        one speaker or of two, or training has one speaker.
    """
    config = ProbeConfig()
    plan = plan_trials(task, corpus, folds, config)
    found = (_variant(each, task, corpus, folds, features, plan, config) for each in protocol.pairs)
    return [predictions for predictions in found if predictions]


def _variant(
    variant: Variant,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    plan: TrialPlan,
    config: ProbeConfig,
) -> Predictions | None:
    assert variant.heads
    drawn = divide(folds, variant, variant.heads.regime.seed)
    problems = [_problem(task, corpus, fold, features, variant.heads, config) for fold in drawn]
    learnable = all(each.n_speakers > 1 and each.trials.usable for each in problems)
    if not (plan.usable and learnable):
        return None
    parts = [
        _fold(problem, fold, trials, variant.heads)
        for problem, fold, trials in zip(problems, drawn, plan.folds, strict=True)
    ]
    noted = [(replace(predictions, notes=plan.notes), mix) for predictions, mix in parts]
    names = [features.layers[k].name for k in problems[0].layers]
    return from_sum(
        noted, names, probe=variant.name, unit="trial", metric="eer", corpus=corpus, task=task
    )


def _problem(
    task: Task,
    corpus: Corpus,
    fold: Fold,
    features: Features,
    heads: Heads,
    config: ProbeConfig,
) -> "_Problem":
    """Number the training speakers, and pair the validation clips."""
    layers = in_step(features)
    labels = [corpus.clips[i].labels[task.label] for i in fold.train]
    names, speaker = np.unique(labels, return_inverse=True)
    return _Problem(
        features=features,
        layers=layers,
        clips=fold.train,
        speaker=torch.from_numpy(speaker),
        n_speakers=len(names),
        valid=fold.valid,
        trials=TrialPlan(folds=(pair_clips(task, corpus, fold.valid, config),)),
        longest=int(CROP_S * features.layers[layers[0]].frame_rate_hz),
        generator=torch.Generator().manual_seed(heads.regime.seed),
    )


def _fold(
    problem: "_Problem", fold: Fold, test: Trials, heads: Heads
) -> tuple[FoldPredictions, Float[Tensor, " layers"]]:
    """Train on one fold, choose on its validation trials, and score its test trials."""
    features, layers = problem.features, problem.layers
    dim = features.layers[layers[0]].dim
    sizes = Sizes(layers=len(layers), dim=dim, classes=problem.n_speakers)
    device = features.frames(layers[0], problem.clips[:1])[0].device
    trained = train(heads.candidates(sizes), problem, heads.regime, device)
    best = trained[largest_index([each.value for each in trained])]
    with torch.no_grad():
        scores = problem.cosines(lambda x: best.module(*x).unsqueeze(0), fold.test, test)
    assert isinstance(best.module, XVector)
    clips = np.array(fold.test)
    return (
        FoldPredictions(
            clip=clips[test.first.numpy()],
            other=clips[test.second.numpy()],
            targets=test.same.numpy(),
            predicted=scores.cpu().numpy(),
            settings=(f"{best.candidate.setting};epoch={best.epoch}",),
            valid_values=(-best.value,),
        ),
        best.module.mix.detach().softmax(0),
    )


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """Clips of one fold; frames are read from the cache batch by batch, padded to the longest.

    Attributes:
        features: Cached features.
        layers: Which are summed.
        clips: Training clips.
        speaker: Number of the speaker of each.
        n_speakers: How many there are.
        valid: Validation clips.
        trials: Pairs of them.
        longest: Frames that training reads of a clip at most.
        generator: Draws where the crops begin.
    """

    features: Features
    layers: Sequence[int]
    clips: Sequence[int]
    speaker: Int[Tensor, " clips"]
    n_speakers: int
    valid: Sequence[int]
    trials: TrialPlan
    longest: int
    generator: torch.Generator = field(repr=False)

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, units: Int[Tensor, " batch"]) -> tuple[Tensor, ...]:
        return self._read([self.clips[i] for i in units.tolist()], self._crop)

    def _read(
        self, clips: Sequence[int], cut: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "batch frames layers dim"], Int[Tensor, " batch"]]:
        frames = stacked_frames(self.features, self.layers, clips)
        own = [cut(_long_enough(x)) for x in frames]
        lengths = torch.tensor([len(x) for x in own], device=own[0].device)
        return pad_sequence(own, batch_first=True), lengths

    def _crop(self, x: Float[Tensor, "frames layers dim"]) -> Float[Tensor, "_ layers dim"]:
        """Cut a long clip at random."""
        spare = len(x) - max(self.longest, FEWEST_FRAMES)
        if spare <= 0:
            return x
        start = int(torch.randint(spare + 1, (), generator=self.generator))
        return x[start : len(x) - spare + start]

    def losses(
        self, outputs: Float[Tensor, "heads batch speakers"], units: Int[Tensor, " batch"]
    ) -> Float[Tensor, " heads"]:
        speaker = self.speaker[units].to(outputs.device).expand(outputs.shape[:2])
        return additive_margin_loss(outputs, speaker).mean(1)

    def values(self, forward: Callable[[Inputs], Float[Tensor, "heads batch dim"]]) -> list[float]:
        (trials,) = self.trials.folds
        same = trials.same.numpy()
        found = self.cosines(forward, self.valid, trials).cpu().numpy()
        return [-plain_value("eer", same, each) for each in found]

    def cosines(
        self,
        forward: Callable[[Inputs], Float[Tensor, "heads batch dim"]],
        clips: Sequence[int],
        trials: Trials,
    ) -> Float[Tensor, "heads trials"]:
        """Score pairs of clips by every head; clips that are in no pair are not read."""
        if not len(trials):
            return torch.zeros(1, 0)
        used, place = torch.unique(torch.cat([trials.first, trials.second]), return_inverse=True)
        first, second = place.chunk(2)
        wanted = [clips[i] for i in used.tolist()]
        # Clips of about one length side by side: little is padded.
        order = self.features.n_frames(self.layers[0])[torch.tensor(wanted)].cpu().argsort()
        blocks = in_blocks([wanted[i] for i in order.tolist()], _CLIPS_AT_ONCE)
        embedded = torch.cat([forward(self._read(block, _whole)) for block in blocks], 1)
        ordered = embedded[:, order.argsort().to(embedded.device)]
        own = Trials(first=first, second=second, same=trials.same)
        return torch.stack([cosine_scores(each, own) for each in ordered])


def _whole(x: Float[Tensor, "frames layers dim"]) -> Float[Tensor, "frames layers dim"]:
    return x


def _long_enough(x: Float[Tensor, "frames layers dim"]) -> Float[Tensor, "_ layers dim"]:
    """Repeat a clip that is shorter than the network can read."""
    if len(x) >= FEWEST_FRAMES:
        return x
    return x.repeat(-(-FEWEST_FRAMES // len(x)), 1, 1)[:FEWEST_FRAMES]
