"""Files where they lie: one file, or all of a folder, as they were seen, so that a later look tells what changed.

Covered: links, devices, FIFOs and sockets, names that cannot be shown, empty folders, too many files, folders too deep:
refused by name. A file that is exchanged, written to or cut between two looks is refused at the next one.
Not covered: who writes through a mapping of memory that was made writable before (mmap) changes bytes without a new
time until the kernel writes them back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from marketplace.core.archive import MAX_DEPTH, MAX_FILES, check_name
from marketplace.errors import InputError, NotFoundError, UnavailableError

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)
Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of content and status in ns. The last one nobody can set back."""


@dataclass(frozen=True)
class Seen:
    """A file as it was seen. name: its path in the folder, or its own name where it is alone."""

    name: str
    stamp: Stamp

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stamp[2]


@dataclass(frozen=True)
class Lying:
    """What lies at a path. folder: whether it is one. files: sorted by the bytes of their names; at least one."""

    path: Path
    folder: bool
    files: tuple[Seen, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(seen.size for seen in self.files)

    def place(self, seen: Seen) -> Path:
        return self.path / seen.name if self.folder else self.path

    @contextmanager
    def open(self, seen: Seen) -> Iterator[BinaryIO]:
        """One of the files, to be read. Raises InputError unless it is, before and after, the one that was seen."""
        path = self.place(seen)
        with _translated(path), _opened(path) as file:
            _require_same(path, seen, os.fstat(file.fileno()))
            yield file
            _require_same(path, seen, os.fstat(file.fileno()))


def look(path: Path, alone: str | None = None) -> Lying:
    """What lies at a path now; reads names and times, no content. alone: the name of a file that is alone, if another.

    Raises InputError naming what cannot be data, NotFoundError, UnavailableError if the disk fails.
    """
    with _translated(path):
        state = path.stat()
        if stat.S_ISREG(state.st_mode):
            return Lying(path, False, (Seen(alone or path.name, _stamp(state)),))
        if not stat.S_ISDIR(state.st_mode):
            raise InputError(
                f"{path} is not a file", got=_kind_of(state.st_mode), expected="a file or a folder"
            )
        files: list[Seen] = []
        _gather(path, "", 1, files)
    return Lying(path, True, tuple(sorted(files, key=lambda seen: seen.name.encode())))


def _gather(folder: Path, prefix: str, depth: int, files: list[Seen]) -> None:
    with _translated(folder), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    if not found:
        raise InputError(f"{folder} is empty", expected="files in every folder", do="Remove it.")
    for entry in found:
        name = prefix + entry.name
        _check_showable(name)
        state = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(state.st_mode) and depth < MAX_DEPTH:
            _gather(folder / entry.name, f"{name}/", depth + 1, files)
        elif not stat.S_ISREG(state.st_mode):
            raise InputError(
                f"{folder / entry.name} is {_kind_of(state.st_mode)}",
                expected=f"plain files, in folders at most {MAX_DEPTH} deep",
                do="Move it elsewhere, or put the file itself there.",
            )
        elif len(files) >= MAX_FILES:
            raise InputError("there are too many files", expected=f"at most {MAX_FILES}")
        else:
            files.append(Seen(name, _stamp(state)))


def _check_showable(name: str) -> None:
    try:
        check_name(name)
    except UnicodeEncodeError:
        raise InputError("a file's name is not UTF-8", got=ascii(name)[:300], do="Rename it.") from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    # Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _changed(path)
        yield file


def _require_same(path: Path, seen: Seen, state: os.stat_result) -> None:
    if _stamp(state) != seen.stamp:
        raise _changed(path)


def _changed(path: Path) -> InputError:
    return InputError(f"{path} was changed while it was read", do="Run this again when nothing writes to it.")


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _kind_of(mode: int) -> str:
    return next((words for test, words in _KINDS if test(mode)), "a device")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{path} does not exist", do="Check the path.") from None
    except PermissionError as error:
        raise InputError(f"{path} may not be read", do="Give yourself the right to read it.") from error
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read", got=error.strerror, do="Check the disk and try again."
        ) from error
