"""`steelyard up` as a process of its own, as a person starts it in a home that knows of no service yet."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

STEELYARD = Path(sys.executable).with_name("steelyard")
PASSPHRASE = "a test's passphrase"
FREE_PORTS = ("--port-chain", "0", "--port-gateway", "0", "--port-hub", "0")


def environment(home: Path) -> dict[str, str]:
    """A home and its passphrase, and no address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
    return {**kept, "STEELYARD_HOME": str(home), "STEELYARD_PASSPHRASE": PASSPHRASE}


def steelyard(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in that home, to its end. more: variables by their full names."""
    return subprocess.run(
        [str(STEELYARD), *words, "--json"],
        env=environment(home) | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def value_of(home: Path, *words: str) -> Any:
    """What a command that ends with 0 gives."""
    done = steelyard(home, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Up:
    """A running `steelyard up`. value: what it printed when it was ready; notes: its remarks so far."""

    process: subprocess.Popen[str]
    value: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def pid_of(self, service: str) -> int:
        return int(next(row["pid"] for row in self.value["services"] if row["name"] == service))

    def pids(self) -> list[int]:
        return [row["pid"] for row in self.value["services"]]

    def kill(self) -> None:
        """SIGKILL of the supervisor alone."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextlib.contextmanager
def running_up(home: Path, *options: str, ready: float = 90) -> Iterator[Up]:
    """`up` once it is ready, within so many seconds."""
    with subprocess.Popen(
        [str(STEELYARD), "up", *(FREE_PORTS if "--demo" not in options else ()), *options, "--json"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stderr
        notes: list[str] = []
        reader = threading.Thread(target=notes.extend, args=(process.stderr,), daemon=True)
        reader.start()
        late = threading.Timer(ready, process.kill)
        late.start()
        try:
            line = process.stdout.readline()
            late.cancel()
            assert line, "".join(notes)
            yield Up(process, json.loads(line), notes)
        finally:
            late.cancel()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)
            reader.join(10)


def wait_for(look: Callable[[], T | None], what: str, *, seconds: float = 30) -> T:
    """The first thing that `look` gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {seconds:g} s")


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
