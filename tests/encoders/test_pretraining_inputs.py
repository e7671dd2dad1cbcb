"""Targets that are no outputs of an encoder: the front end's patches (MAE), and classes of them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.jepa import Jepa, MaskedBatch
from probe_bench.encoders.pretraining.losses.codes import RandomQuantiser
from probe_bench.encoders.pretraining.losses.objective import token_loss
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.masks import gather_tokens
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import Trainer, build_model
from probe_bench.errors import UserError

from .micro import micro, wandering_tones

PATCHES = TargetRule(source="input", normalisation="layer")
CODES = TargetRule(source="input", codes=8)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return wandering_tones()


def _recipe(targets: TargetRule, **changes: object) -> Recipe:
    changes = {"objective": "cross_entropy" if targets.codes else "mse", "teacher": None} | changes
    return micro("audio-jepa", targets=targets, **changes)


def _batch(recipe: Recipe, tape: Tape, step: int = 0) -> MaskedBatch:
    batch = BatchMaker(recipe=recipe, source=tape, seed=0)(step)
    assert isinstance(batch, MaskedBatch)
    return batch


def test_loss_of_patches_is_the_distance_to_the_hidden_log_mel(tape: Tape) -> None:
    recipe = _recipe(PATCHES)
    model, batch = build_model(recipe, 0), _batch(recipe, tape)
    assert isinstance(model, Jepa)
    assert isinstance(model.head, nn.Linear)
    nn.init.zeros_(model.head.weight)
    nn.init.constant_(model.head.bias, 0.5)
    # Whatever the encoder says, one half is predicted: a loop over hidden patches is the oracle.
    with torch.no_grad():
        loss = model(batch).loss.item()
        patches = model.encoder.frontend.features(batch.waveform).numpy()
    losses = []
    for row, visible in zip(patches, batch.visible.numpy(), strict=True):
        for patch, seen in zip(row, visible, strict=True):
            if not seen:
                unit = (patch - patch.mean()) / np.sqrt(patch.var() + 1e-5)
                losses.append(np.mean((0.5 - unit) ** 2))
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("targets", [TargetRule(source="input"), CODES, TargetRule(codes=8)])
def test_trainings_learn_what_they_predict(targets: TargetRule, tape: Tape) -> None:
    teacher = micro("audio-jepa").teacher if targets.source == "encoder" else None
    recipe = _recipe(targets, steps=40, teacher=teacher)
    recipe = dataclasses.replace(recipe, optimiser=dataclasses.replace(recipe.optimiser, lr=1e-2))
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    rows = [
        trainer.step(step, _batch(recipe, tape, step), monitored=step == 39) for step in range(40)
    ]
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert rows[-1]["verdict"] != "stem"


def test_classes_are_the_nearest_codes_and_the_same_every_time() -> None:
    quantiser, tokens = RandomQuantiser(12, 8), torch.randn(50, 12)
    classes = quantiser(tokens)
    projected = (tokens @ quantiser.projection).numpy()
    for row, hot in zip(projected, classes.numpy(), strict=True):
        unit = row / np.linalg.norm(row)
        distances = [np.linalg.norm(unit - code) for code in quantiser.codebook.numpy()]
        assert hot.tolist() == [float(k == int(np.argmin(distances))) for k in range(8)]
    assert torch.equal(RandomQuantiser(12, 8)(tokens), classes)
    assert len(classes.argmax(1).unique()) > 4
    assert not quantiser.state_dict()


def test_cross_entropy_is_torchs() -> None:
    logits, classes = torch.randn(20, 5), torch.randint(5, (20,))
    ones = nn.functional.one_hot(classes, 5).float()
    expected = nn.functional.cross_entropy(logits, classes, reduction="none")
    torch.testing.assert_close(token_loss(logits, ones, "cross_entropy"), expected)


def test_teachers_classes_are_those_of_its_outputs(tape: Tape) -> None:
    recipe = _recipe(TargetRule(codes=8), teacher=micro("audio-jepa").teacher)
    model, batch = build_model(recipe, 0), _batch(recipe, tape)
    assert isinstance(model, Jepa)
    seen: list[torch.Tensor] = []
    model.quantiser.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    model(batch)
    features = model.encoder.frontend.features(batch.waveform)
    taught = model.teach(batch.waveform, model.encoder.tokens(features), features)
    torch.testing.assert_close(seen[0], recipe.targets.build(taught))
    assert gather_tokens(seen[0], batch.targets.index).shape[-1] == recipe.encoder.dim


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": micro("audio-jepa").teacher}, "targets from the input have no views, teacher"),
        (
            {"objective": "cross_entropy"},
            "the objective cross_entropy and targets.codes go together",
        ),
        ({"frontend": micro("wavjepa").frontend}, "a front end that learns"),
    ],
)
def test_senseless_combinations_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        _recipe(PATCHES, **changes)
