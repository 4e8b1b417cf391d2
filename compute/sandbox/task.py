"""What goes into the sandbox and what comes out of it: plain values, nothing runs here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from pathlib import Path, PurePosixPath

from marketplace.errors import InputError

Source = Path | bytes
"""A file of the host, or its bytes."""

MIB = 1024 * 1024

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
# These would change what the interpreter loads before the algorithm's first line.
_OWN_VARIABLES = re.compile(r"(LD_|PYTHON|GLIBC_|MALLOC_|PATH$|HOME$|TMPDIR$)")


class Wall(Enum):
    """What an algorithm's system calls meet."""

    bubblewrap = "bubblewrap"  # the machine's own kernel, through namespaces and a filter
    gvisor = "gvisor"  # a kernel in user space (runsc), which is itself shut in


class Isolation(IntFlag):
    """What the sandbox reached on this machine, as measured by `Sandbox.probe`; a uint8 in receipts.

    NAMESPACES        own mounts, processes, network (none at all), users, IPC, host name; no capabilities;
                      bytes and number of outputs bounded by their own file system
    SECCOMP           forbidden calls are stopped, named, and end the job, in children too
    OWN_UID           the job runs under a uid that owns nothing else on the machine
    CGROUP_MEMORY     memory of all its processes, and its files in memory, counted exactly by the kernel
    CGROUP_PIDS       number of its processes and threads counted exactly by the kernel
    CGROUP_CPU        CPU time of all its processes, the ended ones included, counted exactly
    GVISOR            system calls are answered by gVisor, not by the machine's kernel
    SCRATCH_IN_MEMORY what is decrypted or produced never touches a disk

    Without the three CGROUP bits limits still hold, but by polling and for each process: see the package.
    """

    NAMESPACES = 1
    SECCOMP = 2
    OWN_UID = 4
    CGROUP_MEMORY = 8
    CGROUP_PIDS = 16
    CGROUP_CPU = 32
    GVISOR = 64
    SCRATCH_IN_MEMORY = 128


class Ending(Enum):
    """What ended a job."""

    exited = "exited"  # by itself, whatever the exit code; a negative code is the signal it died of
    memory = "memory"
    processes = "processes"  # only where a cgroup counts them; else it just gets no more
    wall_time = "wall_time"
    cpu_time = "cpu_time"
    output = "output"  # it failed with /data/outputs full, in bytes or in number
    forbidden_call = "forbidden_call"
    stopped = "stopped"  # by the caller


@dataclass(frozen=True)
class Limits:
    """What one job may use.

    memory_bytes: of all its processes together, with its files in /tmp and /data/outputs.
    processes: processes and threads. wall_seconds, cpu_seconds: CPU seconds of all processes together.
    output_bytes, output_files: of /data/outputs; folders count as files.
    log_bytes: of stdout and stderr that reach `on_line`; the rest is dropped, only `log_tail` goes on.
    Raises InputError if a value is below its least.
    """

    memory_bytes: int = 4096 * MIB
    processes: int = 256
    wall_seconds: int = 3600
    cpu_seconds: int = 4 * 3600
    output_bytes: int = 256 * MIB
    output_files: int = 1000
    log_bytes: int = MIB

    def __post_init__(self) -> None:
        least = {"memory_bytes": 64 * MIB, "processes": 4, "output_bytes": 4096}
        for name, value in vars(self).items():
            if value < least.get(name, 1):
                raise InputError(f"limit {name} is too low", got=value, expected=f">= {least.get(name, 1)}")


@dataclass(frozen=True)
class Task:
    """One run of one algorithm.

    inputs: path below /data/inputs (`<id>/0`, `algoCustomData.json`) -> its content.
    ddos: name below /data/ddos -> content. transformations: path below /data/transformations -> content;
    `entrypoint` is one of them, which is also served as /data/transformations/algorithm.
    packages: the folder of packages that it imports from; None: the standard library alone.
    environment: extra variables, as TRANSFORMATION_DID. DIDS is made from the folders of `inputs`.

    As root, a file that others may not read is copied into memory for the job (25 ms for 50 MiB); one that
    others may read, inside a folder that they may not enter, is bound and costs nothing.
    Raises InputError for a path that leaves its folder, a missing entrypoint, a name that is not a variable.
    """

    inputs: Mapping[str, Source]
    transformations: Mapping[str, Source]
    entrypoint: str
    ddos: Mapping[str, Source] = field(default_factory=dict)
    packages: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for folder in (self.inputs, self.ddos, self.transformations):
            for name, source in folder.items():
                _check_name(name)
                _check_source(name, source)
        if self.entrypoint not in self.transformations:
            raise InputError(
                "the entrypoint is not among the files of the algorithm",
                got=self.entrypoint,
                expected=", ".join(sorted(self.transformations)) or "at least one file",
            )
        for name, value in self.environment.items():
            _check_variable(name, value)


@dataclass(frozen=True)
class Outcome:
    """How a job ended and what it left.

    exit_code: as subprocess gives it; None where it was killed. started_at, finished_at: Unix seconds.
    log_tail: the last lines of its log, <= 16 KiB. outputs: folder of the collected regular files.
    refused: what lay in /data/outputs and was not taken, each with the reason.
    detail: one sentence that may be published: names of fixed tables and the task's limits, no more.
    exact: the numbers behind it, which the algorithm chose, so that they could spell out data; maybe empty.
    """

    ending: Ending
    exit_code: int | None
    started_at: int
    finished_at: int
    seconds: float
    peak_bytes: int | None
    log_tail: str
    outputs: Path
    refused: tuple[str, ...]
    detail: str
    exact: str


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    plain = name.isprintable() and len(name.encode()) <= 512
    if not plain or not path.parts or path.is_absolute() or ".." in path.parts or str(path) != name:
        raise InputError("not a path inside the sandbox's folders", got=repr(name), expected="as <id>/0")


def _check_source(name: str, source: Source) -> None:
    if isinstance(source, Path) and not source.is_file():
        raise InputError(f"no regular file for {name}", got=source, expected="a readable file")


def _check_variable(name: str, value: str) -> None:
    if not _VARIABLE.fullmatch(name) or _OWN_VARIABLES.match(name):
        raise InputError("not a variable that an algorithm may be given", got=name)
    if "\0" in value or len(value.encode()) > 65_536:
        raise InputError(f"variable {name} is not a text of at most 64 KiB")
