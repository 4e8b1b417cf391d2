"""What a provider's table looks like, read in bounded memory before it is sealed and listed.

Errors and warnings name rows and columns, never the value of a cell: what stands in a cell may be about a person,
and errors end up in logs, terminals and reports.

Covered: CSV (UTF-8, commas, a row of names) and Parquet (flat columns). Ragged rows, wrong quotes, not UTF-8, NUL
bytes, headers that look like data, endless lines and fields, hostile Parquet footers, folders, FIFOs, devices.
Not covered: a first row of text that is data cannot be told from names. A Parquet page is unpacked whole before
it is looked at, up to 2 GiB for a hostile one. A column that is all numbers may still identify people.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from compute.provider import csv_table, parquet_table
from compute.provider.parquet_claims import largest_chunk
from compute.provider.table import Profile
from marketplace.errors import InputError, NotFoundError, UnavailableError

_MAGIC = b"PAR1"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip or Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x1f\x8b": "a gzip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"SQLi": "an SQLite file",
    b"ARRO": "an Arrow file",
}
_QUIET_SECONDS = 1.0
_PROGRESS_SECONDS = 0.25


def read_profile(path: Path, *, progress: Callable[[int, int], None] | None = None) -> Profile:
    """Reads the whole file once and says what is in it.

    progress: called with (bytes done, bytes in all), at most four times a second, once a second has passed.
    Memory grows by less than 100 MiB, whatever the size of the file (hostile Parquet pages excepted, see above).
    Raises InputError naming row and column, NotFoundError, or UnavailableError if the disk fails.
    """
    try:
        with _open(path) as file:
            before = os.fstat(file.fileno())
            profile = _read(file, before.st_size, path, _paced(progress, before.st_size))
            after = os.fstat(file.fileno())
    except OSError as error:
        raise _foreign(error, path) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise InputError(
            f"{path} was changed while it was read", do="Run this again when nothing writes to it."
        )
    return profile


def _read(file: BinaryIO, size: int, path: Path, tick: Callable[[int], None]) -> Profile:
    if size == 0:
        raise InputError(f"{path} is empty", expected="a table with a row of names and rows of values")
    start = file.read(4)
    file.seek(0)
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise InputError(f"{path} is {name}", expected="CSV or Parquet", do="Export the table as CSV.")
    if start == _MAGIC:
        parquet_table.check_footer(file, size)
        _check_chunks(file)
        return parquet_table.read(file, size, tick)
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise InputError(f"{path} is no Parquet file", expected="a file that begins with PAR1")
    return csv_table.read(file, size, tick)


def _check_chunks(file: BinaryIO) -> None:
    largest = largest_chunk(file)
    if largest > parquet_table.MAX_CHUNK:
        raise InputError(
            "a column is too large in one row group",
            got=f"{largest} bytes",
            expected=f"at most {parquet_table.MAX_CHUNK}",
            do="Write the file with smaller row groups.",
        )


def _open(path: Path) -> BinaryIO:
    # Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is not a file", got=_kind_of(mode), expected="a CSV or Parquet file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _foreign(error: OSError, path: Path) -> InputError | UnavailableError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFoundError(f"{path} does not exist", do="Check the path.")
    if isinstance(error, PermissionError):
        return InputError(f"{path} may not be read", do="Give yourself the right to read it.")
    return UnavailableError(f"{path} cannot be read", got=error.strerror, do="Check the disk and try again.")


def _paced(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    due = time.monotonic() + _QUIET_SECONDS

    def tick(done: int) -> None:
        nonlocal due
        now = time.monotonic()
        if progress is not None and now >= due:
            due = now + _PROGRESS_SECONDS
            progress(min(done, total), total)

    return tick
