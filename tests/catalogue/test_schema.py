"""The catalogue's file: what it keeps exactly, and what it does with files that are not its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from marketplace.catalogue.rows import Credit, Cursor
from marketplace.catalogue.schema import Database, get, put
from marketplace.errors import UnavailableError


def test_the_widest_integers_come_back_exactly(database: Database) -> None:
    row = Credit(2**256 - 1, "0x" + "1" * 40, b"\xff" * 32, 2**255 + 1)
    with database.write() as connection:
        put(connection, [row])
    with database.read() as connection:
        assert get(connection, Credit, *row.key()) == row


def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as connection:
        put(connection, [Cursor(0, b"\1" * 32, 5, b"\2" * 32)])
        raise RuntimeError
    assert database.dump()["cursor"] == []


def test_readers_see_one_state_while_somebody_writes(database: Database) -> None:
    with database.read() as reader:
        assert get(reader, Cursor, 0) is None
        with database.write() as writer:
            put(writer, [Cursor(0, b"\1" * 32, 5, b"\2" * 32)])
        assert get(reader, Cursor, 0) is None
    with database.read() as reader:
        assert get(reader, Cursor, 0) is not None




def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    path.write_bytes(b"not a database, but somebody's notes" * 50)
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match=r"delete hub\.db"):
        Database(path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="does not open"):
        Database(tmp_path / "file" / "hub.db")
