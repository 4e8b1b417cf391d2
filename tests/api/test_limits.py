"""What one client may ask for: so much, then it is told when to come back; and others are not slowed by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from marketplace.api import limits
from marketplace.api.gateway import create_app
from marketplace.api.limits import Buckets, Rate, client_of
from marketplace.core.cid import Cid
from marketplace.errors import FullError, TooManyError
from marketplace.storage import GatewayStore
from tests.support.catalogue import served

from .conftest import JOB_TEXT, RunningHub

RATE = Rate(per_second=2, burst=4)


def block(number: int, size: int = 100) -> tuple[Cid, bytes]:
    data = number.to_bytes(4) * (size // 4)
    return Cid.of("raw", data), data


def test_a_bucket_gives_its_burst_then_its_rate_and_says_when_there_is_more() -> None:
    now = [100.0]
    buckets = Buckets(RATE, clock=lambda: now[0])
    for _ in range(4):
        buckets.take("a", 1, "requests")
    with pytest.raises(TooManyError, match="too many requests") as caught:
        buckets.take("a", 1, "requests")
    assert caught.value.retry_after == 0.5
    now[0] += 0.5
    buckets.take("a", 1, "requests")
    now[0] += 1_000
    buckets.take("a", 4, "requests")
    with pytest.raises(TooManyError):
        buckets.take("a", 1, "requests")


def test_one_client_does_not_use_up_what_is_anothers() -> None:
    buckets = Buckets(RATE, clock=lambda: 0)
    buckets.take("a", 4, "requests")
    buckets.take("b", 4, "requests")


def test_memory_is_bounded_however_many_addresses_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS", 100)
    buckets = Buckets(RATE, clock=lambda: 0)
    for number in range(10_000):
        buckets.take(number, 1, "requests")
        buckets.take("busy", 0, "requests")
    assert len(buckets) == 100
    buckets.take("busy", 4, "requests")
    with pytest.raises(TooManyError):  # whoever keeps asking is not forgotten
        buckets.take("busy", 1, "requests")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.0.0.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),
        ("::1", "127.0.0.1", False),
        (None, "", True),
    ],
)
def test_an_ipv4_address_or_an_ipv6_network_is_one_client(one: str | None, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) is same


@pytest.fixture
def slow_gateway(tmp_path: Path) -> Iterator[str]:
    with served(create_app(tmp_path, requests=RATE)) as url:
        yield url


def test_requests_beyond_the_rate_are_refused_in_our_form_with_a_time_to_come_back(slow_gateway: str) -> None:
    with httpx.Client(base_url=slow_gateway, trust_env=False) as client:
        answers = [client.get("/health", headers={"x-forwarded-for": f"10.0.0.{n}"}) for n in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 6  # whatever it says about whom it asks for
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["type"] == "urn:steelyard:problem:too-many"
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=slow_gateway, transport=transport, trust_env=False) as other:
        assert other.get("/health").status_code == 200


def test_a_refused_body_does_not_break_the_connection(slow_gateway: str) -> None:
    cid, data = block(1, 1_000_000)
    with httpx.Client(base_url=slow_gateway, trust_env=False) as client:
        statuses = [client.put(f"/ipfs/{cid}", content=data).status_code for _ in range(8)]
    assert set(statuses) == {201, 429}


def test_a_store_waits_as_the_gateway_says_and_loses_nothing(slow_gateway: str) -> None:
    with GatewayStore(slow_gateway, timeout=5) as store:
        for number in range(7):
            cid, data = block(number)
            store.put(cid, data)
            assert store.has(cid)


def test_a_store_that_would_wait_too_long_says_so(tmp_path: Path) -> None:
    rate = Rate(per_second=0.01, burst=1)
    with served(create_app(tmp_path, requests=rate)) as url, GatewayStore(url, timeout=1) as store:
        cid, data = block(1)
        store.put(cid, data)
        with pytest.raises(TooManyError, match="429"):
            store.get(cid)


def test_one_client_may_put_so_many_bytes_and_small_blocks_count_more(tmp_path: Path) -> None:
    writes = Rate(per_second=1, burst=3 * 65_536)
    with (
        served(create_app(tmp_path, writes=writes)) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        statuses = [
            client.put(f"/ipfs/{cid}", content=data).status_code for cid, data in map(block, range(5))
        ]
        assert statuses == [201, 201, 201, 429, 429]
        assert client.get(f"/ipfs/{block(0)[0]}").status_code == 200


def test_a_gateway_is_full_when_its_quota_is_used_up_and_still_gives(tmp_path: Path) -> None:
    with served(create_app(tmp_path, quota=3 * 4_096)) as url, GatewayStore(url) as store:
        for number in range(3):
            store.put(*block(number))
        with pytest.raises(FullError, match="quota is used up"):
            store.put(*block(3))
        store.put(*block(0))  # what is there takes no room
        assert store.get(block(2)[0]) == block(2)[1]
        answer = httpx.put(f"{url}/ipfs/{block(4)[0]}", content=block(4)[1], trust_env=False)
        assert (answer.status_code, answer.json()["type"]) == (507, "urn:steelyard:problem:full")
    with (
        served(create_app(tmp_path, quota=3 * 4_096)) as url,
        GatewayStore(url) as store,
        pytest.raises(FullError),  # what an earlier run stored counts
    ):
        store.put(*block(3))


def test_streams_of_one_client_are_counted(fresh: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace.api.stream.MAX_PER_CLIENT", 2)
    path = f"/v1/jobs/{JOB_TEXT}/events"
    with fresh.client.stream("GET", path), fresh.client.stream("GET", path):
        full = fresh.client.get(path)
        assert (full.status_code, full.json()["what"]) == (429, "too many streams of one client")
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with (
            httpx.Client(base_url=fresh.url, transport=transport, trust_env=False) as other,
            other.stream("GET", path) as answer,
        ):
            assert answer.status_code == 200
