"""Files that are whole or not there, whatever stops the writer: a full disk, a kill, a power cut."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from marketplace.errors import FullError, UnavailableError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` where `path` is, in place of what was there; missing folders are made.

    mode: of the file, less the umask. It is on the disk when this returns. Raises UnavailableError if it cannot be
    written; `path` is then as it was.
    """
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        try:
            _write_through(partial, data, mode)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_through(partial, data, mode)
        try:
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise disk_error(f"{path} could not be written", error) from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, mode 0600, that is whole and on the disk at `path` when the block ends; never over another.

    Until then it has a name that nobody can guess: the folder may be open to others.
    Raises FileExistsError if `path` is there, be it a link to nothing, and OSError; then nothing is left.
    """
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        path.hardlink_to(partial)  # unlike a rename, never over another file
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def disk_error(what: str, error: OSError) -> UnavailableError:
    """The error of ours for one of the operating system's: what failed, why, what to do."""
    got = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return FullError(what, got=got, do="Free some space and try again.")
    return UnavailableError(what, got=got, do="Check the path and its permissions, then try again.")


def _write_through(path: Path, data: bytes, mode: int) -> None:
    """Effect: a new file that is on the disk, or none."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb", buffering=0) as file:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    # A rename is on the disk only once the folder is.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
