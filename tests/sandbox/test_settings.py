"""The same attacks in every setting: as root and as an ordinary user, with control groups and without.

This run itself is one of the four. The others are made for real, from root: the user by its uid, groups by
delegation as a login session gets them, their lack by unmounting; then pytest runs there on the same files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compute.sandbox import Isolation, Sandbox

HERE = Path(__file__).parent
UID = 61_234  # of nobody here
GROUPS = Isolation.CGROUP_MEMORY | Isolation.CGROUP_PIDS | Isolation.CGROUP_CPU
ALWAYS = Isolation.NAMESPACES | Isolation.SECCOMP | Isolation.SCRATCH_IN_MEMORY

ATTACKS = ("forbidden_calls", "walls", "limits", "outputs", "more_attacks", "disguises")
MAIN = "hidden_child or supervisor_cannot or disk_bomb or of_many_processes"
NUMBER_OF_MAIN = 4

SETTINGS = [(0, True), (0, False), (UID, True), (UID, False)]
NAMES = ["root", "root without groups", "user", "user without groups"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="this whole run is already an ordinary user's")
others = pytest.mark.parametrize(("uid", "groups"), SETTINGS[1:], ids=NAMES[1:])


def run_in(uid: int, groups: bool, *arguments: str, seconds: int) -> str:
    """Output of a Python there. Fails with it where the exit code is not 0."""
    if groups and not all((Path("/sys/fs/cgroup") / name / "tasks").exists() for name in ("memory", "pids")):
        pytest.skip("groups are delegated here only where the machine has those of version 1")
    setting = [str(HERE / "in_setting.py"), str(uid), "yes" if groups else "no"]
    done = subprocess.run(
        [sys.executable, *setting, sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CI": os.environ.get("CI", ""),
        },
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def run_tests(uid: int, groups: bool, *selection: str, seconds: int = 280) -> int:
    """How many tests passed there. Fails where one failed."""
    folder = Path(f"/dev/shm/steelyard-tests-{os.getpid()}")
    try:
        output = run_in(
            uid,
            groups,
            *("-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={folder}", "-rs"),
            *(str(HERE / f"test_{name}.py") for name in ATTACKS),
            *selection,
            seconds=seconds,
        )
    finally:
        for left in (folder, *([Path(f"/dev/shm/steelyard-{uid}")] if uid else [])):
            shutil.rmtree(left, ignore_errors=True)
    passed = re.search(r"(\d+) passed", output)
    return int(passed[1]) if passed else 0


def reached(uid: int, groups: bool) -> Isolation:
    code = "from compute.sandbox import Sandbox\nwith Sandbox() as sandbox: print(int(sandbox.probe()))"
    return Isolation(int(run_in(uid, groups, "-c", code, seconds=60)))


@others
def test_the_level_that_is_published_is_that_of_the_setting(uid: int, groups: bool) -> None:
    expected = ALWAYS | (Isolation(0) if uid else Isolation.OWN_UID) | (GROUPS if groups else Isolation(0))
    assert reached(uid, groups) == expected


@others
def test_the_main_walls_hold(uid: int, groups: bool) -> None:
    assert run_tests(uid, groups, "-k", f"({MAIN}) and bubblewrap") == NUMBER_OF_MAIN


@pytest.mark.slow
@others
def test_every_attack_fails_on_bubblewrap(uid: int, groups: bool) -> None:
    assert run_tests(uid, groups, "-m", "not slow", "-k", "bubblewrap") > 80


@pytest.mark.slow
@others
def test_the_main_walls_of_gvisor_hold(uid: int, groups: bool) -> None:
    if not (shutil.which("runsc") or os.environ.get("CI")):
        pytest.skip("gVisor's runsc is not installed (Debian: apt-get install runsc)")
    assert run_tests(uid, groups, "-k", f"({MAIN}) and gvisor") == NUMBER_OF_MAIN


def test_this_run_is_the_first_of_the_four_settings(sandbox: Sandbox) -> None:
    assert ALWAYS | Isolation.OWN_UID in sandbox.probe()
