"""A runner's own folder for jobs in hand: on tmpfs or a disk, locked while its process lives, reaped after."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import stat
import tempfile
from pathlib import Path

from marketplace.errors import RefusedError

_TMPFS = "tmpfs"
_FIRST_UID, _UIDS = 0x3000_0000, 0x1000_0000  # far from people's, containers' and systemd's dynamic uids


class Scratch:
    """`<root>/run-<pid>-<random>/<job>/`, readable by nobody else. Leftovers of dead runners go at start."""

    def __init__(self, root: Path) -> None:
        """root: made if missing; 0700. Raises RefusedError if it belongs to somebody else or is a link."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(root)
        root.chmod(0o700)
        self.root = root
        self.reaped = _reap(root)
        self._numbers = itertools.count(1)
        self.folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=root))
        self._lock = _lock(self.folder)

    @property
    def in_memory(self) -> bool:
        """Whether it lies on a tmpfs."""
        return _file_system(self.root.resolve()) == _TMPFS

    def capacity(self) -> int:
        """Bytes that its file system holds when it is empty."""
        state = os.statvfs(self.root)
        return state.f_blocks * state.f_frsize

    def room(self) -> int:
        """Bytes that are free there now."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize

    def new_job(self) -> tuple[int, Path]:
        """(number, folder) of a new job, numbers from 1."""
        number = next(self._numbers)
        folder = self.folder / f"job-{number}"
        folder.mkdir(mode=0o700)
        return number, folder

    def remove_job(self, folder: Path) -> None:
        """Remove a job's folder with all that was collected."""
        shutil.rmtree(folder, ignore_errors=True)

    def new_uid(self) -> int:
        """A uid for one job that no process of this machine has now."""
        in_use = {_owner(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        while True:
            uid = _FIRST_UID + int.from_bytes(os.urandom(4), "big") % _UIDS
            if uid not in in_use:
                return uid

    def close(self) -> None:
        """Remove everything and let the lock go."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def default_root() -> Path:
    """A folder of this user's in shared memory, which is tmpfs on every Linux."""
    return Path("/dev/shm") / f"steelyard-{os.geteuid()}"  # noqa: S108 - checked for its owner


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _reap(root: Path) -> list[Path]:
    """Remove each runner's folder whose lock is free: its process has ended, however it ended."""
    reaped = []
    for folder in sorted(root.glob("run-*")):
        try:
            descriptor = _lock(folder)
        except OSError:  # held by a living runner, or gone meanwhile
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
        reaped.append(folder)
    return reaped


def _check_owner(root: Path) -> None:
    state = root.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise RefusedError(
            "the sandbox's scratch folder is not ours",
            got=f"{root}, uid {state.st_uid}",
            expected=f"a folder of uid {os.geteuid()}",
            do="Name another folder.",
        )


def _owner(process: Path) -> int:
    try:
        return process.stat().st_uid
    except OSError:
        return 0


def _file_system(path: Path) -> str:
    """Type of the file system that holds `path`: the mount with the longest matching path."""
    best = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if path.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]
