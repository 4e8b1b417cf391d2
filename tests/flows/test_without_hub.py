"""The hub is stopped, and trade goes on: a grant is bought, a job run, settled and audited without it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from compute.sandbox import Sandbox
from marketplace import purchase, settlement
from marketplace.core.job import State
from marketplace.lookup import resolve, usable_offer
from marketplace.verify import verify
from tests.support.buyers import await_state, new_buyer
from tests.support.hubs import running_hub
from tests.support.works import (
    COUNT_ROWS,
    PRICE,
    TABLE,
    Dataset,
    algorithm,
    open_works,
    running_works_town,
    wait_until,
)

COUNT = algorithm("count", COUNT_ROWS)


def test_with_the_hub_stopped_a_grant_is_bought_a_job_run_settled_and_audited(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with running_works_town(tmp_path / "gateway") as town:
        chain, store = town.market.chain, town.store
        works = open_works(town, sandbox, tmp_path / "works", "without a hub")
        with running_hub(town, tmp_path) as url:
            works.hub = url
            dataset = works.publish(COUNT)
            wait_until(
                lambda: httpx.get(f"{url}/v1/assets").json()["assets"], "the hub's sight of the dataset"
            )
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")

        buyer = new_buyer(town, "without a hub")
        token = resolve(chain, store, "valves")
        offer = usable_offer(chain, store, token, buyer.account.address, chain.block_time())
        purchase.buy(chain, buyer.account, offer, 1, pay="permit")
        with works.running():
            request = buyer.order(works, Dataset(token, offer.offer, offer.digest, b""), COUNT)
            await_state(town, request, State.submitted, State.settled)
            assert buyer.result(request) == {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}
            assert await_state(town, request) is State.settled
        _, amount = settlement.withdraw(chain, works.owner, works.owner.address)
        assert amount == PRICE
        report = verify(chain, store, None)
        assert report.failures() == []
        assert report.ok
        assert dataset.token == token
