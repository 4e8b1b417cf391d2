"""Puts an environment's folder together: links to installed files where that is possible, else copies."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from compute.environments.built import (
    FILES,
    PACKAGES,
    RECORD,
    Line,
    Record,
    Seen,
    digests,
    interpreter,
    looks,
)
from compute.environments.installed import File, Installed
from marketplace.core.dataset import Environment
from marketplace.errors import RefusedError
from marketplace.storage import write_atomically
from marketplace.storage.disk import disk_error

OnStep = Callable[[str], None]
_OPEN, _FILE_MODE = 0o755, 0o644
_TOLD_EVERY = 2_000


def assemble(
    folder: Path, name: str, installed: Installed, packages: Iterable[str], on_step: OnStep
) -> Environment:
    """Fills an empty folder with these packages and what describes them. Returns the list.

    The record is written last: a folder without it is nothing. Raises RefusedError where a package was changed since
    it was installed, UnavailableError where the disk fails.
    """
    chosen = sorted(packages)
    files = {file.path: file for one in chosen for file in installed.files(one)}
    listed = Environment(name, (interpreter(), *map(installed.pinned, chosen)))
    try:
        folder.chmod(_OPEN)
        placed = list(_place(folder / PACKAGES, files.values(), on_step))
        lines = _lines(files, folder / PACKAGES, placed)
    except OSError as error:
        raise disk_error(f"the environment could not be built in {folder}", error) from error
    text = "\n".join(lines).encode() + b"\n"
    write_atomically(folder / FILES, text)
    record = Record(
        name=name,
        packages=list(listed.packages),
        built_at=int(time.time()),
        files="0x" + hashlib.sha256(text).hexdigest(),
        looks="0x" + looks(placed).hex(),
    )
    write_atomically(folder / RECORD, record.to_bytes())
    return listed


def _place(target: Path, files: Iterable[File], on_step: OnStep) -> Iterator[Seen]:
    made: set[str] = set()
    copied = 0
    for file in files:
        _make_folders(target, os.path.dirname(file.path), made)  # noqa: PTH120 - tens of thousands
        path = f"{target}/{file.path}"
        if not _linked(file.source, path):
            copied += 1
            if copied % _TOLD_EVERY == 1:
                on_step(f"copying files, since they cannot be linked here: {file.path}")
            _copy(file.source, path)
        state = os.stat(path)  # noqa: PTH116
        if file.size is not None and state.st_size != file.size:
            raise _changed(file.path)
        yield Seen(file.path, state.st_size, state.st_mtime_ns, "")


def _make_folders(target: Path, inside: str, made: set[str]) -> None:
    """A folder and those above it, open to be read whatever the umask."""
    if inside in made:
        return
    if inside:
        _make_folders(target, os.path.dirname(inside), made)  # noqa: PTH120
    path = target / inside
    path.mkdir()
    path.chmod(_OPEN)
    made.add(inside)


def _linked(source: str, path: str) -> bool:
    """Whether the file could be had under a second name, as it should be: readable by all, writable by its owner."""
    mode = os.lstat(source).st_mode
    if not stat.S_ISREG(mode) or not mode & stat.S_IROTH or mode & stat.S_IWOTH:
        return False
    try:
        os.link(source, path)
    except OSError:  # another file system, or a file that is not ours to link
        return False
    return True


def _copy(source: str, path: str) -> None:
    """With its time, by which its compiled cache knows it. What a link means is copied, from wherever it lies."""
    if not os.path.isfile(source):  # noqa: PTH113
        raise RefusedError(
            "a package has a file that is gone, or none", got=source, do="Install that package again."
        )
    shutil.copyfile(source, path)
    shutil.copystat(source, path)
    os.chmod(path, _FILE_MODE)  # noqa: PTH101


def _lines(files: dict[str, File], target: Path, placed: list[Seen]) -> Iterator[str]:
    """The lines of files.txt; what no RECORD names a digest of is read."""
    unknown = [one.path for one in placed if files[one.path].sha256 is None]
    read = digests(target, unknown)
    for one in sorted(placed, key=lambda one: one.path):
        known = files[one.path].sha256
        yield Line(known.hex() if known else read[one.path], one.size, one.changed).text(one.path)


def _changed(path: str) -> RefusedError:
    return RefusedError(
        "a package was changed since it was installed", got=path, do="Install that package again, then build."
    )
