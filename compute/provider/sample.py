"""A table made up from names and kinds of columns alone. Nothing of any real data is in it, and nothing can be learnt.

The same columns give the same table. Columns that a parameter names (a target, a group) hold two values each, in equal
parts, so that classifiers of any kind find their classes. No value is missing: a listing does not say where any are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

from marketplace.core.canonical import canonical, sha256
from marketplace.core.dataset import Column, ColumnKind, TableFormat

_CLASSES = 2
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove")
_FIRST_DAY = date(2024, 1, 1)


def sample(
    columns: Sequence[Column], rows: int, form: TableFormat, *, classes: Collection[str] = ()
) -> bytes:
    """A file of `rows` rows in the listed format. classes: columns that hold two values."""
    values = {column.name: _column(column, rows, column.name in classes) for column in columns}
    return _parquet(columns, values) if form is TableFormat.parquet else _csv(values)


def _column(column: Column, rows: int, few: bool) -> list[Any]:
    seed = sha256(canonical([column.name, str(column.kind)]))
    draw = Random(seed)  # noqa: S311  # the same for everybody is what is wanted
    choices = _choices(column.kind, draw)
    if few and column.kind is not ColumnKind.date:
        kept = choices[:_CLASSES]
        found = [kept[row % _CLASSES] for row in range(rows)]
        draw.shuffle(found)
        return found
    if column.kind is ColumnKind.date:
        return [_FIRST_DAY + timedelta(days=row) for row in range(rows)]
    if column.kind is ColumnKind.number:
        return [round(draw.gauss(50, 15), 3) for _ in range(rows)]
    if column.kind is ColumnKind.integer:
        return [draw.randrange(100) for _ in range(rows)]
    return [draw.choice(choices) for _ in range(rows)]


def _choices(kind: ColumnKind, draw: Random) -> Sequence[Any]:
    if kind is ColumnKind.text:
        return draw.sample(_WORDS, len(_WORDS))
    if kind is ColumnKind.boolean:
        return (False, True)
    return (0.0, 1.0) if kind is ColumnKind.number else (0, 1)


def _csv(values: dict[str, list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(values)
    writer.writerows(zip(*values.values(), strict=True))
    return text.getvalue().encode()


def _parquet(columns: Sequence[Column], values: dict[str, list[Any]]) -> bytes:
    import pyarrow  # 0.3 s, and only for this format
    import pyarrow.parquet

    types = {
        ColumnKind.integer: pyarrow.int64(),
        ColumnKind.number: pyarrow.float64(),
        ColumnKind.boolean: pyarrow.bool_(),
        ColumnKind.text: pyarrow.string(),
        ColumnKind.date: pyarrow.date32(),
    }
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in columns])
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(values, schema=schema), file)
    return file.getvalue()
