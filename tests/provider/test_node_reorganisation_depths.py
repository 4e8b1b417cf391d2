"""Reorganisations of every depth, up to the confirmations and beyond, in every state of a job: it is paid for once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.chain.client import Chain
from marketplace.core.events import JobSettled, ReceiptSubmitted
from marketplace.core.job import Request, State
from marketplace.core.policy import CustomAlgorithms
from marketplace.errors import RefusedError
from tests.support.buyers import Buyer, new_buyer
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

CONFIRMATIONS = 3
LISTED = algorithm("listed", COUNT_ROWS)
CUSTOM = algorithm("custom", "import time\ntime.sleep(0.5)" + COUNT_ROWS)
STEPS = (Step.approval, Step.run, Step.review, Step.window, Step.done)
DEPTHS = range(1, CONFIRMATIONS + 4)
FAST = (Step.done, CONFIRMATIONS + 3)


@pytest.fixture(scope="module")
def shaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


@contextmanager
def ticking(town: Town) -> Iterator[threading.Lock]:
    """A chain whose blocks come whether there is work or not; while the lock is held, none come."""
    stop, lock = threading.Event(), threading.Lock()

    def tick() -> None:
        while not stop.wait(0.05):
            with lock:
                town.market.embedded.mine()

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield lock
    finally:
        stop.set()
        thread.join()


def reorganise(town: Town, ticks: threading.Lock, depth: int) -> None:
    with ticks, town.market.embedded.still():
        town.market.embedded.rpc.request("anvil_reorg", depth, [])


def see_through(works: Works, dataset: Dataset, buyer: Buyer, request: Request) -> Request:
    """What people would do: the buyer opens a job again that the chain has lost, the owner approves what waits."""
    chain = works.chain

    def ended() -> bool:
        nonlocal request
        state = chain.job(request.job_id).state
        if state is State.none:
            request = buyer.order(works, dataset, CUSTOM, sealed=True)
        elif works.journal.knows(request.job_id):
            step = works.journal.get(request.job_id).step
            if step in (Step.approval, Step.review):
                with suppress(RefusedError):  # an earlier yes has arrived meanwhile
                    works.approve(request)
            return state is State.settled and step is Step.done
        return False

    wait_until(ended, "the end of the job")
    return request


@pytest.mark.parametrize(
    ("step", "depth"),
    [
        pytest.param(step, depth, marks=() if (step, depth) == FAST else pytest.mark.slow)
        for step in STEPS
        for depth in DEPTHS
    ],
)
def test_a_job_is_settled_and_paid_once(
    shaky: Town, sandbox: Sandbox, tmp_path: Path, step: Step, depth: int
) -> None:
    market = shaky.market
    works = open_works(shaky, sandbox, tmp_path, f"{step} {depth}")
    dataset = works.publish(LISTED, custom=CustomAlgorithms.approval)
    buyer = new_buyer(shaky, f"{step} {depth}")
    buyer.buy(dataset, 2)
    market.embedded.mine(max(DEPTHS))
    with (
        Chain(market.embedded.url, market.chain.deployment, confirmations=CONFIRMATIONS, timeout=20) as chain,
        ticking(shaky) as ticks,
        works.running(works.node(chain=chain)),
    ):
        request = buyer.order(works, dataset, CUSTOM, sealed=True)
        for stage in STEPS[: STEPS.index(step) + 1]:
            works.await_step(request, stage)
            if stage in (Step.approval, Step.review) and stage is not step:
                works.approve(request)
        reorganise(shaky, ticks, depth)
        request = see_through(works, dataset, buyer, request)
    for kind in (ReceiptSubmitted, JobSettled):
        assert len(market.chain.logs(types=(kind,), job_id=request.job_id)) == 1
    assert market.chain.balance(works.owner.address) == PRICE
