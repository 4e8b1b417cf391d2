"""One town with a listed dataset for the tests of a module; buyers and offers are each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from compute.sandbox import Sandbox
from marketplace.core.policy import CustomAlgorithms
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, Dataset, Works, algorithm, open_works, running_works_town

COUNT = algorithm("count", COUNT_ROWS)


@dataclass
class Stall:
    """A provider with a dataset that is listed and offered; its node need not run."""

    town: Town
    works: Works
    dataset: Dataset


@pytest.fixture(scope="session")
def market_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def stall(
    market_town: Town,
    sandbox: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Stall:
    works = open_works(market_town, sandbox, tmp_path_factory.mktemp("works"), request.module.__name__)
    dataset = works.publish(COUNT, slug="valves", custom=CustomAlgorithms.approval, max_uses=5)
    return Stall(market_town, works, dataset)
