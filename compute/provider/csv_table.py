"""Profiles a CSV file: RFC 4180, UTF-8, commas, one row of names; read in pieces, each cell looked at once.

A cell is missing if it is empty or one of the marks that pandas takes for missing. A column that mixes numbers
and text is text, with a warning that names where it turns. Integers of more than 18 digits or with a leading zero
are text: they are codes. Memory: one piece of 1 MiB, one record of at most 4 Mi characters, 8,192 short rows.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from compute.provider.table import MAX_FIELD, Column, Profile, check_names
from marketplace.core.dataset import ColumnKind as Kind
from marketplace.core.dataset import TableFormat
from marketplace.errors import InputError

_PIECE = 1 << 20
_MAX_RECORD = 4 << 20
_BATCH_ROWS = 8_192
_BATCH_CELLS = 1 << 18
MISSING = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None"})
_MISSING_PATTERN = "|".join(re.escape(mark) for mark in sorted(MISSING, reverse=True))
_DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
# From narrow to wide; a number may be an integer, and nothing else overlaps.
_CELL: dict[Kind, str] = {
    Kind.integer: r"[+-]?(?:0|[1-9][0-9]{0,17})",
    Kind.number: r"[+-]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?|\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][+-]?[0-9]{1,3})?",
    Kind.boolean: r"[Tt]rue|[Ff]alse|TRUE|FALSE",
    Kind.date: rf"{_DAY}(?:[T ]{_TIME})?",
}
_ONE = {kind: re.compile(pattern) for kind, pattern in _CELL.items()}
# A whole batch of one column, joined by NUL (which no cell holds), matched in one go without backtracking.
_MANY = {
    kind: re.compile(rf"(?:(?>(?:{pattern}|{_MISSING_PATTERN})\0))*+") for kind, pattern in _CELL.items()
}


def read(file: BinaryIO, size: int, tick: Callable[[int], None]) -> Profile:
    """The profile of an open CSV file of `size` bytes. tick: told the bytes read so far.

    Raises InputError naming row, line and column, never a value.
    """
    lines = _Lines(file, tick)
    rows = _Rows(lines)
    names = rows.header()
    check_names(names)
    columns = [_Sight(name, number) for number, name in enumerate(names, 1)]
    count = 0
    for batch in rows.batches(len(names)):
        for column, cells in zip(columns, zip(*batch, strict=True), strict=True):
            column.look(cells, first_row=count + 1)
        count += len(batch)
    if not count:
        raise InputError("the table has names but no rows", expected="at least one row of values")
    warnings = tuple(warning for column in columns for warning in column.warnings())
    return Profile(TableFormat.csv, count, size, tuple(column.result() for column in columns), warnings)


class _Lines:
    """The lines of a UTF-8 file, each with its end, in pieces of bounded size."""

    def __init__(self, file: BinaryIO, tick: Callable[[int], None]) -> None:
        self._file, self._tick = file, tick
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._done = 0
        self.pending = 0
        """Characters handed out since the reader of records last set this to zero."""

    def __iter__(self) -> Iterator[str]:
        rest = ""
        while piece := self._file.read(_PIECE):
            text = rest + self._decode(piece, final=False)
            *whole, rest = text.split("\n")
            for line in whole:
                # Written out, for it runs once a row: a call here costs a tenth of the whole profile.
                self.pending += len(line) + 1
                if self.pending > _MAX_RECORD:
                    raise _too_long()
                yield line + "\n"
            if len(rest) > _MAX_RECORD:
                raise _too_long()
            self._tick(self._done)
        rest += self._decode(b"", final=True)
        if rest:
            self.pending += len(rest)
            if self.pending > _MAX_RECORD:
                raise _too_long()
            yield rest

    def _decode(self, piece: bytes, *, final: bool) -> str:
        held = len(self._decoder.getstate()[0])
        nul = piece.find(b"\0")
        if nul >= 0:
            raise InputError(
                f"there is a NUL byte at byte {self._done + nul}", expected="a CSV file in UTF-8"
            )
        try:
            text = self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            raise InputError(
                f"the file is not UTF-8 at byte {self._done - held + error.start}",
                do="Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8').",
            ) from None
        if self._done == 0:
            text = text.removeprefix("\ufeff")
        self._done += len(piece)
        return text


class _Rows:
    """Records of a CSV file: the header, then batches of rows of one width."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._reader = csv.reader(lines, strict=True)
        self._given = 0
        self._batch: list[list[str]] = []

    def header(self) -> list[str]:
        try:
            names = next(self._reader, None)
        except csv.Error as error:
            raise self._unreadable(str(error)) from None
        self._lines.pending = 0
        if not names:
            raise InputError("the first line is blank", expected="the names of the columns")
        if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
            raise InputError("the columns are not separated by commas", do="Save the table with commas.")
        return names

    def batches(self, width: int) -> Iterator[list[list[str]]]:
        try:
            yield from self._all(width)
        except csv.Error as error:
            raise self._unreadable(str(error)) from None

    def _all(self, width: int) -> Iterator[list[list[str]]]:
        most = max(1, min(_BATCH_ROWS, _BATCH_CELLS // width))
        lines, held = self._lines, 0
        for row in self._reader:
            if len(row) != width:
                self._refuse_ragged(row, width)
                break
            self._batch.append(row)
            held += lines.pending
            lines.pending = 0
            if len(self._batch) >= most or held > _MAX_RECORD:
                yield self._give()
                held = 0
        if self._batch:
            yield self._give()

    def _give(self) -> list[list[str]]:
        batch, self._batch = self._batch, []
        self._given += len(batch)
        return batch

    def _row(self) -> int:
        """The number of the row that is being read; the first after the header is 1."""
        return self._given + len(self._batch) + 1

    def _refuse_ragged(self, row: list[str], width: int) -> None:
        """Raises InputError, unless the row is blank and nothing but blank lines follows."""
        number, line = self._row(), self._reader.line_num
        if row:
            raise InputError(
                f"row {number} (line {line}) is ragged",
                got=f"{len(row)} fields",
                expected=f"{width} fields, as in the header",
                do="Quote fields that hold commas.",
            )
        for after in self._reader:
            self._lines.pending = 0
            if after:
                raise InputError(
                    f"row {number} (line {line}) is blank", do="Remove blank lines between rows."
                )

    def _unreadable(self, why: str) -> InputError:
        where = f"row {self._row()} (line {self._reader.line_num})"
        if "field larger" in why:
            return InputError(
                f"{where} has a field that does not end",
                expected=f"at most {MAX_FIELD} characters",
                do="Look for a quote that is never closed.",
            )
        if "new-line character" in why:
            return InputError(
                f"{where} holds a bare carriage return", expected="lines that end in \\n or \\r\\n"
            )
        return InputError(
            f"{where} is quoted wrongly", expected='a quote inside a quoted field written as ""'
        )


class _Sight:
    """What was seen of one column so far."""

    def __init__(self, name: str, number: int) -> None:
        self._name, self._number = name, number
        self._kind: Kind | None = None
        self._missing = 0
        self._mixed_at: int | None = None

    def look(self, cells: Sequence[str], *, first_row: int) -> None:
        """Takes in the cells of one batch, the first of which stands in row `first_row`."""
        present = len(cells) - sum(map(MISSING.__contains__, cells))
        self._missing += len(cells) - present
        if not present or self._kind is Kind.text:
            return
        joined = "\0".join(cells) + "\0"
        for kind in self._candidates():
            if _MANY[kind].fullmatch(joined):
                self._kind = kind
                return
        self._turn_to_text(cells, first_row)

    def _candidates(self) -> tuple[Kind, ...]:
        if self._kind is None:
            return tuple(_CELL)
        return (Kind.integer, Kind.number)[self._kind is Kind.number :] if self._numeric() else (self._kind,)

    def _numeric(self) -> bool:
        return self._kind in (Kind.integer, Kind.number)

    def _turn_to_text(self, cells: Sequence[str], first_row: int) -> None:
        """The column is text from here on; remembers where its kind first changed, if it did."""
        seen = self._kind
        for offset, cell in enumerate(cells):
            if cell in MISSING:
                continue
            kind = _kind_of(cell)
            if seen is not None and not _alike(seen, kind):
                self._mixed_at = first_row + offset
                break
            seen = kind
        self._kind = Kind.text

    def warnings(self) -> list[str]:
        where = f"column {self._number} ({self._name})"
        if self._mixed_at is not None:
            return [f"{where} mixes kinds of values, first in row {self._mixed_at}: it is listed as text"]
        return [f"{where} has no values: it is listed as text"] if self._kind is None else []

    def result(self) -> Column:
        return Column(self._name, self._kind or Kind.text, self._missing)


def _kind_of(cell: str) -> Kind:
    return next((kind for kind, pattern in _ONE.items() if pattern.fullmatch(cell)), Kind.text)


def _alike(one: Kind, other: Kind) -> bool:
    numbers = {Kind.integer, Kind.number}
    return one is other or {one, other} <= numbers


def _too_long() -> InputError:
    return InputError(
        "a row does not end",
        expected=f"at most {_MAX_RECORD} characters in a row",
        do="Look for a quote that is never closed.",
    )
