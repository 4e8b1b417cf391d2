"""A node and the services around it: chain, gateway and hub may stop, come back, or never answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from compute.provider.journal import Step
from marketplace.chain.client import Chain
from marketplace.core.events import JobSettled, ReceiptSubmitted
from marketplace.core.job import Request, State
from marketplace.core.policy import CustomAlgorithms
from marketplace.storage import GatewayStore
from tests.support.buyers import Buyer, await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.hubs import running_hub
from tests.support.wire import wire
from tests.support.works import COUNT_ROWS, Dataset, Works, algorithm, wait_until

COUNT = algorithm("count", COUNT_ROWS)
STEPS = """
import time
for done in range(1, 8):
    print('::progress {"done": %d, "of": 7}' % done, flush=True)
time.sleep(0.5)
"""
LOUD = algorithm("loud", STEPS + COUNT_ROWS)
WHISPER = algorithm("whisper", STEPS + "# of the buyer's own\n" + COUNT_ROWS)


@pytest.fixture
def buyer(town: Town, request: pytest.FixtureRequest) -> Buyer:
    return new_buyer(town, request.node.name)


def ordered(works: Works, buyer: Buyer, data: bytes = COUNT, uses: int = 1) -> tuple[Dataset, Request]:
    """A dataset of the provider and a job on it; the node need not run."""
    dataset = works.publish(COUNT, LOUD)
    buyer.buy(dataset, uses)
    return dataset, buyer.order(works, dataset, data)


def settled_once(town: Town, request: Request) -> None:
    """Waits for the end; checks that there was one receipt and one payment."""
    assert await_state(town, request) is State.settled
    for kind in (ReceiptSubmitted, JobSettled):
        assert len(town.market.chain.logs(types=(kind,), job_id=request.job_id)) == 1


@pytest.mark.slow
def test_an_endpoint_and_a_gateway_that_stop_and_come_back_are_waited_for(
    town: Town, works: Works, buyer: Buyer
) -> None:
    dataset, first = ordered(works, buyer, uses=2)
    market = town.market
    with (
        wire(market.embedded.url) as rpc,
        wire(town.gateway) as gateway,
        Chain(rpc.url, market.chain.deployment, confirmations=1, timeout=2) as chain,
        GatewayStore(gateway.url, timeout=2) as store,
        works.running(works.node(chain=chain, store=store)),
    ):
        gateway.cut()
        wait_until(lambda: any("gateway" in line for line in works.said), "the node's word about the gateway")
        rpc.cut()
        wait_until(lambda: any("waiting: the RPC" in line for line in works.said), "and about the endpoint")
        second = buyer.order(works, dataset, COUNT)
        rpc.mend()
        gateway.mend()
        for request in (first, second):
            settled_once(town, request)


@pytest.mark.slow
def test_progress_and_nothing_that_an_unreviewed_algorithm_counts_reaches_a_hub(
    town: Town, works: Works, buyer: Buyer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = works.publish(LOUD, custom=CustomAlgorithms.approval)
    buyer.buy(dataset, 2)
    with running_hub(town, tmp_path_factory.mktemp("hub")) as url, httpx.Client() as client:
        works.hub = url

        def seen(request: Request) -> set[tuple[str, int]]:
            found: set[tuple[str, int]] = set()
            while town.market.chain.job(request.job_id).state is State.open:
                answer = client.get(f"{url}/v1/jobs/0x{request.job_id.hex()}").json()
                if progress := answer.get("progress"):
                    found.add((progress["stage"], progress["of"]))
                time.sleep(0.05)
            return found

        with works.running():
            listed = buyer.order(works, dataset, LOUD)
            assert ("running", 7) in seen(listed)
            custom = buyer.order(works, dataset, WHISPER, sealed=True)
            works.await_step(custom, Step.approval)
            works.approve(custom)
            works.await_step(custom, Step.review)
            works.approve(custom)
            stages = seen(custom)
            assert stages
            assert all(of == 0 for _, of in stages)


@pytest.fixture
def silent_hub() -> Iterator[str]:
    """A hub that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "kind",
    [pytest.param("away", marks=pytest.mark.slow), "silent", pytest.param("no URL", marks=pytest.mark.slow)],
)
def test_a_hub_that_does_not_answer_changes_nothing(
    town: Town, works: Works, buyer: Buyer, silent_hub: str, kind: str
) -> None:
    works.hub = {"away": "http://127.0.0.1:9", "silent": silent_hub, "no URL": "http://[:::"}[kind]
    _, request = ordered(works, buyer, LOUD)
    with works.running():
        assert await_state(town, request, State.submitted, State.settled)
