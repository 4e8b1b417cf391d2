"""What a profile is, and the rules on names of columns that CSV and Parquet share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from marketplace.core.dataset import MAX_COLUMNS, TableFormat
from marketplace.core.dataset import Column as ListedColumn
from marketplace.core.dataset import ColumnKind as Kind
from marketplace.core.text import MAX_LINE, check_line
from marketplace.errors import InputError

MAX_FIELD = 131_072
"""Characters of one cell: the limit of Python's csv module, held for Parquet too (there in bytes)."""

_DECIMAL_OR_DATE = re.compile(r"[+-]?[0-9]*[.,][0-9]+([eE][+-]?[0-9]+)?|-[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_INTEGER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Column:
    """One column of the provider's file. missing: number of cells without a value; never published."""

    name: str
    kind: Kind
    missing: int


@dataclass(frozen=True)
class Profile:
    """What stands in a table. rows: without the header. bytes: size of the file. warnings: plain sentences."""

    format: TableFormat
    rows: int
    bytes: int
    columns: tuple[Column, ...]
    warnings: tuple[str, ...] = ()

    def listed_columns(self) -> tuple[ListedColumn, ...]:
        """The columns as a listing publishes them: names and kinds, nothing counted."""
        return tuple(ListedColumn(column.name, column.kind) for column in self.columns)


def check_names(names: list[str]) -> None:
    """The rules on a header. Columns are named by number: a header that is missing is a row of values.

    Raises InputError for none or too many, empty, long, doubled or hidden names, or names that look like values.
    """
    if not 1 <= len(names) <= MAX_COLUMNS:
        raise InputError(
            "the number of columns does not fit", got=len(names), expected=f"1 to {MAX_COLUMNS} columns"
        )
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        _check_name(name, number)
        if name in first:
            raise InputError(
                f"columns {first[name]} and {number} have the same name", do="Rename one of them."
            )
        first[name] = number
    _check_not_values(names)


def _check_name(name: str, number: int) -> None:
    if not name.strip():
        raise InputError(f"column {number} has no name", do="Give every column a name in the first row.")
    check_line(name, f"the name of column {number}", most=MAX_LINE)


def _check_not_values(names: list[str]) -> None:
    for number, name in enumerate(names, 1):
        if _DECIMAL_OR_DATE.fullmatch(name):
            raise _no_header(number)
    # Tables without names are often numbered 0, 1, 2 or by years: that is a header; scattered numbers are a row.
    numbered = [(number, int(name)) for number, name in enumerate(names, 1) if _INTEGER.fullmatch(name)]
    for (_, left), (number, right) in pairwise(numbered):
        if right != left + 1:
            raise _no_header(number)
    if len(numbered) == 1 and numbered[0][1] not in (0, 1):
        raise _no_header(numbered[0][0])


def _no_header(number: int) -> InputError:
    return InputError(
        f"the first row looks like values, not names: see column {number}",
        expected="a first row with the name of each column",
        do="Add a row of names at the top.",
    )
