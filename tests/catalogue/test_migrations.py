"""Revisions up and down on data, the models against them, and databases that are damaged, newer or somebody else's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from marketplace.catalogue import migrate
from marketplace.catalogue.documents import entry_of
from marketplace.catalogue.models import metadata
from marketplace.catalogue.rows import Asset, Cursor, Listing
from marketplace.catalogue.schema import Database, get, put
from marketplace.catalogue.search import Query, search
from marketplace.errors import UnavailableError

from .conftest import NewPlace, again

OWNER = "0x" + "1" * 40


@pytest.fixture
def filled(database: Database) -> Iterator[Database]:
    """Two listings, one of which could not be read."""
    with database.write() as connection:
        put(connection, [Cursor(0, b"\1" * 32, 5, b"\2" * 32)])
        for number, status in enumerate(("ok", "unavailable"), start=1):
            asset = Asset(number, 1, OWNER, OWNER, b"m" * 32, 0, 0, 0, number, 0)
            listing = Listing(number, b"m" * 32, status, "", "", "Valves", "", 1, " research ", "{}")
            put(connection, [asset])
            put(connection, [listing])
            if status == "ok":
                put(connection, [entry_of(asset, listing, "Valves of a Shuttle")])
    yield database


def found(database: Database, words: str) -> list[int]:
    with database.read() as connection:
        return [hit.asset.asset_id for hit in search(connection, Query(text=words), now=0, window=0).hits]


def test_the_models_are_what_the_revisions_make(database: Database) -> None:
    options = {"include_name": lambda name, kind, _: not (kind == "table" and name.startswith("entry_grams"))}
    skipped = {migrate.VERSION_TABLE, "entry_by_grams"}
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        changes = compare_metadata(context, metadata)
    assert [change for change in changes if getattr(change[1], "name", None) not in skipped] == []


def test_going_back_a_revision_and_up_again_keeps_every_row(filled: Database) -> None:
    before = filled.dump()
    assert len(before["entry"]) == 1
    with filled.write() as connection:
        migrate.downgrade(connection, migrate.FIRST)
        words = connection.execute(text("SELECT words FROM listing ORDER BY asset_id")).scalars().all()
    assert words == ["valves of a shuttle", ""]
    with filled.write() as connection:
        migrate.upgrade(connection)
    assert filled.dump() == before
    assert found(filled, "huttl") == [1]


def test_all_the_way_down_leaves_nothing_and_up_again_an_empty_catalogue(filled: Database) -> None:
    with filled.write() as connection:
        migrate.downgrade(connection, "base")
    second = again(filled)
    assert all(rows == [] for rows in second.dump().values())
    second.close()


def test_a_migration_that_is_cut_off_has_not_begun(filled: Database) -> None:
    before = filled.dump()
    with pytest.raises(RuntimeError), filled.write() as connection:
        migrate.downgrade(connection, migrate.FIRST)
        raise RuntimeError
    assert filled.dump() == before


def test_a_newer_revision_is_refused_with_its_name_and_left_alone(filled: Database) -> None:
    before = filled.dump()
    with filled.write() as connection:
        connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(UnavailableError, match=r"newer Steelyard; got revision 9999.*Update Steelyard"):
        again(filled)
    assert filled.dump() == before


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        ("DROP TABLE job", "job.job_id"),
        ("ALTER TABLE grants DROP COLUMN price", "grant.price"),
        ("", "entry_grams"),
    ],
    ids=["a table", "a column", "the index"],
)
def test_what_is_missing_is_named_and_a_rebuild_mends_it(filled: Database, damage: str, missing: str) -> None:
    index = {"sqlite": "DROP TRIGGER entry_added", "postgresql": "DROP INDEX entry_by_grams"}
    with filled.write() as connection:
        statement = damage.replace("grants", '"grant"') or index[connection.dialect.name]
        connection.execute(text(statement))
    with pytest.raises(UnavailableError, match=f"{missing}.*steelyard hub rebuild"):
        again(filled)
    mended = Database(filled.url.render_as_string(hide_password=False), empty=True)
    assert all(rows == [] for rows in mended.dump().values())
    mended.close()


@pytest.mark.parametrize("empty", [False, True], ids=["opened", "rebuilt"])
def test_tables_of_somebody_else_are_refused_and_left_alone(new_place: NewPlace, empty: bool) -> None:
    database = Database(new_place())
    with database.write() as connection:
        migrate.downgrade(connection, "base")
        connection.execute(text(f"DROP TABLE {migrate.VERSION_TABLE}"))
        connection.execute(text("CREATE TABLE job (wage INTEGER)"))
        connection.execute(text("INSERT INTO job VALUES (7)"))
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA user_version=0")
    with pytest.raises(UnavailableError, match="no mark that they are the catalogue's; got job"):
        Database(database.url.render_as_string(hide_password=False), empty=empty)
    with database.read() as connection:
        assert connection.execute(text("SELECT wage FROM job")).scalar_one() == 7
    database.close()


def old_file(path: Path, version: int) -> None:
    """A file as it was before there were revisions."""
    database = Database(path)
    with database.write() as connection:
        put(connection, [Cursor(0, b"\1" * 32, 5, b"\2" * 32)])
        migrate.downgrade(connection, migrate.FIRST)
        connection.execute(text(f"DROP TABLE {migrate.VERSION_TABLE}"))
        connection.exec_driver_sql(f"PRAGMA user_version={version}")
    database.close()


@pytest.mark.parametrize(("version", "kept"), [(2, True), (1, False)])
def test_a_file_from_before_revisions_is_taken_over_or_emptied(
    tmp_path: Path, version: int, kept: bool
) -> None:
    old_file(tmp_path / "hub.db", version)
    database = Database(tmp_path / "hub.db")
    with database.read() as connection:
        assert (get(connection, Cursor, 0) is not None) == kept
    assert found(database, "valves") == []
    database.close()


def test_a_file_that_was_cut_short_is_named_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    Database(path).close()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:40_000])
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match=r"malformed.*delete hub\.db"):
        Database(path)
    assert path.read_bytes() == before
