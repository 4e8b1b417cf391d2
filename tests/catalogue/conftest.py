"""A catalogue's database of its own for each test, in SQLite and in PostgreSQL; one town for each module and kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marketplace.catalogue.schema import Database
from tests.support.catalogue import Town, running_town
from tests.support.postgres import Server, running_server

NewPlace = Callable[[], Path | str]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgresql") / "data") as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewPlace:
    """Gives the place of an empty database with every call: the suite runs once for each kind."""
    if request.param == "sqlite":
        return lambda: tmp_path_factory.mktemp("hub") / "hub.db"
    server: Server = request.getfixturevalue("server")
    return server.schema


@pytest.fixture
def database(new_place: NewPlace) -> Iterator[Database]:
    database = Database(new_place())
    yield database
    database.close()


@pytest.fixture
def fresh(new_place: NewPlace) -> Iterator[Database]:
    """A second database, to be filled from zero."""
    database = Database(new_place())
    yield database
    database.close()


@pytest.fixture(scope="module")
def town(new_place: NewPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


def again(database: Database) -> Database:
    """The same database, opened once more."""
    return Database(database.url.render_as_string(hide_password=False))
