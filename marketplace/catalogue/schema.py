"""One table per row type, and the SQLite database that holds them (WAL: one writer, readers never wait)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    create_engine,
    delete,
    event,
    select,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.types import TypeDecorator, TypeEngine

from marketplace.catalogue.rows import DOCUMENTS, FOLDED, SOURCES, Row
from marketplace.errors import UnavailableError

VERSION = 2
"""Of the tables. A file of another version is emptied and filled again: it is a cache."""

BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for another one."""

R = TypeVar("R", bound=Row)


class Uint256Text(TypeDecorator[int]):
    """An integer of up to 256 bits as decimal text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


_TYPES: dict[Any, type[TypeEngine[Any]]] = {
    int: BigInteger,
    bool: Boolean,
    str: Text,
    bytes: LargeBinary,
    Annotated[int, "uint256"]: Uint256Text,
}

metadata = MetaData()


def _column(name: str, hint: Any, key: bool) -> Column[Any]:
    nullable = get_origin(hint) is UnionType
    if nullable:
        hint = next(part for part in get_args(hint) if part is not NoneType)
    # Without autoincrement=False SQLAlchemy would make a lone integer key count by itself.
    return Column(name, _TYPES[hint](), primary_key=key, nullable=nullable, autoincrement=False)


def _table(row: type[Row]) -> Table:
    hints = get_type_hints(row, include_extras=True)
    name = row.__name__.removesuffix("Row").lower()
    columns = [_column(field.name, hints[field.name], field.name in row.KEY) for field in fields(row)]
    indexes = [Index(f"{name}_by_{'_'.join(parts)}", *parts) for parts in row.INDEXES]
    return Table(name, metadata, *columns, *indexes)


TABLES: dict[type[Row], Table] = {row: _table(row) for row in (*SOURCES, *FOLDED, *DOCUMENTS)}


class Database:
    """The catalogue's file. `read()` and `write()` open one transaction each; both see one state throughout."""

    def __init__(self, path: Path) -> None:
        """Opens or creates it. Raises UnavailableError where the file cannot be opened or is no database."""
        self.path = path
        self._engine = _engine(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.write() as connection:
                self._migrate(connection)
        except (OSError, UnavailableError) as error:
            raise UnavailableError(
                "the catalogue's database does not open",
                got=error.strerror if isinstance(error, OSError) else error.got,
                expected="an SQLite file",
                do=f"Free some disk, or delete {path.name}: it is rebuilt from chain and store.",
            ) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot."""
        with _translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """All or nothing; the only writer while it lasts."""
        with _translated(), self._engine.connect() as plain:
            connection = plain.execution_options(immediate=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self._engine.dispose()

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table, sorted: what must be equal after a rebuild."""
        with self.read() as connection:
            return {
                table.name: [
                    tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
                ]
                for table in metadata.sorted_tables
            }

    @staticmethod
    def _migrate(connection: Connection) -> None:
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found not in (0, VERSION):
            metadata.drop_all(connection)
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        # Python's driver would begin transactions late and by guess; `_begin` does it instead.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        # With WAL a crash of the machine may lose the last commits, never their order: cursor and rows agree.
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise UnavailableError("the catalogue's database did not answer", got=error.orig or error) from error


def fetch(connection: Connection, row: type[R], query: Select[Any] | None = None) -> list[R]:
    """The rows that a `select(TABLES[row])` gives, as types."""
    found = connection.execute(select(TABLES[row]) if query is None else query)
    return [_typed(row, values) for values in found]


def get(connection: Connection, row: type[R], *key: object) -> R | None:
    """The row with this primary key, if there is one."""
    found = connection.execute(_BY_KEY[row], dict(zip(row.KEY, key, strict=True))).first()
    return None if found is None else _typed(row, found)


def _typed(row: type[R], values: Iterable[Any]) -> R:
    # The columns stand in the order of the fields, for that is what they were made from.
    return row(*values)


def _by_key(row: type[Row]) -> Select[Any]:
    table = TABLES[row]
    return select(table).where(*(table.c[name] == bindparam(name) for name in row.KEY))


# Built once: the indexer asks one of them for every row that an event touches.
_BY_KEY = {row: _by_key(row) for row in TABLES}


def put(connection: Connection, rows: Sequence[R]) -> None:
    """Writes rows of one type, each in place of the one with its key."""
    if not rows:
        return
    table = TABLES[type(rows[0])]
    names = [field.name for field in fields(rows[0])]
    statement = table.insert().prefix_with("OR REPLACE")
    connection.execute(statement, [{name: getattr(row, name) for name in names} for row in rows])


def clear(connection: Connection, rows: Sequence[type[Row]]) -> None:
    """Empties the tables of these row types."""
    for row in rows:
        connection.execute(delete(TABLES[row]))


__all__ = ["TABLES", "Database", "clear", "fetch", "get", "put"]
