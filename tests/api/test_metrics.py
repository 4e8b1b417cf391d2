"""What operators read of hub and gateway: counts by route, never by what strangers wrote; ready, or why not."""

from __future__ import annotations

from pathlib import Path

import httpx

from marketplace.api.gateway import create_app as gateway
from marketplace.api.hub import Hub
from marketplace.api.hub import create_app as hub_app
from marketplace.api.hub_watch import watch_of
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.core.cid import Cid
from marketplace.readings import Watch
from marketplace.storage import GatewayStore
from tests.support.catalogue import served
from tests.support.chain import running_market

from .conftest import DEPLOYMENT, JOB_TEXT, RunningHub


def figures(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def count(method: str, route: str, status: int) -> str:
    return f'steelyard_requests_total{{method="{method}",route="{route}",status="{status}"}}'


def test_requests_count_by_route_and_a_strangers_words_make_no_label(fresh: RunningHub) -> None:
    for path in (f"/jobs/{JOB_TEXT}", "/jobs/0x12", "/a-strangers-path", "/assets?query=a-strangers-word"):
        fresh.client.get(path)
    fresh.client.request("BREW", "/health")
    found = figures(fresh.url)
    routes = {count("GET", "/jobs/{job}", 200): 1, count("GET", "/jobs/{job}", 422): 1}
    assert routes.items() <= found.items()
    assert found[count("GET", "none", 404)] == 1
    assert found['steelyard_request_seconds_count{route="/assets"}'] == 1
    assert "stranger" not in str(found) and "BREW" not in str(found)


def test_a_stream_counts_while_it_is_open(fresh: RunningHub) -> None:
    with fresh.client.stream("GET", f"/jobs/{JOB_TEXT}/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert figures(fresh.url)["steelyard_streams"] == 1
    fresh.hub.pulse.beat()


def test_a_gateway_shows_its_bytes_and_is_not_ready_when_they_are_all_used(tmp_path: Path) -> None:
    with served(gateway(tmp_path, quota=8_192)) as url:
        for block in (b"one", b"two"):
            httpx.put(f"{url}/ipfs/{Cid.of('raw', block)}", content=block, trust_env=False).raise_for_status()
        found = figures(url)
        assert found["steelyard_store_bytes"] == found["steelyard_store_quota_bytes"] == 8_192
        answer = httpx.get(f"{url}/ready", trust_env=False)
    assert answer.status_code == 503
    assert "quota is used up" in answer.text


def test_a_hub_is_ready_once_it_has_read_the_chain_and_not_when_store_or_chain_are_away(
    tmp_path: Path, closed_port: int
) -> None:
    with running_market() as market, served(gateway(tmp_path / "store")) as store_url:
        database = Database(tmp_path / "hub.db")
        with GatewayStore(store_url) as store, GatewayStore(f"http://127.0.0.1:{closed_port}") as away:
            indexer = Indexer(market.chain, store, database)
            market.embedded.mine(30)
            watch = watch_of(market.chain, store, database, indexer)
            assert [text.partition(" ")[2] for text in watch.obstacles()] == [
                "blocks behind the chain; at most 20 is ready"
            ]
            indexer.run_once()
            watch = watch_of(market.chain, store, database, indexer)
            assert watch.obstacles() == []
            read = {reading.name: reading.value for reading in watch.readings()}
            assert (read["lag_blocks"], read["trouble"]) == (0, 0)
            indexer.run_once()
            alone = watch_of(market.chain, away, database, indexer)
            with served(hub_app(Hub(database, DEPLOYMENT, watch=alone))) as url:
                answer = httpx.get(f"{url}/ready", trust_env=False)
            market.embedded.close()
            silent = watch_of(market.chain, store, database, indexer)
            assert silent.obstacles() == ["chain or database does not answer"]
        database.close()
    assert (answer.status_code, answer.json()["got"]) == (503, "the shared store does not answer")


def test_a_hub_that_nobody_watches_is_ready(fresh: RunningHub) -> None:
    assert fresh.hub.watch == Watch()
    assert fresh.client.get("/ready").json() == {"status": "ready"}
