"""Two processes learn what one would: statistics, gradients, trainings, files."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from probe_bench.encoders.pretraining.distributed import process_group
from probe_bench.encoders.pretraining.gather import all_rows, all_sum, n_rows, rank, world_size
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train

from .micro import SYSTEMS, wandering_tones
from .two_processes import DIM, LOSSES, ROWS, SHARES, fixed, recipes, value_and_gradient

_REPOSITORY = Path(__file__).parents[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run both processes once; everything below looks at what they left."""
    folder = tmp_path_factory.mktemp("two")
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.encoders.two_processes", str(folder)],
            cwd=_REPOSITORY,
            env=os.environ | shared | {"RANK": str(n), "LOCAL_RANK": str(n)},
            stderr=subprocess.PIPE,
        )
        for n in range(2)
    ]
    said = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return folder


@pytest.fixture(scope="module")
def found(out: Path) -> list[dict[str, Any]]:
    return [torch.load(out / f"found-{n}.pt") for n in range(2)]


@pytest.mark.parametrize("kind", SHARES)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_those_of_the_whole_batch(
    name: str, kind: str, found: list[dict[str, Any]]
) -> None:
    value, gradient = value_and_gradient(name, slice(None))
    expected = torch.cat([value.flatten(), gradient.flatten()])
    assert gradient.abs().max() > 1e-2
    for process in found:
        torch.testing.assert_close(process[f"{name}, {kind}"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SHARES)
def test_rows_of_all_processes_stand_in_order(kind: str, found: list[dict[str, Any]]) -> None:
    for process in found:
        assert torch.equal(process[f"rows, {kind}"], fixed(ROWS, DIM))


@pytest.mark.parametrize("what", ["drawn", "SigReg", "RdmReg"])
def test_processes_draw_the_same_whatever_they_drew_before(
    what: str, found: list[dict[str, Any]]
) -> None:
    assert torch.equal(found[0][what], found[1][what])


def _trained(tensors: dict[str, Tensor]) -> list[str]:
    moment = "optimiser.exp_avg_sq."
    return [name.removeprefix(moment) for name in tensors if name.startswith(moment)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_learn_what_one_does(system: str, out: Path, tmp_path: Path) -> None:
    recipe = recipes()[system]
    train(recipe, wandering_tones(), TrainOptions(out=tmp_path, monitor_every=2))
    alone, together = (load_file(f / "checkpoint.safetensors") for f in (tmp_path, out / system))
    assert alone.keys() == together.keys()
    # Where a gradient is rounding alone (a bias of all keys, one before a batch norm) Adam scales
    # rounding up: such weights are left out.
    sizes = {n: alone[f"optimiser.exp_avg_sq.{n}"].sqrt() for n in _trained(alone)}
    least = 1e-5 * max(size.max() for size in sizes.values())
    felt = {name: size > least for name, size in sizes.items()}
    assert np.mean([share.float().mean() for share in felt.values()]) > 0.5
    for name, tensor in alone.items():
        if name.startswith("optimiser.step."):
            assert tensor == together[name] == recipe.steps
            continue
        there = felt.get(name.split(".", 2)[2] if name.startswith("optimiser.") else name)
        both = (together[name], tensor) if there is None else (together[name][there], tensor[there])
        if there is not None or name.startswith("teacher."):
            torch.testing.assert_close(*both, rtol=1e-3, atol=1e-5, msg=name)
    logs = [pd.read_csv(f / "log.csv") for f in (tmp_path, out / system)]
    assert list(logs[0]["step"]) == list(logs[1]["step"]) == [2, 3]
    for column in ("loss", "prediction", "penalty", "lr", "grad_norm"):
        assert list(logs[1][column]) == pytest.approx(list(logs[0][column]), rel=1e-4), column


def test_only_the_first_process_writes(found: list[dict[str, Any]]) -> None:
    assert {"checkpoint.safetensors", "log.csv", "tensorboard"} <= set(found[0]["files"])
    assert found[1]["files"] == []


def test_a_batch_that_cannot_be_shared_is_refused(found: list[dict[str, Any]]) -> None:
    for process in found:
        assert "a batch of 3 crops" in process["odd"]
        assert "2 processes; expected a multiple" in process["odd"]


def test_resumed_on_two_processes_is_uninterrupted(out: Path) -> None:
    files = (out / folder / "checkpoint.safetensors" for folder in ("lejepa", "resumed"))
    whole, resumed = (load_file(file) for file in files)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_processes_without_a_shared_folder_do_not_wait_for_ever(
    found: list[dict[str, Any]],
) -> None:
    for number, process in enumerate(found):
        assert f"process {number} found {[2, 0][number]} steps done" in process["apart"]
        assert "put --out on a folder that every machine shares" in process["apart"]


def test_a_collapse_stops_all_processes(found: list[dict[str, Any]]) -> None:
    assert "constant collapse in the last 3 monitored steps" in found[0]["collapsed"]
    assert "the first process saw a collapse" in found[1]["collapsed"]


def test_without_a_group_everything_is_the_identity() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    assert (rank(), world_size(), n_rows(rows)) == (0, 1, 3)
    assert all_rows(rows) is rows
    assert all_sum(rows) is rows
    with process_group("cpu") as device:
        assert (device, world_size()) == ("cpu", 1)
