"""How the two databases are opened, and what differs between them: transactions, errors, putting rows in place.

A catalogue has one writer at a time, and each reader sees one state throughout, in both: SQLite by BEGIN IMMEDIATE and
its log of writes, PostgreSQL by an advisory lock and snapshots. Errors never hold the password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.dml import Insert

from marketplace.errors import InputError, UnavailableError

BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for another one."""

CACHE_KIB = 64 * 1024
"""Of an SQLite file that a connection keeps in memory at most: a search touches far more than its default of 2 MiB."""

CONNECT_TIMEOUT = 10
"""Seconds until a server that does not answer counts as away."""

_EXPECTED = "postgresql://USER:PASSWORD@HOST:PORT/NAME, or sqlite:////PATH"
_LOCK = 0x57EE1  # any number that other programs on the server are unlikely to use
_POSTGRES_SETTINGS = (
    f"SET lock_timeout = {int(BUSY_TIMEOUT * 1_000)}",
    # Compiling a query takes longer than any of ours runs.
    "SET jit = off",
)


DIALECTS: dict[str, Dialect] = {
    "sqlite": SQLiteDialect_pysqlite(paramstyle="qmark"),
    "postgresql": PGDialect_psycopg(paramstyle="format"),  # type: ignore[no-untyped-call]
}
"""For statements that are given to a driver as they are, with parameters by their order."""


def parse_place(place: Path | str) -> URL:
    """Where a catalogue lies: an SQLite file, or a database's URL. Raises InputError, which does not show the URL."""
    if isinstance(place, Path):
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgresql", "postgres", "postgresql+psycopg", "sqlite"):
        raise InputError(
            "the catalogue's database is not one that can be used",
            got=f"{url.drivername}://..." if url else "no URL",
            expected=_EXPECTED,
            do="Set STEELYARD_DATABASE anew, or unset it for a file in the home.",
        )
    return url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg")


def name_of(url: URL) -> str:
    """The database as errors and logs may name it: without user, password and options."""
    if url.drivername == "sqlite":
        return Path(url.database or "").name
    return f"{url.database or ''} at {url.host or url.query.get('host', 'localhost')}"


def engine_of(url: URL) -> Engine:
    """An engine for a URL of `parse_place`; connects later. Raises InputError where a driver is missing."""
    return _sqlite(url) if url.drivername == "sqlite" else _postgresql(url)


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        # Python's driver would begin transactions late and by guess; `_begin` does it instead.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        # With WAL a crash of the machine may lose the last commits, never their order: cursor and rows agree.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            isolation_level="REPEATABLE READ",
            pool_pre_ping=True,  # a server that was restarted leaves dead connections behind
            connect_args={"connect_timeout": CONNECT_TIMEOUT},
        )
    except ImportError:
        raise InputError(
            "the driver for PostgreSQL is not installed", do="Install it: pip install 'steelyard[postgres]'."
        ) from None

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            for setting in _POSTGRES_SETTINGS:
                cursor.execute(setting)
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            lock = text("SELECT pg_advisory_xact_lock(:lock, hashtext(current_schema()))")
            connection.execute(lock, {"lock": _LOCK})

    return engine


@contextmanager
def begun(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    """One transaction: a snapshot, or with `writes` the only writer. Raises UnavailableError."""
    with translated(engine.url), engine.connect() as plain:
        options: dict[str, Any] = {"writes": writes}
        if writes and engine.dialect.name == "postgresql":
            # A snapshot would be taken while the lock is waited for, before the other writer is done.
            options["isolation_level"] = "READ COMMITTED"
        connection = plain.execution_options(**options)
        with connection.begin():
            yield connection


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turns what a driver raises into UnavailableError, without the password."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error)
        for secret in _secrets(url):
            said = said.replace(secret, "***")
        raise UnavailableError(
            f"the catalogue's database did not answer ({name_of(url)})", got=said
        ) from None


def _secrets(url: URL) -> list[str]:
    found = [url.password, url.query.get("password")]
    return [secret for secret in found if isinstance(secret, str) and secret]


def upsert(dialect: str, table: Table) -> Insert:
    """An INSERT that takes the place of the row with the same key."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect](table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
    result: Insert = (
        insert.on_conflict_do_update(index_elements=keys, set_=values)
        if values
        else insert.on_conflict_do_nothing(index_elements=keys)
    )
    return result
