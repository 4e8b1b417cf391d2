"""Runs a command in another setting, from root: `python in_setting.py UID yes|no COMMAND...`

UID 0 stays root. yes: control groups as an ordinary user gets them, a group delegated in each hierarchy of
version 1. no: none are mounted, so nothing can reach them. Both in a mount namespace of its own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_CONTROLLERS = ("memory", "pids", "cpuacct")


def delegated() -> list[Path]:
    """The groups of this process's children, one in each hierarchy."""
    return [Path("/sys/fs/cgroup") / name / f"sandbox-tests-{os.getpid()}" for name in _CONTROLLERS]


def delegate(uid: int) -> None:
    for group in delegated():
        group.mkdir()
        for path in (group, group / "cgroup.procs", group / "tasks"):
            os.chown(path, uid, uid)


def enter(groups: list[Path]) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text("0")


def unmount_groups() -> None:
    if _libc.unshare(0x00020000) != 0 or _libc.mount(b"none", b"/", b"", 0x4000 | 0x40000, b"") != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        _, point, kind = line.split()[:3]
        if kind in ("cgroup", "cgroup2") and _libc.umount2(point.encode(), 2) != 0:
            raise OSError(ctypes.get_errno(), f"unmount {point}")


def main(uid: int, groups: bool, command: list[str]) -> int:
    if groups:
        delegate(uid)
    inside = delegated()
    if uid:
        command = [sys.executable, str(Path(__file__).with_name("as_ordinary_user.py")), str(uid), *command]
    try:
        return subprocess.run(
            command, preexec_fn=lambda: enter(inside) if groups else unmount_groups()
        ).returncode
    finally:
        for group in inside if groups else []:
            group.rmdir()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2] == "yes", sys.argv[3:]))
