"""The catalogue's file: what it keeps exactly, and what it does with files that are not its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace.catalogue.rows import Credit, Cursor, Listing, Pause
from marketplace.catalogue.schema import Database, get, put
from marketplace.errors import InputError, UnavailableError
from marketplace.settings import load_settings


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


def test_texts_that_one_database_cannot_hold_are_the_same_in_both(database: Database) -> None:
    listing = Listing(1, b"m" * 32, "invalid", "a\0b \ud800 \U0001f600 \ufffe", "", "", "", 0, "", "")
    with database.write() as connection:
        put(connection, [listing])
    with database.read() as connection:
        row = get(connection, Listing, 1)
    assert row is not None and row.reason == "a\ufffdb \ufffd \U0001f600 \ufffe"


def test_rows_are_ordered_by_their_bytes(database: Database) -> None:
    with database.write() as connection:
        put(connection, [Pause(name, True) for name in ("b", "B", "a", "ä", "Z", "")])
    assert [row[0] for row in database.dump()["pause"]] == ["", "B", "Z", "a", "b", "ä"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://hub:s3cret@127.0.0.1:1/hub",
        "postgresql://hub@127.0.0.1:1/hub?password=s3cret",
        "mysql://hub:s3cret@127.0.0.1/hub",
        "postgresql://hub:s3cret@127.0.0.1:port/hub",
        "s3cret",
    ],
)
def test_a_database_that_is_not_to_be_had_is_an_error_without_the_password(url: str) -> None:
    with pytest.raises((UnavailableError, InputError)) as error:
        Database.of(load_settings(database=url))
    assert "STEELYARD_DATABASE" in str(error.value)
    assert "s3cret" not in str(error.value) + repr(error.value.__cause__) + repr(load_settings(database=url))
