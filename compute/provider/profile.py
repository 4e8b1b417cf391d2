"""What a provider's table looks like, read in bounded memory before it is sealed and listed.

Errors and warnings name rows and columns, never the value of a cell: what stands in a cell may be about a person,
and errors end up in logs, terminals and reports.

Covered: CSV (UTF-8, commas, a row of names) and Parquet (flat columns). Ragged rows, wrong quotes, not UTF-8, NUL
bytes, headers that look like data, endless lines and fields, hostile Parquet footers.
Not covered: a first row of text that is data cannot be told from names. A Parquet page is unpacked whole before
it is looked at, up to 2 GiB for a hostile one. A column that is all numbers may still identify people.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from compute.provider import csv_table, parquet_table
from compute.provider.parquet_claims import largest_chunk
from compute.provider.table import Profile
from marketplace.errors import InputError

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
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


def profile_file(file: BinaryIO, size: int, path: Path, tick: Callable[[int], None]) -> Profile:
    """What is in an open file of `size` bytes, read once. path: for its suffix, and for words. tick: told bytes read.

    Memory grows by less than 100 MiB, whatever the size of the file (hostile Parquet pages excepted, see above).
    Raises InputError naming row and column.
    """
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
    if path.suffix.lower() in PARQUET_SUFFIXES:
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


def paced(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    """Tells `progress` of (bytes done, `total`), at most four times a second, once a second has passed."""
    due = time.monotonic() + _QUIET_SECONDS

    def tick(done: int) -> None:
        nonlocal due
        now = time.monotonic()
        if progress is not None and now >= due:
            due = now + _PROGRESS_SECONDS
            progress(min(done, total), total)

    return tick
