"""The collector: takes regular files, and nothing else, out of a folder that an adversary filled.

It works on descriptors only, follows no link, opens nothing that could block, and copies into a fresh folder
of the runner's. The sandbox has ended before it starts, so that nothing changes under its hands.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

_DEPTH = 16
_CHUNK = 1024 * 1024
_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


@dataclass
class Collected:
    """What `collect` took and did not take: `files` are paths below its target, `refused` say why."""

    target: Path
    bytes_left: int
    files_left: int
    files: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def refuse(self, path: str, reason: str) -> None:
        """Note what was not taken; a name may hold anything, so it is quoted. At most 100 are kept."""
        if len(self.refused) < 100:
            self.refused.append(f"{path!a}: {reason}")


def collect(folder: int, target: Path, *, max_bytes: int, max_files: int) -> Collected:
    """Copy the regular files below descriptor `folder` to `target`, which is made.

    max_bytes counts apparent sizes: a sparse file must not grow on its way out.
    Whatever is wrong with an entry is a refusal; OSError is raised only for `target`: no room, no right.
    """
    target.mkdir(mode=0o700)
    os.fchmod(folder, 0o700)  # the job owned it, and may have closed it to an ordinary user's runner
    collected = Collected(target, max_bytes, max_files)
    _walk(folder, "", 0, collected)
    return collected


def _walk(folder: int, prefix: str, depth: int, collected: Collected) -> None:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = f"{prefix}{name}"
        if not name.isprintable() or len(path.encode(errors="replace")) > 512:
            collected.refuse(path, "a name with characters that do not print, or too long")
        elif collected.files_left <= 0:
            collected.refuse(path, "too many files")
            return
        else:
            collected.files_left -= 1
            _take(folder, name, path, depth, collected)


def _take(folder: int, name: str, path: str, depth: int, collected: Collected) -> None:
    try:
        kind = stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError as error:
        collected.refuse(path, f"cannot be seen: {error.strerror}")
        return
    if kind in _KINDS:
        collected.refuse(path, f"a {_KINDS[kind]}, not a regular file")
    elif kind == stat.S_IFDIR and depth >= _DEPTH:
        collected.refuse(path, f"folders deeper than {_DEPTH}")
    else:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            opened = os.open(name, flags | (os.O_DIRECTORY if kind == stat.S_IFDIR else 0), dir_fd=folder)
        except OSError as error:
            collected.refuse(path, f"cannot be opened: {error.strerror}")
            return
        try:
            _take_opened(opened, path, depth, collected)
        finally:
            os.close(opened)


def _take_opened(opened: int, path: str, depth: int, collected: Collected) -> None:
    state = os.fstat(opened)
    if stat.S_ISDIR(state.st_mode):
        (collected.target / path).mkdir(mode=0o700)
        _walk(opened, f"{path}/", depth + 1, collected)
    elif not stat.S_ISREG(state.st_mode):
        collected.refuse(path, "not a regular file")
    elif state.st_nlink != 1:
        collected.refuse(path, "a file with several names (hard links)")
    elif state.st_size > collected.bytes_left:
        collected.refuse(path, f"{state.st_size} bytes, more than the limit leaves ({collected.bytes_left})")
    else:
        collected.bytes_left -= state.st_size
        _copy(opened, collected.target / path, state.st_size)
        collected.files.append(path)


def _copy(opened: int, target: Path, size: int) -> None:
    with target.open("xb") as file:
        left = size
        while left > 0 and (chunk := os.read(opened, min(left, _CHUNK))):
            file.write(chunk)
            left -= len(chunk)
