"""A disk that is full where the node keeps journal and outputs: it says so, waits, and goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute.sandbox import Sandbox
from marketplace.core.job import State
from tests.kill.stage import finish, staged
from tests.support.buyers import await_state
from tests.support.catalogue import Town
from tests.support.node_process import node_process
from tests.support.works import COUNT_ROWS, algorithm, wait_until

COUNT = algorithm("count", "import time\ntime.sleep(1)" + COUNT_ROWS)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of one's own needs root"),
]


@contextmanager
def small_disk(place: Path, size: str = "2m") -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Takes all room there is."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    return ballast


@pytest.mark.parametrize("killed", [False, True], ids=["waits", "killed"])
def test_a_full_disk_is_waited_for_and_the_job_settled_once(
    town: Town, sandbox: Sandbox, tmp_path: Path, killed: bool
) -> None:
    with (
        small_disk(tmp_path / "disk") as disk,
        staged(town, sandbox, disk, f"full {killed}", COUNT) as stage,
    ):
        with node_process(stage.home) as node:
            wait_until(lambda: node.data(), "the data in the scratch")
            ballast = fill(disk)
            wait_until(lambda: any("full" in line or "No space" in line for line in node.lines), "its word")
            assert stage.state is State.open
            if killed:
                node.kill()
                stage.killed.append(node)
            ballast.unlink()
            if not killed:
                assert await_state(town, stage.request) is State.settled
                assert node.end() == 0
        if killed:
            finish(stage, State.settled)
        stage.check_settled_once()
