"""Many jobs at one node: what it cannot reach in time goes back at once; its operator sees what it does."""

from __future__ import annotations

import httpx
import pytest

from compute.provider.operations import operations
from marketplace.core.job import State
from marketplace.errors import UnavailableError
from marketplace.storage import GatewayStore
from tests.support.buyers import await_state, new_buyer, rejection
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, PRICE, Works, algorithm, wait_until

COUNT = algorithm("count", COUNT_ROWS)
SLOW = algorithm("slow", COUNT_ROWS + "\nimport time; time.sleep(1)")


def test_a_job_whose_turn_would_come_after_its_deadline_goes_back_at_once_with_all_money(
    town: Town, works: Works
) -> None:
    dataset = works.publish(COUNT)
    buyer = new_buyer(town, "no-capacity")
    buyer.buy(dataset, 2)
    first = buyer.order(works, dataset, COUNT)
    with works.running():
        await_state(town, first, State.settled)
        works.journal.note_run(works.journal.get(first.job_id), 10_000.0)
        works.journal.note_run(works.journal.get(first.job_id), 10_000.0)
        second = buyer.order(works, dataset, COUNT)
        assert rejection(town, second) == "no-capacity"
    assert town.market.chain.balance(buyer.account.address) == PRICE


def test_a_nodes_port_shows_what_it_did_without_any_name(town: Town, works: Works) -> None:
    dataset = works.publish(SLOW)
    buyer = new_buyer(town, "metrics")
    buyer.buy(dataset, 3)
    requests = [buyer.order(works, dataset, SLOW) for _ in range(3)]
    place = works.place()
    with operations(place, works.home / "vault", 0) as url, works.running(works.node(place)):

        def metrics() -> str:
            return httpx.get(f"{url}/metrics", trust_env=False).text

        wait_until(lambda: "steelyard_queue_jobs 3.0" in metrics(), "three jobs in the queue")
        wait_until(lambda: 'steelyard_jobs_total{end="settled"} 3.0' in metrics(), "three settled jobs")
        found = metrics()
        assert httpx.get(f"{url}/ready", trust_env=False).json() == {"status": "ready", "reasons": []}
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        assert httpx.get(f"{url}/other", trust_env=False).status_code == 404
    figures = {line.split()[0]: float(line.split()[-1]) for line in found.splitlines() if line[0] != "#"}
    assert figures["steelyard_open_jobs"] == figures["steelyard_queue_jobs"] == 0
    assert figures["steelyard_gas_total"] > 100_000
    assert figures["steelyard_lag_blocks"] <= 2
    assert figures["steelyard_vault_bytes"] > 0
    names = [buyer.account.address, works.owner.address, *(request.job_id.hex() for request in requests)]
    assert not any(name.lower().removeprefix("0x") in found.lower() for name in names)


def test_a_node_whose_store_is_away_is_not_ready_and_says_why(works: Works, closed_port: int) -> None:
    with GatewayStore(f"http://user:password@127.0.0.1:{closed_port}") as away:
        place = works.place(store=away)
        place.facts.looked(works.chain.confirmed_head())
        with operations(place, works.home / "vault", 0) as url:
            answer = httpx.get(f"{url}/ready", trust_env=False)
            port = int(url.rpartition(":")[2])
            with (
                pytest.raises(UnavailableError, match="port for metrics"),
                operations(place, works.home, port),
            ):
                pass
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the shared store does not answer"]
