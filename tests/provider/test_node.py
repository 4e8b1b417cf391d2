"""A node at work: honest jobs end in money and a result, whatever stops and starts around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from compute.sandbox import Sandbox
from marketplace.core.job import State
from tests.support.catalogue import Town
from tests.support.works import (
    COUNT_ROWS,
    PRICE,
    TABLE,
    Buyer,
    Dataset,
    Works,
    algorithm,
    await_state,
    new_buyer,
    open_works,
)

COUNT = algorithm("count", COUNT_ROWS)


@dataclass
class Busy:
    """A node that serves all tests of this module, and what it serves."""

    works: Works
    dataset: Dataset


@pytest.fixture(scope="module")
def busy(town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    works = open_works(town, sandbox, tmp_path_factory.mktemp("busy"), "busy")
    dataset = works.publish(COUNT)
    with works.running():
        yield Busy(works, dataset)


@pytest.fixture
def buyer(town: Town, request: pytest.FixtureRequest) -> Buyer:
    return new_buyer(town, request.node.name)


def refund(town: Town, buyer: Buyer) -> int:
    return town.market.chain.balance(buyer.account.address)


def test_a_listed_algorithm_runs_unasked_and_the_provider_is_paid(
    town: Town, busy: Busy, buyer: Buyer
) -> None:
    before = town.market.chain.balance(busy.works.owner.address)
    buyer.buy(busy.dataset)
    request = buyer.order(busy.works, busy.dataset, COUNT)
    assert await_state(town, request, State.submitted, State.settled)
    assert buyer.result(request) == {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}
    assert await_state(town, request) is State.settled
    assert town.market.chain.balance(busy.works.owner.address) == before + PRICE
