"""A chain that takes blocks back: what the node did about them is judged again, and answered again where it is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.core.events import JobSettled, ReceiptSubmitted
from marketplace.core.job import State
from tests.support.buyers import Buyer, await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.works import (
    COUNT_ROWS,
    PRICE,
    Dataset,
    Works,
    algorithm,
    open_works,
    running_works_town,
    wait_until,
)

COUNT = algorithm("count", COUNT_ROWS)


@pytest.fixture(scope="module")
def shaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town of its own: a reorganisation is felt by everyone on the chain."""
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


@pytest.fixture
def stage(
    shaky: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Works, Dataset, Buyer]:
    works = open_works(shaky, sandbox, tmp_path_factory.mktemp("works"), request.node.name)
    dataset = works.publish(COUNT)
    buyer = new_buyer(shaky, request.node.name)
    buyer.buy(dataset, 3)
    return works, dataset, buyer


def take_back_to(town: Town, block: int) -> None:
    """Replaces every block after `block` by empty ones, and adds some."""
    rpc = town.market.chain.rpc
    depth = town.market.chain.head() - block
    rpc.request("anvil_reorg", depth, [])
    rpc.request("anvil_mine", "0x4")


def test_a_job_whose_opening_is_taken_back_is_forgotten_and_what_comes_instead_is_judged(
    shaky: Town, stage: tuple[Works, Dataset, Buyer]
) -> None:
    works, dataset, buyer = stage
    works.patience = 600
    before = shaky.market.chain.head()
    lost = buyer.open(dataset, b"\1" * 32, b"\2" * 32)  # its spec never comes
    with works.running():
        wait_until(lambda: works.journal.knows(lost.job_id), "the first opening")
        take_back_to(shaky, before)
        assert shaky.market.chain.job(lost.job_id).state is State.none
        request = buyer.order(works, dataset, COUNT)
        assert request.index == lost.index
        assert await_state(shaky, request) is State.settled
        wait_until(lambda: not works.journal.knows(lost.job_id), "the node to forget the other")


@pytest.mark.slow
@pytest.mark.parametrize("seen_as", ["submitted", "settled"])
def test_an_answer_that_is_taken_back_is_given_again(
    shaky: Town, stage: tuple[Works, Dataset, Buyer], seen_as: str
) -> None:
    works, dataset, buyer = stage
    request = buyer.order(works, dataset, COUNT)
    opened = shaky.market.chain.head()
    with works.running():
        works.await_step(request, Step.window if seen_as == "submitted" else Step.done)
        take_back_to(shaky, opened)
        assert shaky.market.chain.job(request.job_id).state is State.open
        assert await_state(shaky, request) is State.settled
        works.await_step(request, Step.done)
    for kind in (ReceiptSubmitted, JobSettled):
        assert len(shaky.market.chain.logs(types=(kind,), job_id=request.job_id)) == 1
    assert shaky.market.chain.balance(works.owner.address) == PRICE


@pytest.mark.slow
def test_a_reorganisation_while_the_node_was_away_is_noticed_when_it_comes_back(
    shaky: Town, stage: tuple[Works, Dataset, Buyer]
) -> None:
    works, dataset, buyer = stage
    request = buyer.order(works, dataset, COUNT)
    opened = shaky.market.chain.head()
    with works.running():
        works.await_step(request, Step.done)
    take_back_to(shaky, opened)
    with works.running():
        wait_until(lambda: any("reorganised" in line for line in works.said), "the node's word about it")
        assert await_state(shaky, request) is State.settled
