"""CSV: a header, and as many cells in each row. RFC 4180, with a comma, in UTF-8."""

from __future__ import annotations

import csv
import io
import re

from compute.formats.magic import is_text_pickle
from marketplace.errors import InputError

MAX_ROWS = 1_000_000
MAX_COLUMNS = 4_096
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")


def rewrite_csv(data: bytes) -> bytes:
    """The same cells with one way of quoting and of ending lines. Raises InputError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("it is not UTF-8") from None
    if is_text_pickle(data):
        raise InputError("it can be read as a program, too")
    if _CONTROL.search(text):
        raise InputError("it holds control characters")
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    width = 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True)):
            width = width or _check_header(row)
            if len(row) != width:
                raise InputError(
                    "its rows have different numbers of cells",
                    got=f"row {number}: {len(row)}",
                    expected=width,
                )
            if number > MAX_ROWS:
                raise InputError("it has too many rows", expected=f"<= {MAX_ROWS}")
            writer.writerow(row)
    except csv.Error as error:
        raise InputError("it is not CSV", got=error, expected="RFC 4180 with a comma") from None
    if not width:
        raise InputError("it has no header")
    return target.getvalue().encode("utf-8")


def _check_header(row: list[str]) -> int:
    if not row or len(row) > MAX_COLUMNS:
        raise InputError("its header does not fit", got=f"{len(row)} columns", expected=f"1 to {MAX_COLUMNS}")
    if len(set(row)) < len(row):
        raise InputError("its header names a column twice")
    return len(row)
