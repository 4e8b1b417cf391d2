"""One table for each row type, and how Python's values stand in it: the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from marketplace.catalogue.rows import DOCUMENTS, FOLDED, SOURCES, Placed, Row, Uint256

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_BYTEWISE = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Ordered by bytes in both databases, whatever language a server was set up for."""


def storable(text: str) -> str:
    """Text as both databases can keep it: NUL and lone surrogates, which PostgreSQL refuses, as U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


class StorableText(TypeDecorator[str]):
    """Text, made storable on its way in."""

    impl = _BYTEWISE
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Uint256Text(TypeDecorator[int]):
    """An integer of up to 256 bits as decimal text."""

    impl = _BYTEWISE
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


_TYPES: dict[Any, TypeEngine[Any]] = {
    int: BigInteger(),
    bool: Boolean(),
    str: StorableText(),
    bytes: LargeBinary(),
    Uint256: Uint256Text(),
    # SQLite's own row number, by which its text index names rows.
    Placed: BigInteger().with_variant(Integer, "sqlite"),
}

metadata = MetaData()


def _column(name: str, hint: Any, key: bool) -> Column[Any]:
    nullable = get_origin(hint) is UnionType
    if nullable:
        hint = next(part for part in get_args(hint) if part is not NoneType)
    # Without autoincrement=False SQLAlchemy would make a lone integer key count by itself.
    return Column(name, _TYPES[hint], primary_key=key, nullable=nullable, autoincrement=False)


def _table(row: type[Row]) -> Table:
    hints = get_type_hints(row, include_extras=True)
    name = row.__name__.removesuffix("Row").lower()
    columns = [_column(field.name, hints[field.name], field.name in row.KEY) for field in fields(row)]
    indexes = [Index(f"{name}_by_{'_'.join(parts)}", *parts) for parts in row.INDEXES]
    return Table(name, metadata, *columns, *indexes)


TABLES: dict[type[Row], Table] = {row: _table(row) for row in (*SOURCES, *FOLDED, *DOCUMENTS)}
