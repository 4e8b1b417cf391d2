"""One sandbox and one town for all tests of the provider; accounts, homes and datasets are each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compute.sandbox import Sandbox
from tests.support.catalogue import Town
from tests.support.works import Works, open_works, running_works_town


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.probe()
        yield sandbox


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


@pytest.fixture
def works(
    town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Works:
    """A provider of this test alone, with a registered node that does not run yet."""
    return open_works(town, sandbox, tmp_path_factory.mktemp("provider"), request.node.name)
