"""A catalogue's database of its own for each test, and one town for each module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.catalogue.schema import Database
from tests.support.catalogue import Town, running_town


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "hub.db")
    yield database
    database.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town
