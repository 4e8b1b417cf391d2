"""The same attacks against a sandbox that an ordinary user started: other means, the same walls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UID = 61_234  # of nobody here

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="this whole run is already an ordinary user's")


def as_ordinary_user(*arguments: str, seconds: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "as_ordinary_user.py"), str(UID), sys.executable, *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def run_tests(*selection: str, seconds: int) -> str:
    basetemp = f"--basetemp=/dev/shm/steelyard-tests-{os.getpid()}"
    done = as_ordinary_user("-m", "pytest", "-p", "no:cacheprovider", basetemp, *selection, seconds=seconds)
    subprocess.run(
        ["rm", "-rf", f"/dev/shm/steelyard-tests-{os.getpid()}", f"/dev/shm/steelyard-{UID}"], check=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@root_only
def test_an_ordinary_user_reaches_namespaces_seccomp_and_quota() -> None:
    done = as_ordinary_user(
        "-c",
        "from compute.sandbox import Sandbox\nwith Sandbox() as sandbox: print(repr(sandbox.probe()))",
        seconds=60,
    )
    for bit in ("NAMESPACES", "SECCOMP", "OUTPUT_QUOTA", "SCRATCH_IN_MEMORY"):
        assert bit in done.stdout, done.stderr
    assert "OWN_UID" not in done.stdout
    assert "CGROUP_MEMORY" not in done.stdout or Path("/sys/fs/cgroup/cgroup.controllers").exists()


@root_only
def test_the_main_walls_hold_for_an_ordinary_user() -> None:
    chosen = "hidden_child or supervisor or disk_bomb or million_inodes_end or many_processes or links_fifos or ocean"
    files = [
        "test_forbidden_calls.py",
        "test_walls.py",
        "test_limits.py",
        "test_outputs.py",
        "test_programs.py",
    ]
    output = run_tests(*(str(HERE / name) for name in files), "-k", chosen, seconds=120)
    assert "7 passed" in output


@root_only
@pytest.mark.slow
def test_every_wall_holds_for_an_ordinary_user() -> None:
    names = [
        "test_forbidden_calls.py",
        "test_limits.py",
        "test_outputs.py",
        "test_programs.py",
        "test_reaping.py",
    ]
    names += ["test_walls.py", "test_environment_list.py"]
    output = run_tests(*(str(HERE / name) for name in names), seconds=280)
    passed = re.search(r"(\d+) passed", output)
    assert passed and int(passed[1]) > 180
