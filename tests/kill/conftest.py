"""Markets of their own for nodes that are killed, and one sandbox for what the tests themselves publish."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compute.sandbox import Sandbox
from tests.support.catalogue import Town
from tests.support.works import running_works_town


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town
