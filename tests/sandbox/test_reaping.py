"""A runner that is killed, and what its successor finds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compute.sandbox import Isolation, Sandbox, Wall, cgroup
from marketplace.errors import RefusedError

RUNNER = """
import sys
from pathlib import Path
from compute.sandbox import Sandbox, Task, Wall
code = b"import os, time\\nif os.fork(): print('up')\\ntime.sleep(600)"
task = Task(inputs={"id/0": b"plaintext"}, transformations={"a": code}, entrypoint="a")
show = lambda line: print(line, flush=True)
with Sandbox(Path(sys.argv[1]), wall=Wall[sys.argv[2]]) as sandbox, sandbox.run(task, show):
    pass
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    folder = Path("/dev/shm") / f"steelyard-test-{uuid.uuid4().hex}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start_runner(scratch: Path, wall: Wall) -> subprocess.Popen[str]:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(scratch), wall.value], stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    assert runner.stdout.readline() == "up\n"
    return runner


def mounted() -> set[str]:
    """The machine's mounts, less the small disks that other tests mount meanwhile."""
    return {line for line in Path("/proc/self/mounts").read_text().splitlines() if "/pytest-of-" not in line}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def test_a_killed_runner_takes_its_jobs_with_it_and_its_leftovers_are_reaped(
    scratch: Path, wall: Wall, processes_below: Callable[[int], set[int]]
) -> None:
    mounts = mounted()
    runner = start_runner(scratch, wall)
    try:
        below = processes_below(runner.pid)
        assert len(below) >= 4  # bubblewrap, supervisor, algorithm, its child
        assert mounted() == mounts  # nothing is mounted where others see it
        groups = [
            path for place in cgroup.find().folders() for path in place.glob(f"steelyard-{runner.pid}-*")
        ]
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
    deadline = time.monotonic() + 10
    while alive(below) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(below) == set()
    left = list(scratch.glob("run-*"))
    assert len(left) == 1
    with Sandbox(scratch) as sandbox:
        assert set(sandbox.reaped) >= set(left)  # a sandbox of another process may have reaped the groups
        assert not any(path.exists() for path in [*left, *groups])
        if Isolation.CGROUP_MEMORY in sandbox.probe():
            assert groups
    assert list(scratch.iterdir()) == []


def test_a_living_runners_job_is_left_alone(
    scratch: Path, wall: Wall, processes_below: Callable[[int], set[int]]
) -> None:
    runner = start_runner(scratch, wall)
    try:
        below = processes_below(runner.pid)
        with Sandbox(scratch) as sandbox:
            assert not any(path.is_relative_to(scratch) for path in sandbox.reaped)
            assert not any(f"-{runner.pid}-" in path.name for path in sandbox.reaped)
        assert alive(below) == below
        assert len(list(scratch.glob("run-*"))) == 1
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.communicate()


def test_a_scratch_folder_that_is_a_link_is_refused(scratch: Path, tmp_path: Path) -> None:
    scratch.symlink_to(tmp_path)
    try:
        with pytest.raises(RefusedError, match="not ours"):
            Sandbox(scratch)
    finally:
        scratch.unlink()


def test_a_scratch_folder_on_disk_is_told_by_its_missing_bit(tmp_path: Path) -> None:
    on_tmpfs = subprocess.run(
        ["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True
    )
    with Sandbox(tmp_path / "scratch") as sandbox:
        assert (Isolation.SCRATCH_IN_MEMORY in sandbox.probe()) == (on_tmpfs.stdout.strip() == "tmpfs")


def test_a_closed_sandbox_leaves_nothing(scratch: Path) -> None:
    with Sandbox(scratch) as sandbox:
        sandbox.probe()
    assert list(scratch.iterdir()) == []
    mine = f"steelyard-{os.getpid()}-"
    assert not [path for place in cgroup.find().folders() for path in place.glob(f"{mine}*")]
