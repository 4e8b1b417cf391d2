"""A real sandbox for the session, and `attack`: run code inside it and see what it came to."""

from __future__ import annotations

import os
import shutil
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from compute.sandbox import Ending, Limits, Outcome, Sandbox, Source, Task, Wall
from tests.support.environments import python_ml

MIB = 1024 * 1024

# Attacks start with these names. `call` is a raw system call: (result, errno).
PRELUDE = """
import ctypes, errno, os, signal, socket, struct, sys, time
_libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *[a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments])
    return result, ctypes.get_errno()
"""


@dataclass(frozen=True)
class Seen:
    """What an attack came to; `files` are the collected outputs' contents by path."""

    outcome: Outcome
    lines: list[str]
    files: dict[str, bytes]

    @property
    def ending(self) -> Ending:
        return self.outcome.ending

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


Attack = Callable[..., Seen]


@pytest.fixture(scope="session", params=[Wall.bubblewrap, pytest.param(Wall.gvisor, marks=pytest.mark.slow)])
def wall(request: pytest.FixtureRequest) -> Wall:
    """Every attack is made on both walls."""
    wall: Wall = request.param
    if wall is Wall.gvisor and shutil.which("runsc") is None:
        if os.environ.get("CI"):
            pytest.fail("gVisor's runsc is missing: apt-get install runsc")
        pytest.skip("gVisor's runsc is not installed (Debian: apt-get install runsc)")
    return wall


@pytest.fixture(scope="session")
def sandbox(wall: Wall) -> Iterator[Sandbox]:
    with Sandbox(wall=wall) as sandbox:
        sandbox.probe()
        yield sandbox


@pytest.fixture(scope="session")
def attack(sandbox: Sandbox) -> Attack:
    def run(
        code: str,
        *,
        inputs: Mapping[str, Source] | None = None,
        others: Mapping[str, Source] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
        **limits: int,
    ) -> Seen:
        task = Task(
            inputs=inputs or {},
            transformations={"main.py": (PRELUDE + textwrap.dedent(code)).encode(), **(others or {})},
            entrypoint="main.py",
            packages=python_ml().packages,
            environment=environment or {},
            limits=Limits(**({"memory_bytes": 512 * MIB, "wall_seconds": 60} | limits)),
        )
        lines: list[str] = []
        with sandbox.run(task, on_line or lines.append, stop) as outcome:
            return Seen(outcome, lines, _contents(outcome.outputs))

    return run


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def processes_below() -> Callable[[int], set[int]]:
    """All descendants of a process: other runs on this machine have sandboxes too."""

    def find(pid: int) -> set[int]:
        parents = {}
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    fields = (process / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(process.name)] = int(fields[1])
        below: set[int] = {pid}
        while more := {child for child, parent in parents.items() if parent in below} - below:
            below |= more
        return below - {pid}

    return find
