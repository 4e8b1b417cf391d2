"""Profiles a Parquet file: flat columns, read in batches, every value decoded once.

The footer is a claim of whoever wrote the file: its size is bounded before it is parsed, its schema must be flat,
and rows and missing values are counted from the values themselves. Text is kept as dictionaries, so that one long
value repeated a million times stays one value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compute.provider.table import MAX_FIELD, Column, Profile, check_names
from marketplace.core.dataset import ColumnKind as Kind
from marketplace.core.dataset import TableFormat
from marketplace.errors import InputError

_MAX_FOOTER = 16 << 20
MAX_CHUNK = 1 << 30
"""Bytes of one column in one row group that a file may claim: they are decoded at once."""
_MAX_GROUPS = 100_000
_BATCH_CELLS = 1 << 18
_BATCH_ROWS = 16_384


def read(file: BinaryIO, size: int, tick: Callable[[int], None]) -> Profile:
    """The profile of an open Parquet file of `size` bytes. tick: told the bytes read so far, about.

    Raises InputError naming column and row, never a value.
    """
    check_footer(file, size)
    try:
        table, kinds = _open(file)
        sights = [_Sight(name, number, kind) for number, (name, kind) in enumerate(kinds, 1)]
        rows = 0
        for batch in _batches(table, len(kinds)):
            for sight, values in zip(sights, batch.columns, strict=True):
                sight.look(values, first_row=rows + 1)
            rows += batch.num_rows
            tick(size * rows // max(table.metadata.num_rows, 1))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        # Arrow's own message may quote a value.
        raise InputError(
            "the Parquet file cannot be read", got=type(error).__name__, do="Write it again, or export CSV."
        ) from None
    _check_rows(rows, table.metadata.num_rows)
    return Profile(
        TableFormat.parquet, rows, size, tuple(sight.result() for sight in sights), _warnings(sights)
    )


def check_footer(file: BinaryIO, size: int) -> None:
    """Raises InputError unless the file ends as a Parquet file does, with a footer of a size that can be parsed."""
    file.seek(max(0, size - 8))
    tail = file.read(8)
    file.seek(0)
    if size < 12 or tail[4:] != b"PAR1":
        raise InputError(
            "the Parquet file has no end", expected="PAR1 as its last bytes", do="Copy it again."
        )
    footer = int.from_bytes(tail[:4], "little")
    if not 0 < footer <= min(_MAX_FOOTER, size - 12):
        raise InputError(
            "the footer of the Parquet file does not fit",
            got=f"{footer} bytes",
            expected=f"1 to {min(_MAX_FOOTER, size - 12)} bytes",
        )


def _open(file: BinaryIO) -> tuple[Any, list[tuple[str, Kind]]]:
    """The file, set to keep text as dictionaries, and each column's name and kind."""
    first = _parquet_file(file, [])
    schema = first.schema_arrow
    check_names(schema.names)
    kinds = [(field.name, _kind(field.type, number)) for number, field in enumerate(schema, 1)]
    return _parquet_file(file, [name for name, kind in kinds if kind is Kind.text]), kinds


def _parquet_file(file: BinaryIO, dictionaries: list[str]) -> Any:
    return pq.ParquetFile(
        file,
        read_dictionary=dictionaries,
        buffer_size=1 << 20,
        pre_buffer=False,
        thrift_string_size_limit=_MAX_FOOTER,
        thrift_container_size_limit=_MAX_GROUPS,
    )


def _kind(arrow: Any, number: int) -> Kind:
    plain = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    tests: tuple[tuple[Callable[[Any], bool], Kind], ...] = (
        (pa.types.is_integer, Kind.integer),
        (pa.types.is_floating, Kind.number),
        (pa.types.is_decimal, Kind.number),
        (pa.types.is_boolean, Kind.boolean),
        (pa.types.is_string, Kind.text),
        (pa.types.is_large_string, Kind.text),
        (pa.types.is_string_view, Kind.text),
        (pa.types.is_date, Kind.date),
        (pa.types.is_timestamp, Kind.date),
    )
    for test, kind in tests:
        if test(plain):
            return kind
    raise InputError(
        f"column {number} has a type that a table cannot have here",
        got="nested" if pa.types.is_nested(plain) else plain.id and str(plain)[:40],
        expected="integers, numbers, booleans, text, dates or timestamps",
        do="Split nested columns into plain ones; write bytes and times as text.",
    )


def _batches(table: Any, width: int) -> Iterator[Any]:
    rows = max(1, min(_BATCH_ROWS, _BATCH_CELLS // width))
    return iter(table.iter_batches(batch_size=rows, use_threads=False))


class _Sight:
    """What was seen of one column so far."""

    def __init__(self, name: str, number: int, kind: Kind) -> None:
        self.name, self._number, self._kind = name, number, kind
        self._missing = 0
        self._rows = 0

    def look(self, values: Any, *, first_row: int) -> None:
        """Takes in the values of one batch, the first of which stands in row `first_row`."""
        self._rows += len(values)
        self._missing += pc.sum(pc.is_null(values, nan_is_null=True)).as_py() or 0
        if self._kind is Kind.text:
            self._check_text(values, first_row)

    def _check_text(self, values: Any, first_row: int) -> None:
        texts = values.dictionary if pa.types.is_dictionary(values.type) else values
        where = f"column {self._number} ({self.name}), in or after row {first_row},"
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            raise InputError(f"{where} holds text that is not UTF-8") from None
        longest = pc.max(pc.binary_length(texts)).as_py() or 0
        if longest > MAX_FIELD:
            raise InputError(
                f"{where} holds a text that is too long",
                got=f"{longest} bytes",
                expected=f"at most {MAX_FIELD}",
            )

    def empty(self) -> bool:
        """Whether no cell had a value."""
        return self._missing == self._rows

    def where(self) -> str:
        return f"column {self._number} ({self.name})"

    def result(self) -> Column:
        return Column(self.name, self._kind, self._missing)


def _check_rows(rows: int, claimed: int) -> None:
    if rows != claimed:
        raise InputError("the Parquet file does not hold the rows it claims", got=rows, expected=claimed)
    if not rows:
        raise InputError("the table has names but no rows", expected="at least one row of values")


def _warnings(sights: list[_Sight]) -> tuple[str, ...]:
    return tuple(f"{sight.where()} has no values" for sight in sights if sight.empty())
