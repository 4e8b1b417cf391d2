"""Honest programs run unchanged: Ocean's layout, training with torch, figures, tables, worker processes."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compute.sandbox import Ending, Sandbox, Task, Wall
from marketplace.errors import InputError

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack

# As Ocean's own examples find their input and leave their result.
OCEAN = b"""
import json
import os
import sys


def get_input(local=False):
    dids = os.getenv("DIDS", None)
    if not dids:
        print("No DIDs found in environment. Aborting.")
        return None
    dids = json.loads(dids)
    for did in dids:
        filename = f"data/inputs/{did}/0"
        print(f"Reading asset file {filename}.")
        with open(f"data/ddos/{did}") as ddo:
            print("Listing:", json.load(ddo)["id"])
        return filename


def run(local=False):
    filename = get_input(local)
    with open(filename) as file:
        rows = [list(map(float, line.split(","))) for line in file]
    with open("/data/inputs/algoCustomData.json") as file:
        column = json.load(file)["column"]
    mean = sum(row[column] for row in rows) / len(rows)
    print("Transformation", os.environ["TRANSFORMATION_DID"], "in", os.getcwd())
    with open("/data/outputs/result.json", "w") as file:
        json.dump({"mean": mean}, file)


if __name__ == "__main__":
    run(local=len(sys.argv) == 2 and sys.argv[1] == "local")
"""


def test_an_algorithm_written_for_ocean_runs_unchanged(sandbox: Sandbox, tmp_path: Path) -> None:
    data = tmp_path / "shuttle.csv"
    data.write_text("1,10\n2,20\n3,60\n")
    data.chmod(0o600)
    listing = tmp_path / "listing"
    listing.write_text('{"id": "did:op:1"}')
    task = Task(
        inputs={"ab12/0": data, "shuttle.csv": data, "algoCustomData.json": b'{"column": 1}'},
        ddos={"ab12": listing},
        transformations={"main.py": OCEAN},
        entrypoint="main.py",
        environment={"TRANSFORMATION_DID": "did:op:2"},
    )
    lines: list[str] = []
    with sandbox.run(task, lines.append) as outcome:
        assert outcome.exit_code == 0, outcome.log_tail
        assert json.loads((outcome.outputs / "result.json").read_text()) == {"mean": 30.0}
        kept = outcome.outputs
    assert lines == [
        "Reading asset file data/inputs/ab12/0.",
        "Listing: did:op:1",
        "Transformation did:op:2 in /",
    ]
    assert not kept.exists()


def test_inputs_are_also_found_flat_by_their_file_name(attack: Attack) -> None:
    seen = attack(
        "print(open('/data/inputs/a.csv').read(), open('/data/inputs/id/0').read(), os.environ['DIDS'])",
        inputs={"id/0": b"same", "a.csv": b"same"},
    )
    assert seen.lines == ['same same ["id"]']


def test_files_of_the_bundle_are_imported_from_beside_the_entrypoint(attack: Attack) -> None:
    seen = attack(
        "from package.module import answer; import sibling; print(answer, sibling.value, __file__)",
        others={"package/__init__.py": b"", "package/module.py": b"answer = 42", "sibling.py": b"value = 7"},
    )
    assert seen.lines == ["42 7 /data/transformations/algorithm"]


def test_torch_trains_inside_and_saves_its_weights(attack: Attack) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    seen = attack(
        """
        import torch
        from safetensors.torch import save_file
        torch.manual_seed(0)
        x = torch.randn(2000, 9)
        y = (x.sum(1) > 0).long()
        model = torch.nn.Sequential(torch.nn.Linear(9, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(50):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print("threads", torch.get_num_threads())
        print("accuracy", (model(x).argmax(1) == y).float().mean().item() > 0.9)
        save_file(model.state_dict(), "/data/outputs/model.safetensors")
        """,
        memory_bytes=2048 << 20,
        wall_seconds=200,
    )
    assert seen.outcome.exit_code == 0, seen.text
    assert "accuracy True" in seen.lines
    assert len(seen.lines) == 2  # torch complains of nothing
    assert safetensors.load(seen.files["model.safetensors"])["0.weight"].shape == (16, 9)


def test_matplotlib_saves_a_figure(attack: Attack) -> None:
    seen = attack(
        """
        import matplotlib.pyplot as plt
        plt.plot([1, 2, 3])
        plt.title("loss")
        plt.savefig("/data/outputs/curve.png")
        """,
        wall_seconds=200,
    )
    assert (seen.outcome.exit_code, seen.lines) == (0, [])
    assert io.BytesIO(seen.files["curve.png"]).read(8) == b"\x89PNG\r\n\x1a\n"


def test_pandas_reads_csv_and_parquet(attack: Attack) -> None:
    seen = attack(
        """
        import pandas
        table = pandas.read_csv("/data/inputs/id/0")
        table.to_parquet("/data/outputs/table.parquet")
        print(pandas.read_parquet("/data/outputs/table.parquet")["b"].sum())
        """,
        inputs={"id/0": b"a,b\n1,2\n3,4\n"},
        wall_seconds=200,
    )
    assert (seen.lines, seen.ending) == (["6"], Ending.exited)


def test_worker_processes_child_programs_and_event_loops_work(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        import asyncio, concurrent.futures, subprocess
        if __name__ == "__main__":
            with concurrent.futures.ProcessPoolExecutor(2) as pool:
                print(list(pool.map(abs, [-1, 2])))
            print(subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True).stdout)
            print(asyncio.run(asyncio.sleep(0.01, "slept")))
            open("/dev/stdout", "w").write("by its path\\n")
        """
    )
    assert seen.lines[:3] == ["[1, 2]", "b'5\\n'", "slept"]
    if wall is Wall.bubblewrap:  # gVisor opens no pipe of the machine a second time
        assert seen.lines[3:] == ["by its path"]


def test_jobs_of_several_threads_run_beside_each_other(attack: Attack) -> None:
    code = (
        "print(open('/data/inputs/id/0').read()); time.sleep(0.3); open('/data/outputs/x', 'w').write('done')"
    )
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(attack, code, inputs={"id/0": str(number).encode()}) for number in range(4)]
    assert [job.result().lines for job in jobs] == [["0"], ["1"], ["2"], ["3"]]
    assert all(job.result().files == {"x": b"done"} for job in jobs)


def test_a_private_folder_is_there_for_plaintext_and_gone_afterwards(sandbox: Sandbox) -> None:
    with sandbox.folder() as (folder, _):
        (folder / "0").write_bytes(b"plaintext")
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_the_project_itself_cannot_be_imported_from_its_checkout(attack: Attack) -> None:
    seen = attack("import importlib.util; print(importlib.util.find_spec('compute'))")
    assert seen.lines == ["None"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "", ".", "a//b", "a\nb", "x" * 600])
def test_paths_that_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a path inside"):
        Task(inputs={name: b""}, transformations={"a": b""}, entrypoint="a")


def test_a_task_without_its_entrypoint_or_with_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="entrypoint"):
        Task(inputs={}, transformations={"a": b""}, entrypoint="b")
    with pytest.raises(InputError, match="no regular file"):
        Task(inputs={"id/0": tmp_path}, transformations={"a": b""}, entrypoint="a")


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "lower", "A=B", ""])
def test_variables_that_steer_the_interpreter_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="variable"):
        Task(inputs={}, transformations={"a": b""}, entrypoint="a", environment={name: "x"})
