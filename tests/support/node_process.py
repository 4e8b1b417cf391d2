"""`steelyard node run` as a process of its own, as a provider starts it, and what a kill may leave behind."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from compute.sandbox import cgroup
from compute.sandbox.scratch import default_root
from tests.support.homes import Home


@dataclass
class NodeProcess:
    """A node, or another service, that serves. lines: what it wrote after its first line, both streams; first: that."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL, which no process sees coming."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> int:
        """Asks it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def data(self) -> list[Path]:
        """Plaintext of datasets that this node has in its scratch now."""
        return list(default_root().glob(f"run-{self.pid}-*/job-*/0"))

    def groups(self) -> list[Path]:
        """Control groups that this node made for its jobs."""
        return [path for place in cgroup.find().folders() for path in place.glob(f"steelyard-{self.pid}-*")]

    def left(self) -> list[Path]:
        """Whatever is left of it in the scratch, in the kernel's groups and among the processes."""
        scratch = list(default_root().glob(f"run-{self.pid}-*"))
        return [*scratch, *self.groups(), *_processes_in(f"run-{self.pid}-")]


def _processes_in(scratch: str) -> list[Path]:
    """Processes whose command line names that scratch folder: sandboxes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if scratch.encode() in (process / "cmdline").read_bytes():
                found.append(process)
    return found


@contextlib.contextmanager
def node_process(home: Home, **environment: str) -> Iterator[NodeProcess]:
    """The node, once it says that it serves. environment: more than the home's own."""
    with service_process(home, "node", "run", **environment) as node:
        assert node.first["service"] == "node"
        yield node


@contextlib.contextmanager
def service_process(home: Home, *words: str, **environment: str) -> Iterator[NodeProcess]:
    """A service's command, as `node_process`."""
    process = home.start(*words, "--json", **environment)
    node = NodeProcess(process)
    assert process.stdout and process.stderr
    readers = [_reader(process.stderr, node.lines)]
    first = process.stdout.readline()
    if not first:
        process.wait(10)
        readers[0].join(10)
    assert first, node.lines
    node.first = json.loads(first)
    readers.append(_reader(process.stdout, node.lines))
    try:
        yield node
    finally:
        node.end()
        for reader in readers:
            reader.join(10)
        process.stdout.close()
        process.stderr.close()


def _reader(stream: IO[str], lines: list[str]) -> threading.Thread:
    reader = threading.Thread(target=lines.extend, args=(stream,), daemon=True)
    reader.start()
    return reader
