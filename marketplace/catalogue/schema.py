"""The catalogue's database: opened and brought up to date, read in snapshots, written by one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, delete, select, tuple_

from marketplace.catalogue import migrate
from marketplace.catalogue.engines import DIALECTS, begun, engine_of, name_of, parse_place, upsert
from marketplace.catalogue.models import TABLES, metadata
from marketplace.catalogue.rows import Row
from marketplace.errors import UnavailableError
from marketplace.settings import Settings

R = TypeVar("R", bound=Row)


class Database:
    """The catalogue. `read()` and `write()` open one transaction each; both see one state throughout."""

    def __init__(self, place: Path | str, *, empty: bool = False) -> None:
        """Opens it, makes it where it is not there, and brings an older one up to date.

        place: an SQLite file, or the URL of a PostgreSQL database or an SQLite file. empty: makes all tables anew,
        whatever state they were in. Raises InputError for any other URL; UnavailableError where the database does
        not open, is damaged, holds something else, or is of a newer program.
        """
        self.url = parse_place(place)
        self._engine = engine_of(self.url)
        try:
            if self.url.drivername == "sqlite" and self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            with self.write() as connection:
                (migrate.empty if empty else migrate.upgrade)(connection)
        except (OSError, UnavailableError) as error:
            self.close()
            if isinstance(error, UnavailableError) and error.do:
                raise
            raise _does_not_open(self.url.drivername, name_of(self.url), error) from error

    @classmethod
    def of(cls, settings: Settings, *, empty: bool = False) -> Database:
        """The one that the settings name. Raises as the constructor."""
        return cls(settings.database.get_secret_value() or settings.home / "hub.db", empty=empty)

    def read(self) -> AbstractContextManager[Connection]:
        """One snapshot."""
        return begun(self._engine, writes=False)

    def write(self) -> AbstractContextManager[Connection]:
        """All or nothing; the only writer while it lasts."""
        return begun(self._engine, writes=True)

    def close(self) -> None:
        self._engine.dispose()

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table, sorted: what must be equal after a rebuild, and in any database."""
        with self.read() as connection:
            return {
                table.name: [
                    tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
                ]
                for table in metadata.sorted_tables
            }


def _does_not_open(kind: str, name: str, error: OSError | UnavailableError) -> UnavailableError:
    said = error.strerror if isinstance(error, OSError) else error.got
    if kind == "sqlite":
        do = f"Free some disk, or delete {name}: it is rebuilt from chain and store."
        return UnavailableError(
            "the catalogue's database does not open", got=said, expected="an SQLite file", do=do
        )
    return UnavailableError(
        f"the catalogue's database does not open: {name}",
        got=said,
        expected="a PostgreSQL server that lets this user make tables",
        do="Check that it runs and what STEELYARD_DATABASE says.",
    )


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


def get_all(connection: Connection, row: type[R], keys: Iterable[tuple[object, ...]]) -> list[R]:
    """The rows with these primary keys, as far as there are any; in no order."""
    table = TABLES[row]
    columns = [table.c[name] for name in row.KEY]
    wanted, found = list(keys), list[R]()
    for start in range(0, len(wanted), _KEYS_AT_ONCE):
        part = wanted[start : start + _KEYS_AT_ONCE]
        # A lone key without a tuple around it: SQLite finds it by its index either way, PostgreSQL faster.
        where = columns[0].in_([key[0] for key in part]) if len(columns) == 1 else tuple_(*columns).in_(part)
        found += fetch(connection, row, select(table).where(where))
    return found


_KEYS_AT_ONCE = 500


def put(connection: Connection, rows: Sequence[R]) -> None:
    """Writes rows of one type, each in place of the one with its key. No two of them may have the same key."""
    if rows:
        statement, values = _putting(TABLES[type(rows[0])].name, connection.dialect.name)
        connection.exec_driver_sql(statement, [values(row) for row in rows])


@cache
def _putting(name: str, dialect: str) -> tuple[str, Callable[[Row], tuple[Any, ...]]]:
    """The driver's own statement for a table's rows, and what turns a row into its parameters.

    Made once: SQLAlchemy would look at each value of each row anew, a third of the time that an indexer takes.
    """
    table, speaking = metadata.tables[name], DIALECTS[dialect]
    statement = upsert(dialect, table).compile(dialect=speaking)
    names = statement.positiontup or []
    found = [table.c[name].type.dialect_impl(speaking).bind_processor(speaking) for name in names]
    converters = [(place, convert) for place, convert in enumerate(found) if convert]
    take = attrgetter(*names)

    def values(row: Row) -> tuple[Any, ...]:
        taken = list(take(row))
        for place, convert in converters:
            taken[place] = convert(taken[place])
        return tuple(taken)

    return str(statement), values


def clear(connection: Connection, rows: Sequence[type[Row]]) -> None:
    """Empties the tables of these row types."""
    for row in rows:
        connection.execute(delete(TABLES[row]))


__all__ = ["TABLES", "Database", "clear", "fetch", "get", "get_all", "put"]
