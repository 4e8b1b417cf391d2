"""Webhooks from the event to a real receiver: signed, told once, sent again after failures and kills."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from marketplace.accounts import courier, mail
from marketplace.accounts.mail import Mail
from marketplace.accounts.reach import Reach, parse_network
from marketplace.accounts.sessions import Sessions
from marketplace.api.hub import create_app
from marketplace.core.events import AccessBought, EpochRaised, JobSettled, OfferAnnounced
from marketplace.webhooks import verify
from tests.support.catalogue import served
from tests.support.receivers import Receiver, receiving

from .conftest import (
    ASSET,
    BUYER,
    DEPLOYMENT,
    JOB,
    JOB_TEXT,
    NODE,
    OFFER,
    PROVIDER,
    RunningHub,
    at,
    hub_in,
    opened_hub,
)

MARKET = DEPLOYMENT.market
HERE = Reach((parse_network("127.0.0.0/8"),))
SETTLED = JobSettled(at(5), MARKET, JOB, PROVIDER.address, 100)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub whose webhooks may go to this machine."""
    yield from opened_hub(tmp_path, reach=HERE)


@dataclass
class Hook:
    """A registered webhook, and who registered it."""

    hub: RunningHub
    id: str
    secret: str
    headers: dict[str, str]

    def deliveries(self) -> list[dict[str, Any]]:
        answer = self.hub.client.get(f"/v1/webhooks/{self.id}/deliveries", headers=self.headers)
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found

    def state(self) -> dict[str, Any]:
        (found,) = self.hub.client.get("/v1/webhooks", headers=self.headers).json()["webhooks"]
        assert "secret" not in found
        return dict(found)


def signed_in(hub: RunningHub, account: LocalAccount) -> dict[str, str]:
    token, _ = Sessions(hub.hub.accounts).open(account.address, now=time.time())
    return {"authorization": f"Bearer {token}"}


def registered(hub: RunningHub, url: str, account: LocalAccount = BUYER, **fields: Any) -> Hook:
    headers = signed_in(hub, account)
    body = {
        "url": url,
        "events": ["job.settled", "access.bought", "offer.changed", "asset.changed"],
        **fields,
    }
    answer = hub.client.post("/v1/webhooks", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return Hook(hub, answer.json()["id"], answer.json()["secret"], headers)


def wait(condition: Callable[[], Any], seconds: float = 15) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


def types(receiver: Receiver, hook: Hook) -> list[str]:
    return [verify(headers, body, hook.secret)["type"] for _, headers, body in receiver.got]


def told_all(hub: RunningHub) -> None:
    """The feed has come to the story's end."""
    wait(
        lambda: (
            hub.client.get("/v1/events", headers={"last-event-id": "x"}).status_code == 422
            and _newest(hub) >= 4
        )
    )


def _newest(hub: RunningHub) -> int:
    with hub.hub.accounts.transaction() as connection:
        return int(connection.execute("select coalesce(max(block), 0) from seen").fetchone()[0])


def test_a_settled_job_reaches_buyer_and_provider_signed_with_each_ones_secret(
    hub: RunningHub, receiver: Receiver
) -> None:
    told_all(hub)
    with receiving() as other, receiving() as stranger:
        buyer = registered(hub, receiver.url)
        provider = registered(hub, other.url, PROVIDER, job=JOB_TEXT)
        registered(hub, stranger.url, NODE)
        hub.add(SETTLED)
        wait(lambda: receiver.got and other.got)
        path, headers, body = receiver.got[0]
        event = verify(headers, body, buyer.secret)
        assert (path, headers["host"]) == ("/hook?a=b", f"127.0.0.1:{receiver.port}")
        assert (event["type"], event["occurred_at"], event["block"]) == ("job.settled", 1_005, 5)
        job = hub.client.get(f"/v1/jobs/{JOB_TEXT}").json()
        assert event["data"]["job"] == {name: job[name] for name in job if name != "progress"}
        assert event["id"] == job["history"][-1]["id"]
        assert verify(other.got[0][1], other.got[0][2], provider.secret)["id"] == event["id"]
        wait(lambda: buyer.deliveries()[0]["state"] == "delivered")
        (delivery,) = buyer.deliveries()
        assert (delivery["id"], delivery["attempts"], delivery["status"]) == (headers["webhook-id"], 1, 204)
        assert stranger.got == []


def test_assets_and_offers_are_news_for_their_owner_and_for_who_names_them(
    hub: RunningHub, receiver: Receiver
) -> None:
    told_all(hub)
    with receiving() as elsewhere, receiving() as owners:
        named = registered(hub, receiver.url, NODE, assets=[str(ASSET)])
        registered(hub, elsewhere.url, BUYER)
        own = registered(hub, owners.url, PROVIDER)
        stranger = OfferAnnounced(at(5), MARKET, ASSET, b"\x51" * 32, b"\x52" * 32, NODE.address)
        hub.add(
            stranger, OfferAnnounced(at(5, 1), MARKET, ASSET, b"\x53" * 32, b"\x52" * 32, PROVIDER.address)
        )
        hub.add(EpochRaised(at(6), MARKET, ASSET, 1))
        bought = AccessBought(at(7), MARKET, OFFER, BUYER.address, PROVIDER.address, ASSET, 100, 1, 30_000)
        hub.add(bought)
        wait(lambda: len(owners.got) == 3 and len(elsewhere.got) == 1 and len(receiver.got) == 2)
        assert types(receiver, named) == ["offer.changed", "offer.changed"]
        assert types(owners, own) == ["offer.changed", "offer.changed", "access.bought"]
        first = verify(receiver.got[0][1], receiver.got[0][2], named.secret)
        assert first["data"]["offer_digest"] == "0x" + "53" * 32
        assert first["data"]["asset"]["id"] == str(ASSET)


def test_a_failed_delivery_comes_again_under_the_same_id(
    hub: RunningHub, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "FIRST_RETRY", 0.05)
    told_all(hub)
    receiver.statuses = [500, 302, 200]
    receiver.location = receiver.url.replace("/hook", "/elsewhere")
    hook = registered(hub, receiver.url)
    hub.add(SETTLED)
    wait(lambda: hook.deliveries() and hook.deliveries()[0]["state"] == "delivered")
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    assert [path for path, _, _ in receiver.got] == ["/hook?a=b"] * 3  # the redirect was not followed
    assert types(receiver, hook) == ["job.settled"] * 3
    assert hook.deliveries()[0]["attempts"] == 3


def test_an_event_that_the_chain_took_back_is_reversed_and_what_came_instead_is_told(
    hub: RunningHub, receiver: Receiver
) -> None:
    told_all(hub)
    hook = registered(hub, receiver.url)
    hub.add(SETTLED)
    wait(lambda: len(receiver.got) == 1)
    hub.take_back(4, JobSettled(at(6, fork=1), MARKET, JOB, PROVIDER.address, 100))
    wait(lambda: len(receiver.got) == 3)
    events = [verify(headers, body, hook.secret) for _, headers, body in receiver.got]
    assert [event["type"] for event in events] == ["job.settled", "event.reversed", "job.settled"]
    assert events[1]["data"]["reversed"] == events[0]["id"] != events[2]["id"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 3


def test_what_waits_at_a_kill_is_delivered_once_by_the_next_hub(
    hub: RunningHub, receiver: Receiver, tmp_path: Path
) -> None:
    told_all(hub)
    receiver.statuses = [503]
    hook = registered(hub, receiver.url)
    hub.add(SETTLED)
    wait(lambda: receiver.got)
    (tmp_path / "killed").mkdir()
    for file in tmp_path.glob("hub*.db*"):  # as they lie at a kill
        shutil.copy(file, tmp_path / "killed" / file.name)
    first = receiver.got[0][1]["webhook-id"]
    receiver.statuses = [204]
    receiver.got.clear()
    again = hub_in(tmp_path / "killed", reach=HERE)
    with again.accounts.transaction() as connection:
        connection.execute("update delivery set next_at = 0")  # its time has come
    with served(create_app(again)):
        kept = Mail(again.accounts)
        wait(lambda: kept.of(hook.id, after=None, limit=9)[0].state == "delivered")
        again.close()
    assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {first}
    assert len(Mail(again.accounts).of(hook.id, after=None, limit=9)) == 1
    again.database.close()
    again.accounts.close()


@pytest.mark.parametrize("manner", ["slow", "endless"])
def test_a_hostile_receiver_holds_up_nobody_but_itself(
    hub: RunningHub, receiver: Receiver, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "SECONDS_PER_ATTEMPT", 1.0)
    told_all(hub)
    with receiving() as good:
        receiver.manner = manner
        bad = registered(hub, receiver.url)
        fine = registered(hub, good.url, PROVIDER)
        hub.add(SETTLED)
        wait(lambda: fine.deliveries() and fine.deliveries()[0]["state"] == "delivered", 5)
        if manner == "slow":
            wait(lambda: bad.deliveries()[0]["error"])
            assert bad.deliveries()[0]["error"] == "no answer within 1 s"
        else:  # its status is all that is read
            wait(lambda: bad.deliveries()[0]["state"] == "delivered", 5)


def test_a_test_delivery_arrives_and_wakes_a_disabled_webhook(hub: RunningHub, receiver: Receiver) -> None:
    told_all(hub)
    hook = registered(hub, receiver.url)
    receiver.statuses = [410, 204]
    hub.add(SETTLED)
    wait(lambda: hook.state()["state"] == "disabled")
    assert hook.state()["reason"] == "it answered 410 Gone"
    made = hub.client.post(f"/v1/webhooks/{hook.id}/test", headers=hook.headers)
    assert (made.status_code, made.json()["type"], made.json()["state"]) == (202, "webhook.test", "pending")
    wait(lambda: hook.state()["state"] == "active")
    assert types(receiver, hook) == ["job.settled", "webhook.test"]
    for _ in range(4):
        hub.client.post(f"/v1/webhooks/{hook.id}/test", headers=hook.headers)
    assert hub.client.post(f"/v1/webhooks/{hook.id}/test", headers=hook.headers).status_code == 429


def test_an_account_sees_and_deletes_its_own_webhooks_alone(hub: RunningHub, receiver: Receiver) -> None:
    hook = registered(hub, receiver.url)
    other = signed_in(hub, NODE)
    assert hub.client.get("/v1/webhooks", headers=other).json() == {"webhooks": []}
    for method, path in (("GET", "/deliveries"), ("POST", "/test"), ("DELETE", "")):
        assert hub.client.request(method, f"/v1/webhooks/{hook.id}{path}", headers=other).status_code == 404
        assert hub.client.request(method, f"/v1/webhooks/{hook.id}{path}").status_code == 401
    assert hub.client.delete(f"/v1/webhooks/{hook.id}", headers=hook.headers).status_code == 204
    assert hub.client.get("/v1/webhooks", headers=hook.headers).json() == {"webhooks": []}
    for _ in range(10):
        body = {"url": receiver.url, "events": ["job.settled"]}
        assert hub.client.post("/v1/webhooks", json=body, headers=hook.headers).status_code == 201
    body = {"url": receiver.url, "events": ["job.opened"]}
    full = hub.client.post("/v1/webhooks", json=body, headers=hook.headers)
    assert (full.status_code, full.json()["what"]) == (403, "this account has too many webhooks")
