"""What a Parquet file's footer claims of its columns' sizes, read in a process of its own.

Arrow ends the whole process on some broken footers: here it ends this one. As a program it reads a file on standard
input and prints the largest claim, in bytes.
"""

from __future__ import annotations

import subprocess
import sys
from typing import BinaryIO

from marketplace.errors import InputError

_MOST_SECONDS = 60


def largest_chunk(file: BinaryIO) -> int:
    """Bytes of the largest column chunk that the footer claims. Raises InputError where the footer cannot be read."""
    try:
        done = subprocess.run(  # noqa: S603  # this module itself
            [sys.executable, "-m", __name__],
            stdin=file,
            capture_output=True,
            timeout=_MOST_SECONDS,
            check=False,
        )
        return int(done.stdout)
    except (ValueError, subprocess.TimeoutExpired):
        raise InputError(
            "the footer of the Parquet file cannot be read", do="Write it again, or export CSV."
        ) from None
    finally:
        file.seek(0)


def _largest() -> int:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(sys.stdin.buffer)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    sizes = (
        group.column(place).total_uncompressed_size
        for group in groups
        for place in range(metadata.num_columns)
    )
    return max((size if size >= 0 else sys.maxsize for size in sizes), default=0)


if __name__ == "__main__":
    sys.stdout.write(str(_largest()))
