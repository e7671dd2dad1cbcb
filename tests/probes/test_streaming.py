import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from probe_bench.errors import UserError
from probe_bench.probes.scratch import Room

CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA is Linux's")
def test_features_four_times_larger_than_memory_give_the_same_probe(tmp_path: Path) -> None:
    child = [sys.executable, str(Path(__file__).parent / "streamed_solve.py"), str(tmp_path)]
    # What the allocator keeps of freed blocks is not what is tested: give them back at once.
    own = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(child, capture_output=True, text=True, check=False, env=own)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["limit holds"]
    assert found["features by memory"] == 4
    assert found["left in the folder"] == []
    for probe, compared in found["probes"].items():
        assert len(set(compared["strengths"])) == 1, probe
        assert compared["values"][0] == pytest.approx(compared["values"][1], abs=1e-3)
        assert compared["values"][0] > 0.5  # of four classes
        assert compared["weights"] < 1e-5
        assert compared["same"] >= 0.999


def test_a_matrix_beyond_the_budget_lies_in_a_file_without_a_name(tmp_path: Path) -> None:
    room = Room(budget_bytes=4 * 300, folder=tmp_path)
    small, large = room.empty(100, 3, CPU), room.empty(101, 3, CPU)
    large[:] = torch.arange(303.0).view(101, 3)
    assert list(tmp_path.iterdir()) == []
    assert large.flatten().tolist() == list(range(303))
    maps = Path("/proc/self/maps").read_text()

    def in_file(x: torch.Tensor) -> bool:
        spans = [line.split()[0].split("-") for line in maps.splitlines() if ".scratch" in line]
        return any(int(a, 16) <= x.data_ptr() < int(b, 16) for a, b in spans)

    assert in_file(large)
    assert not in_file(small)


def test_a_folder_without_room_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match=r"file.*cannot be written to.*--cache"):
        Room(budget_bytes=0, folder=file / "below").empty(10, 10, CPU)
    with pytest.raises(UserError, match=r"no room for [\d.]+ GB.*--train-frames"):
        Room(budget_bytes=0, folder=tmp_path).empty(1 << 30, 1 << 18, CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
