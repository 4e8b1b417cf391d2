"""Bringing a database up to date, or saying why not. Everything in it is a cache, yet nothing is dropped unasked.

A database is empty, or ours of some revision, or ours from before there were revisions (SQLite's `user_version`),
or somebody else's. All happens in the caller's transaction: a migration that is killed has not begun.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from marketplace.catalogue.models import metadata
from marketplace.errors import UnavailableError

VERSION_TABLE = "steelyard_version"
"""Not Alembic's usual name: a database may hold another program that uses it too."""

FIRST = "0001"
"""The revision whose tables `user_version` 2 counted."""

_LAST_USER_VERSION = 2
_BY_REVISIONS = 3
"""What `user_version` says from here on, so that a program from before empties the file instead of misreading it."""

_REBUILD = "Run `steelyard hub rebuild`: all of it is made anew from chain and store."


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Makes the tables or brings them to `revision`. Raises UnavailableError where they are not ours to change."""
    config = _config(connection)
    _adopt(connection, config)
    found = _revision(connection)
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found is not None and found not in known:
        raise UnavailableError(
            "the catalogue's database is of a newer Steelyard",
            got=f"revision {found}",
            expected=f"{known[0]} or older",
            do=f"Update Steelyard. Or, to go on with this one: {_REBUILD}",
        )
    if found != known[0]:
        command.upgrade(config, revision)
    if revision == "head":
        _check(connection)


def downgrade(connection: Connection, revision: str) -> None:
    """Takes the tables back to an older revision, "base" for none; what that one cannot hold is lost."""
    command.downgrade(_config(connection), revision)


def empty(connection: Connection) -> None:
    """Drops all tables, of any revision, and makes them anew. Raises UnavailableError where they are not ours."""
    _adopt(connection, _config(connection))
    _drop(connection)
    upgrade(connection)


def _drop(connection: Connection) -> None:
    ours = [*_OURS[connection.dialect.name], *(f'TABLE IF EXISTS "{name}"' for name in _names())]
    for thing in ours:
        connection.execute(text(f"DROP {thing}"))


_OURS = {
    "sqlite": ("TABLE IF EXISTS entry_grams",),
    "postgresql": ("FUNCTION IF EXISTS entry_grams CASCADE",),
}
"""What the revisions made beside tables, in words for DROP."""


def _names() -> list[str]:
    return [VERSION_TABLE, *metadata.tables]


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()


def _adopt(connection: Connection, config: Config) -> None:
    """Takes over a database without a revision: an empty one as it is, an old file of ours, nobody else's."""
    tables = set(inspect(connection).get_table_names())
    version = 0
    if connection.dialect.name == "sqlite":
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version={_BY_REVISIONS}")
    if VERSION_TABLE in tables or not tables:
        return
    if not 0 < version < _BY_REVISIONS or tables - set(metadata.tables):
        raise UnavailableError(
            "the database named for the catalogue holds tables, and no mark that they are the catalogue's",
            got=", ".join(sorted(tables)),
            do="Nothing was changed. Name an empty database in STEELYARD_DATABASE, or move the file away.",
        )
    if version == _LAST_USER_VERSION:
        command.stamp(config, FIRST)
    else:
        _drop(connection)


def _check(connection: Connection) -> None:
    """Raises UnavailableError where a table, a column or the search's index is missing."""
    inspector = inspect(connection)
    columns = inspector.get_multi_columns()
    there = {name: {column["name"] for column in found} for (_, name), found in columns.items()}
    missing = [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.c
        if column.name not in there.get(table.name, ())
    ]
    if not missing and not connection.execute(text(_INDEX[connection.dialect.name])).scalar():
        missing = ["entry_grams"]
    if missing:
        raise UnavailableError(
            "the catalogue's database is damaged: something is missing",
            got=", ".join(missing),
            do=_REBUILD,
        )


_INDEX = {
    "sqlite": "SELECT count(*) = 4 FROM sqlite_master WHERE name IN "
    "('entry_grams', 'entry_added', 'entry_changed', 'entry_dropped')",
    "postgresql": "SELECT to_regclass('entry_by_grams') IS NOT NULL",
}
"""Whether the index by which search finds parts of words is there."""
