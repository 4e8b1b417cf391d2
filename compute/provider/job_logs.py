"""What algorithms wrote, kept for the owner of the data alone: sealed as it comes, opened by `steelyard node log`.

A log may hold rows of the data, so it lies on the disk as ciphertext like everything else in the vault; it is sent
nowhere. A file is named by its job, and is a sequence of sealed messages, each a line of its own.

Covered: at most the newest 200 logs are kept, and 256 MiB of them; the log of a node that was killed opens as far as
it got. Not covered: a full disk costs the rest of a log, never the job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from marketplace.core import envelope
from marketplace.errors import NotFoundError
from marketplace.storage.disk import disk_error

MOST_LOGS = 200
MOST_BYTES = 256 * 1024 * 1024
_PART = 64 * 1024
"""Bytes sealed together at most, but for one line more: a sealed message holds 190 KiB."""
_SECONDS, _SHARE = 0.5, 0.002
"""Lines that come within this time, or this share of the run's age, are sealed together: a long log has few parts."""


class JobLogs:
    """A folder of sealed logs, mode 0700, made at the first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path_of(self, job_id: bytes) -> Path:
        return self._folder / f"0x{job_id.hex()}.log"

    @contextmanager
    def writing(self, job_id: bytes, public_key: bytes) -> Iterator[Callable[[str], None]]:
        """Takes one run's lines, in place of an earlier run's. public_key: the node's X25519 sealing key.

        Never raises for the disk's sake: the job is worth more than its log.
        """
        with _opened(self.path_of(job_id)) as file:
            log = _Writer(file, public_key)
            try:
                yield log.line
            finally:
                log.flush()
                self._drop_old()

    def sealed(self, job_id: bytes) -> list[bytes]:
        """The parts of the log of a job's last run, for `open_log`. Raises NotFoundError where none is kept."""
        try:
            *parts, _ = self.path_of(job_id).read_bytes().split(b"\n")  # the last may have been cut by a kill
        except FileNotFoundError:
            raise NotFoundError(
                "this node keeps no log of the job",
                got="0x" + job_id.hex(),
                expected=f"one of the last {MOST_LOGS} that ran here",
                do="`steelyard node status` lists the jobs of this node.",
            ) from None
        except OSError as error:
            raise disk_error("the log cannot be read", error) from error
        return parts

    def _drop_old(self) -> None:
        with suppress(OSError):
            states = [(path.stat(), path) for path in self._folder.glob("0x*.log")]
            kept = 0
            newest_first = sorted(states, key=lambda entry: entry[0].st_mtime_ns, reverse=True)
            for number, (state, path) in enumerate(newest_first):
                kept += state.st_size
                if number >= MOST_LOGS or kept > MOST_BYTES:
                    path.unlink(missing_ok=True)


class _Writer:
    """Seals lines to one key, in parts. file: None where the disk would not have one."""

    def __init__(self, file: BinaryIO | None, public_key: bytes) -> None:
        self._file, self._public_key = file, public_key
        self._waiting = bytearray()
        self._began, self._sealed = time.monotonic(), 0.0

    def line(self, text: str) -> None:
        self._waiting += f"{text}\n".encode()
        now = time.monotonic()
        if len(self._waiting) >= _PART or now - self._sealed >= max(_SECONDS, _SHARE * (now - self._began)):
            self.flush()

    def flush(self) -> None:
        """Seals what waits; after a part that did not fit on the disk there comes no other."""
        plain, self._waiting = bytes(self._waiting), bytearray()
        if not plain or self._file is None:
            return
        keys = {"key": os.urandom(32), "nonce": os.urandom(12)}
        part = envelope.seal_message(plain, [self._public_key], **keys) + b"\n"
        try:
            whole = self._file.write(part) == len(part)
        except OSError:
            whole = False
        self._file = self._file if whole else None
        self._sealed = time.monotonic()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """An empty file of mode 0600 in place of what was there, or None."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        yield None
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        yield file


def open_log(parts: list[bytes], private_key: bytes) -> list[str]:
    """A log's lines. Raises RefusedError where it is sealed to another key, InputError or IntegrityError if changed."""
    plain = b"".join(envelope.open_message(part, private_key) for part in parts)
    return plain.decode().split("\n")[:-1]
