"""A node at work: honest jobs end in money and a result, whatever stops and starts around it."""

from __future__ import annotations

import dataclasses
import time

import pytest

from compute.provider.journal import Step
from marketplace.core.events import JobSettled, ReceiptSubmitted
from marketplace.core.job import Request, State
from marketplace.core.policy import CustomAlgorithms
from tests.support.buyers import Buyer, await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, PRICE, TABLE, Dataset, Works, algorithm, wait_until

COUNT = algorithm("count", COUNT_ROWS)
SLOW = algorithm("slow", "import time\ntime.sleep(1)" + COUNT_ROWS)
RESULT = {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}


@pytest.fixture
def buyer(town: Town, request: pytest.FixtureRequest) -> Buyer:
    return new_buyer(town, request.node.name)


def ordered(works: Works, buyer: Buyer, data: bytes = COUNT, uses: int = 1) -> tuple[Dataset, Request]:
    """A dataset of the provider and a job on it; the node need not run."""
    dataset = works.publish(COUNT, SLOW)
    buyer.buy(dataset, uses)
    return dataset, buyer.order(works, dataset, data)


def settled_once(town: Town, request: Request) -> None:
    """Waits for the end; checks that there was one receipt and one payment."""
    assert await_state(town, request) is State.settled
    for kind in (ReceiptSubmitted, JobSettled):
        assert len(town.market.chain.logs(types=(kind,), job_id=request.job_id)) == 1


def sends(town: Town, works: Works) -> int:
    """Transactions that the node sent so far."""
    count = town.market.chain.rpc.request("eth_getTransactionCount", works.hot.address, "latest")
    return int(count, 16)


def test_a_listed_algorithm_runs_unasked_and_the_provider_is_paid(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer)
    with works.running():
        await_state(town, request, State.submitted, State.settled)
        assert buyer.result(request) == RESULT
        settled_once(town, request)
    assert town.market.chain.balance(works.owner.address) == PRICE
    assert sends(town, works) == 2


def test_jobs_that_come_at_once_run_one_after_the_other_and_settle_in_one_batch(
    town: Town, works: Works, buyer: Buyer
) -> None:
    dataset, first = ordered(works, buyer, uses=3)
    others = [buyer.order(works, dataset, COUNT) for _ in range(2)]
    with works.running():
        for request in (first, *others):
            await_state(town, request, State.submitted, State.settled)
            assert buyer.result(request) == RESULT
        for request in (first, *others):
            settled_once(town, request)
    receipts = [
        town.market.chain.logs(types=(ReceiptSubmitted,), job_id=job.job_id)[0] for job in (first, *others)
    ]
    times = [(event.receipt.started_at, event.receipt.finished_at) for event in receipts]
    assert times == sorted(times)
    assert sends(town, works) <= 3 + 3  # never a finalise for nothing


@pytest.mark.slow
def test_a_node_that_was_away_takes_up_what_was_opened_meanwhile(
    town: Town, works: Works, buyer: Buyer
) -> None:
    dataset, first = ordered(works, buyer, uses=2)
    with works.running():
        await_state(town, first, State.submitted, State.settled)
    second = buyer.order(works, dataset, COUNT)
    await_state(town, first, State.submitted)
    with works.running():
        settled_once(town, second)
        settled_once(town, first)


@pytest.mark.slow
def test_a_node_that_stops_in_the_middle_of_a_run_runs_it_again_and_settles_once(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer, SLOW)
    with works.running():
        works.await_step(request, Step.run)
        time.sleep(0.7)  # it is in the sandbox by now
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert works.journal.get(request.job_id).step is Step.run
    with works.running():
        settled_once(town, request)
    assert buyer.result(request) == RESULT


@pytest.mark.slow
def test_a_journal_that_is_behind_the_chain_costs_no_second_answer_and_no_money(
    town: Town, works: Works, buyer: Buyer
) -> None:
    """As a kill leaves it between the transaction and the note of it."""
    steps = (Step.judge, Step.run, Step.submit)
    dataset, first = ordered(works, buyer, uses=3)
    jobs = [first, *(buyer.order(works, dataset, COUNT) for _ in steps[1:])]
    with works.running():
        for request in jobs:
            works.await_step(request, Step.window)
    for request, step in zip(jobs, steps, strict=True):
        entry = works.journal.get(request.job_id)
        if entry.step is not Step.done:  # on a slow machine the first one's window is over by now
            works.journal.put(dataclasses.replace(entry, step=step))
    with works.running():
        for request in jobs:
            settled_once(town, request)
            works.await_step(request, Step.done)
    assert sends(town, works) <= 3 + 3


@pytest.mark.slow
def test_a_node_whose_journal_is_lost_finalises_what_it_had_submitted(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer)
    with works.running():
        works.await_step(request, Step.window)
    for path in works.home.glob("node.db*"):
        path.unlink()
    fresh = open_journal(works)
    with fresh.running():
        settled_once(town, request)


def open_journal(works: Works) -> Works:
    """The same home, with whatever journal is there now."""
    return Works(works.town, works.sandbox, works.home, works.owner, works.hot, private=works.private)


def test_an_output_that_was_lost_before_it_left_is_the_nodes_own_fault(
    town: Town, works: Works, buyer: Buyer
) -> None:
    dataset = works.publish(custom=CustomAlgorithms.approval)
    buyer.buy(dataset)
    request = buyer.order(works, dataset, COUNT, sealed=True)
    with works.running():
        works.await_step(request, Step.approval)
        works.approve(request)
        works.await_step(request, Step.review)
    works.approve(request)
    for path in (works.home / "vault" / "outputs").rglob("baf*"):
        path.unlink()
    with works.running():
        assert await_state(town, request) is State.failed
    assert town.market.chain.balance(buyer.account.address) == PRICE


def test_a_vault_that_lost_a_block_fails_the_job_at_once_and_pays_the_buyer_back(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer)
    header = works.vault.header(works.vault.record(works.vault.tokens()[0]))
    works.vault.store.path_of(header.body).unlink()
    with works.running():
        assert await_state(town, request) is State.failed
    assert town.market.chain.balance(buyer.account.address) == PRICE


def test_a_node_with_a_key_that_was_rotated_answers_nothing_and_does_not_spin(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer)
    works.register(town.market.account("the new hot key"))
    with works.running():
        wait_until(
            lambda: any("not the registered one" in line for line in works.said), "the node's complaint"
        )
        time.sleep(1.2)  # two more tries
        complaints = [line for line in works.said if "not the registered one" in line]
        assert len(complaints) == 1
        assert sends(town, works) == 0
        works.register()  # the old key again
        settled_once(town, request)


@pytest.mark.slow
def test_a_key_rotated_during_a_run_leaves_the_receipt_to_the_new_key(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer, SLOW)
    new = town.market.account("the hot key that follows")
    with works.running():
        works.await_step(request, Step.run)
        works.register(new)
        wait_until(
            lambda: any("waits" in line and "submit" in line for line in works.said), "a refused receipt"
        )
    assert town.market.chain.job(request.job_id).state is State.open
    with works.running(works.node(hot=new)):
        settled_once(town, request)


@pytest.mark.slow
def test_a_node_without_gas_says_so_once_and_answers_when_it_has_some(
    town: Town, works: Works, buyer: Buyer
) -> None:
    _, request = ordered(works, buyer)
    town.market.embedded.faucet(works.hot.address, 0)
    with works.running():
        wait_until(lambda: any("cannot pay" in line for line in works.said), "the node's complaint")
        time.sleep(1.2)
        assert len([line for line in works.said if "cannot pay" in line]) == 1
        town.market.embedded.faucet(works.hot.address)
        settled_once(town, request)
