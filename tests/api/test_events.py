"""The market's stream over real HTTP: every event once, through cuts, restarts and reorganisations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from marketplace.api.hub import create_app
from marketplace.core.events import EpochRaised, JobRejected, JobSettled
from marketplace.hub import HubClient
from marketplace.wire.events import MarketEvent, Reorganised
from marketplace.wire.trade import Job, Progress
from tests.support.catalogue import served

from .conftest import ASSET, DEPLOYMENT, JOB, JOB_TEXT, PROVIDER, RunningHub, at, hub_in, story

MARKET = DEPLOYMENT.market
STORY = ["AssetPublished", "NodeSet", "AccessBought", "JobOpened"]

Event = tuple[str, str, Any]


@contextmanager
def stream(hub: RunningHub, last: str | None = None, path: str = "/v1/events") -> Iterator[Iterator[Event]]:
    """Its events as (kind, id, data). last: the id to go on from; `start` begins at the beginning."""
    headers, query = (
        ({}, {"after": last}) if last == "start" else ({"last-event-id": last} if last else {}, {})
    )
    with hub.client.stream("GET", path, headers=headers, params=query) as answer:
        assert answer.status_code == 200, answer.read()
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    kind = id = data = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif name == "id":
            id = value
        elif not line and data:
            yield kind, id, json.loads(data)
            kind = id = data = ""


def names(events: list[Event]) -> list[str]:
    return [data["event"] if kind == "event" else kind for kind, _, data in events]


def raised(block: int, epoch: int, fork: int = 0) -> EpochRaised:
    return EpochRaised(at(block, fork=fork), MARKET, ASSET, epoch)


def test_the_stream_has_every_event_once_and_goes_on_after_a_cut(fresh: RunningHub) -> None:
    with stream(fresh, "start") as events:
        found = list(islice(events, 4))
        assert names(found) == STORY
        assert found[3][2]["data"]["job_id"] == JOB_TEXT == found[3][2]["job_id"]
    fresh.add(raised(5, 1))
    with stream(fresh, found[2][1]) as events:
        assert names(list(islice(events, 2))) == ["JobOpened", "EpochRaised"]
        fresh.add(raised(6, 2))
        assert next(events)[2]["data"]["epoch"] == "2"


def test_without_an_id_only_what_comes_next_is_sent(fresh: RunningHub) -> None:
    with stream(fresh, "start") as events:
        list(islice(events, 4))  # the feed has told them by now
    with stream(fresh) as events:
        fresh.add(raised(5, 1))
        assert names([next(events)]) == ["EpochRaised"]


def test_what_the_chain_took_back_is_named_live_and_after_a_cut_and_what_came_instead_follows(
    fresh: RunningHub,
) -> None:
    fresh.add(raised(5, 1), raised(6, 2))
    with stream(fresh, "start") as events:
        before = list(islice(events, 6))
        fresh.take_back(4, raised(5, 7, fork=1))
        kind, id, data = next(events)
        assert (kind, data["gone"]) == ("reorganised", [before[5][1], before[4][1]])
        assert id == before[3][1]  # whoever goes on from here misses nothing
        assert next(events)[2]["data"]["epoch"] == "7"
    with stream(fresh, before[5][1]) as events:  # was away meanwhile
        later = list(islice(events, 2))
        assert later[0][2]["gone"] == [before[5][1], before[4][1]]
        assert later[1][2]["data"]["epoch"] == "7"
    with stream(fresh, before[3][1]) as events:
        assert next(events)[2]["data"]["epoch"] == "7"


def test_two_reorganisations_while_a_client_was_away_are_undone_one_after_the_other(
    fresh: RunningHub,
) -> None:
    fresh.add(raised(5, 1), raised(6, 2))
    with stream(fresh, "start") as events:
        before = list(islice(events, 6))
        fresh.take_back(5, raised(7, 8, fork=1))
        assert names(list(islice(events, 2))) == ["reorganised", "EpochRaised"]
        fresh.take_back(4, raised(8, 9, fork=2))
        assert names(list(islice(events, 2))) == ["reorganised", "EpochRaised"]
    with stream(fresh, before[5][1]) as events:
        later = list(islice(events, 3))
    assert [gone for _, _, data in later[:2] for gone in data["gone"]] == [before[5][1], before[4][1]]
    assert later[2][2]["data"]["epoch"] == "9"


def test_an_id_means_the_same_after_a_kill_and_while_the_catalogue_is_read_anew(
    fresh: RunningHub, tmp_path: Path
) -> None:
    fresh.add(raised(5, 1))
    with stream(fresh, "start") as events:
        before = list(islice(events, 5))
    (tmp_path / "killed").mkdir()
    for file in tmp_path.glob("hub-accounts.db*"):  # as it lies at a kill
        shutil.copy(file, tmp_path / "killed" / file.name)
    hub = hub_in(tmp_path / "killed")  # whose catalogue is empty
    with served(create_app(hub)) as url, httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        again = RunningHub(url, hub, client)
        assert client.get("/v1/events", headers={"last-event-id": "5-0-0000000000000000"}).status_code == 503
        with stream(again, before[4][1]) as events:
            again.add(*story(), raised(5, 1), raised(6, 2))
            kind, _, data = next(events)
            assert (kind, data["data"]) == ("event", {"asset_id": str(ASSET), "epoch": "2"})
        hub.close()
    hub.database.close()
    hub.accounts.close()


def test_an_event_that_never_was_is_refused(fresh: RunningHub) -> None:
    with stream(fresh, "start") as events:
        list(islice(events, 4))
    for last, status in (("1-0-0000000000000000", 404), ("99-0-0000000000000000", 503), ("yesterday", 422)):
        answer = fresh.client.get("/v1/events", headers={"last-event-id": last})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_jobs_stream_sends_its_state_again_only_when_it_changed(fresh: RunningHub) -> None:
    path = f"/v1/jobs/{JOB_TEXT}/events"
    fresh.post(sequence=1)
    with stream(fresh, path=path) as events:
        (_, id, job), (kind, no_id, _) = islice(events, 2)
        assert id == job["history"][-1]["id"]
        assert (kind, no_id) == ("progress", "")
    with stream(fresh, id, path) as events:
        assert next(events)[0] == "progress"
        fresh.add(JobSettled(at(5), MARKET, JOB, PROVIDER.address, 100))
        assert [(kind, data["state"]) for kind, _, data in events] == [("state", "settled")]


def test_the_client_follows_the_market_and_a_job(fresh: RunningHub) -> None:
    client = HubClient(fresh.url, 10)
    market = client.events(after="start")
    assert [event.event for event in islice(market, 4) if isinstance(event, MarketEvent)] == STORY
    fresh.add(raised(5, 1))
    assert isinstance(next(market), MarketEvent)
    fresh.take_back(4, raised(5, 2, fork=1))
    assert isinstance(next(market), Reorganised)
    fresh.post(sequence=1)
    watched = client.watch(JOB)
    first, second = islice(watched, 2)
    assert isinstance(first, Job) and isinstance(second, Progress)
    fresh.add(JobRejected(at(10), MARKET, JOB, b"wrong-asset".ljust(32, b"\0"), 100))
    assert [job.state for job in watched if isinstance(job, Job)] == ["rejected"]
    assert client.job(JOB).reason == "wrong-asset"
    assert [job.id for job in client.jobs(state="rejected")] == [JOB_TEXT]
    assert client.health().status == "ok"
