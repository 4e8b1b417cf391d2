"""Files that are whole or not there, whatever stops the writer: a full disk, a kill, a power cut."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from marketplace.errors import FullError, UnavailableError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` where `path` is, in place of what was there; missing folders are made.

    mode: of the file, less the umask. It is on the disk when this returns. Raises UnavailableError if it cannot be
    written; `path` is then as it was.
    """
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_through(partial, data, mode)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise disk_error(f"{path} could not be written", error) from error


def disk_error(what: str, error: OSError) -> UnavailableError:
    """The error of ours for one of the operating system's: what failed, why, what to do."""
    got = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return FullError(what, got=got, do="Free some space and try again.")
    return UnavailableError(what, got=got, do="Check the path and its permissions, then try again.")


def _write_through(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123  # pathlib opens no descriptors
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # A rename is on the disk only once the folder is.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
