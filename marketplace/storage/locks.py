"""A file that one process holds; when that process ends, however it ends, the kernel lets go."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marketplace.errors import RefusedError
from marketplace.storage.disk import disk_error

_LOOK = 0.05
"""Seconds for which whoever only looks may hold it, at most."""


@contextmanager
def held(path: Path, *, what: str, expected: str, do: str) -> Iterator[None]:
    """Holds the lock. what, expected, do: what is said where another process holds it.

    Raises RefusedError naming that process, UnavailableError where the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise disk_error(f"the lock {path} cannot be opened", error) from error
    try:
        if not _take(descriptor, path):
            raise RefusedError(what, got=_holder(descriptor), expected=expected, do=do)
        # Only for people: what counts is the lock, and a number that a dead process left is overwritten here.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """The process that holds the lock, as it is shown to people; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> bool:
    for last in (False, True):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not last:
                time.sleep(_LOOK)
        except OSError as error:
            raise disk_error(f"the lock {path} cannot be held", error) from error
        else:
            return True
    return False


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace")
    return f"process {text}" if text.isdecimal() else "a process that just started"
