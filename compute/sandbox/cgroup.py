"""Control groups: memory, number of processes and CPU time of a whole job, counted by the kernel.

Version 1 (a folder in each controller's hierarchy) and version 2 (one folder, where the parent delegates
its controllers) look the same from outside: `find` says what can be had here, `Group` is one job's.
A controller that cannot be had is None; the supervisor then polls instead (worker.py).

Source: Linux Documentation/admin-guide/cgroup-v1/{memory,pids,cpuacct}.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from compute.sandbox.task import Limits

_PREFIX = "steelyard-"
_numbers = itertools.count()
_RESERVE = 256 * 1024 * 1024
"""Bytes of memory that stay with the node and the system."""


@dataclass(frozen=True)
class Places:
    """Where jobs' groups may be made: a parent folder for each controller, None where it is out of reach."""

    memory: Path | None
    pids: Path | None
    cpu: Path | None
    unified: bool

    def folders(self) -> list[Path]:
        """The parents, each once."""
        return list(dict.fromkeys(place for place in (self.memory, self.pids, self.cpu) if place))


def find() -> Places:
    """The controllers in which this process can really make and limit a group, tried out one by one."""
    mounts = _mounts()
    own = _own_groups()
    unified = _find_unified(mounts.get("cgroup2"), own.get(""))
    if unified is not None:
        return Places(unified, unified, unified, unified=True)
    found = {}
    for controller, file in (("memory", "memory.limit_in_bytes"), ("pids", "pids.max"), ("cpuacct", "tasks")):
        found[controller] = _find_old(mounts.get(controller), own.get(controller), file)
    return Places(found["memory"], found["pids"], found["cpuacct"], unified=False)


class Group:
    """The groups of one job, limited before anything enters them. Remove it when the job has ended."""

    def __init__(
        self, places: Places, limits: Limits, *, spare_processes: int = 2, spare_bytes: int = 0
    ) -> None:
        """spare_processes, spare_bytes: what the wall itself needs beside the job.

        Raises OSError if the kernel refuses a limit.
        """
        self._places, name = places, new_name()
        self._folders = [place / name for place in places.folders()]
        self._memory, self._pids, self._cpu = (
            place and place / name for place in (places.memory, places.pids, places.cpu)
        )
        try:
            for folder in self._folders:
                folder.mkdir()
            self._limit(limits.memory_bytes + spare_bytes, limits.processes + spare_processes)
        except OSError:
            self.remove()
            raise

    def _limit(self, memory_bytes: int, processes: int) -> None:
        if self._memory is not None:
            new, old = ("memory.max", "memory.limit_in_bytes")
            _write(self._memory / (new if self._places.unified else old), memory_bytes)
            # Swap must not stretch the limit; where the kernel does not count it, none of it is to be used.
            with contextlib.suppress(OSError):
                if self._places.unified:
                    _write(self._memory / "memory.swap.max", 0)
                else:
                    _write(self._memory / "memory.swappiness", 0)
                    _write(self._memory / "memory.memsw.limit_in_bytes", memory_bytes)
        if self._pids is not None:
            _write(self._pids / "pids.max", processes)

    @property
    def counts_memory(self) -> bool:
        """Whether the kernel counts the job's memory."""
        return self._memory is not None

    @property
    def counts_pids(self) -> bool:
        """Whether the kernel counts its processes."""
        return self._pids is not None

    @property
    def counts_cpu(self) -> bool:
        """Whether the kernel counts its CPU time."""
        return self._cpu is not None

    @property
    def entrances(self) -> list[str]:
        """Files to which a process writes "0" to enter."""
        return [str(folder / "cgroup.procs") for folder in self._folders]

    def memory_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        if self._memory is None:
            return 0
        name = "memory.events" if self._places.unified else "memory.oom_control"
        return _read_keys(self._memory / name).get("oom_kill", 0)

    def peak_bytes(self) -> int | None:
        """The most memory that it had at once; None where nothing counts it (cgroups 2 before Linux 5.19)."""
        if self._memory is None:
            return None
        name = "memory.peak" if self._places.unified else "memory.max_usage_in_bytes"
        with contextlib.suppress(OSError):
            return int((self._memory / name).read_text())
        return None

    def refused_forks(self) -> int:
        """How often a new process or thread was refused because of the limit."""
        return _read_keys(self._pids / "pids.events").get("max", 0) if self._pids is not None else 0

    def cpu_seconds(self) -> float:
        """CPU seconds used so far, by ended processes too."""
        if self._cpu is None:
            return 0.0
        if self._places.unified:
            return _read_keys(self._cpu / "cpu.stat").get("usage_usec", 0) / 1e6
        return int((self._cpu / "cpuacct.usage").read_text()) / 1e9

    def remove(self) -> None:
        """Remove its folders; the kernel lets go of them shortly after the last process has gone."""
        for folder in self._folders:
            _remove(folder)


def most_memory() -> int:
    """Bytes of memory that a job may ask for here: the machine's, or our own groups' where less, less a reserve."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min([machine, *memory_limits(_mounts(), _own_groups())]) - _RESERVE)


def memory_limits(mounts: dict[str, Path], own: dict[str, str]) -> list[int]:
    """The limits of our own group and of those above it, as far as they can be seen from here."""
    found = []
    for name, group, file in (
        ("memory", "memory", "memory.limit_in_bytes"),
        ("cgroup2", "", "memory.max"),
    ):
        if name not in mounts or group not in own:
            continue
        inside = mounts[name] / own[group].lstrip("/")
        for folder in (inside, *inside.parents):
            with contextlib.suppress(OSError, ValueError):  # not visible, or "max"
                found.append(int((folder / file).read_text()))
    return found


def new_name() -> str:
    """A fresh name that tells whose it is: this process's pid and start time, since pids recur."""
    return f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"


def reap(places: Places) -> list[Path]:
    """Remove the groups whose runner is dead, and return them. A group with living processes stays."""
    removed = []
    for parent in places.folders():
        for folder in parent.glob(f"{_PREFIX}*"):
            match = re.fullmatch(rf"{_PREFIX}(\d+)-(\d+)-\d+", folder.name)
            if match and _started(int(match[1])) != int(match[2]) and _remove(folder):
                removed.append(folder)
    return removed


def _started(pid: int) -> int:
    """Start time of a process in clock ticks after boot; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _remove(folder: Path) -> bool:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False


def _mounts() -> dict[str, Path]:
    """Mount point of each version 1 controller by name, and of "cgroup2"."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        names = ["cgroup2"] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []
        for name in names:
            found.setdefault(name, Path(point))
    return found


def _own_groups() -> dict[str, str]:
    """The group that this process is in, by version 1 controller; version 2 under ""."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _find_old(mount: Path | None, own: str | None, file: str) -> Path | None:
    """Inside our own group, so that its limits go on to hold; at the root where ours is not visible."""
    if mount is None:
        return None
    inside = mount / (own or "/").lstrip("/")
    return next((parent for parent in (inside, mount) if _usable(parent, file)), None)


def _find_unified(mount: Path | None, own: str | None) -> Path | None:
    """Beside our own group, or inside it: wherever the parent hands memory and pids down to its children."""
    if mount is None or own is None:
        return None
    inside = mount / own.lstrip("/")
    candidates = [inside.parent, inside] if inside != mount else [inside]
    return next((parent for parent in candidates if _usable(parent, "memory.max", "pids.max")), None)


def _usable(parent: Path, *files: str) -> bool:
    folder = parent / new_name()
    try:
        folder.mkdir()
    except OSError:
        return False
    try:
        return all(os.access(folder / file, os.W_OK) for file in files)
    finally:
        _remove(folder)


def _write(path: Path, value: int) -> None:
    path.write_text(str(value))


def _read_keys(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
