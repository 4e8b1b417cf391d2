"""Tables from CSV or Parquet, as columns of numbers or words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .faults import TaskError

_PARQUET = b"PAR1"
_MAX_BLOCK = 2**31 - 1


@dataclass(frozen=True)
class Words:
    """A column of texts. codes: int32 [rows], the position of each row's text in `values`, -1 where missing."""

    codes: NDArray[np.int32]
    values: list[str]


Numbers = NDArray[np.float64]
"""A column of numbers or truth values, float64 [rows], NaN where missing."""


@dataclass(frozen=True)
class Table:
    """columns: those of a usable type, in order. unusable: names of the rest (times, lists, binary, empty)."""

    rows: int
    columns: Mapping[str, Numbers | Words]
    unusable: tuple[str, ...]

    @classmethod
    def read(cls, *paths: Path) -> Table:
        """The table in a CSV (comma, header, UTF-8) or Parquet file, or in several of one kind. Raises TaskError."""
        try:
            return cls.of(_join(paths, [_read(path) for path in paths]))
        except OSError:
            raise TaskError("the table cannot be read") from None
        except pa.ArrowException:
            # Arrow's own words would quote the row.
            raise TaskError(
                "the table is neither CSV with as many cells in each row as its header nor Parquet"
            ) from None

    @classmethod
    def of(cls, data: Any) -> Table:
        """A table from columns in memory: a mapping of names to lists, an Arrow table or a pandas frame."""
        table = data if isinstance(data, pa.Table) else pa.table(data)
        names: list[str] = table.column_names
        if not table.num_rows:
            raise TaskError("the table has no rows")
        if len(set(names)) < len(names):
            raise TaskError("two columns have the same name")
        columns = {name: _column(table.column(name)) for name in names}
        return cls(
            rows=table.num_rows,
            columns={name: column for name, column in columns.items() if column is not None},
            unusable=tuple(name for name, column in columns.items() if column is None),
        )


def labels(column: Numbers | Words) -> tuple[NDArray[np.int64], list[str]]:
    """Classes of a column: for each row the position of its class, -1 where missing; and the classes' names, sorted.

    Numbers are named as people write them, so that 1, 1.0 and true are one class wherever they are read from.
    """
    if isinstance(column, Words):
        used, codes = np.unique(column.codes, return_inverse=True)
        names = [column.values[code] if code >= 0 else None for code in used]
        order = sorted((name, index) for index, name in enumerate(names) if name is not None)
        positions = np.full(len(names), -1, dtype=np.int64)
        for position, (_, index) in enumerate(order):
            positions[index] = position
        return positions[codes], [name for name, _ in order]
    present = np.isfinite(column)
    values, codes = np.unique(column[present], return_inverse=True)
    result = np.full(len(column), -1, dtype=np.int64)
    result[present] = codes
    return result, [str(int(value)) if value == int(value) else repr(float(value)) for value in values]


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        parquet = file.read(len(_PARQUET)) == _PARQUET
    return _read_parquet(path) if parquet else _read_csv(path)


def _join(paths: Sequence[Path], parts: Sequence[Any]) -> Any:
    """The parts as one table. A column that looks otherwise in some part (1, 2 here, 1.5 there) is what fits all."""
    if len(parts) == 1:
        return parts[0]
    if len(set(parts[0].column_names)) < parts[0].num_columns:
        raise TaskError("two columns have the same name")
    if any(part.column_names != parts[0].column_names for part in parts):
        raise TaskError("the parts of the table have different columns")
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowTypeError:
        pass
    types = {name: {part.schema.field(name).type for part in parts} for name in parts[0].column_names}
    common = {name: _common(found) for name, found in types.items() if len(found) > 1}
    try:
        return pa.concat_tables([_read_csv(path, common) for path in paths], promote_options="permissive")
    except pa.ArrowException:
        raise TaskError("the parts of the table have columns of different types") from None


def _common(types: set[Any]) -> Any:
    """A type in which all parts of a column can be read."""
    filled = types - {pa.null()}
    if len(filled) == 1:
        return filled.pop()
    numbers = all(pa.types.is_integer(one) or pa.types.is_floating(one) for one in filled)
    return pa.float64() if numbers else pa.string()


def _read_csv(path: Path, types: Mapping[str, Any] | None = None) -> Any:
    from pyarrow import csv

    size = path.stat().st_size
    if size == 0:
        raise TaskError("the table is empty")
    return csv.read_csv(
        path,
        # One block, so that a column's type is inferred from all its rows.
        read_options=csv.ReadOptions(use_threads=False, block_size=min(size + 1, _MAX_BLOCK)),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, column_types=types),
    )


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path, use_threads=False)


def _column(array: Any) -> Numbers | Words | None:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _column(array.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return _column(array.cast(pa.uint8()))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = array.cast(pa.float64(), safe=False).to_numpy()
        return np.where(np.isfinite(numbers), numbers, np.nan)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = array.combine_chunks().dictionary_encode()
        return Words(
            encoded.indices.fill_null(-1).to_numpy().astype(np.int32), encoded.dictionary.to_pylist()
        )
    return None
