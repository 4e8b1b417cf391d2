"""Streams of server-sent events: one job, and the whole market."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from marketplace.api import views
from marketplace.api.answers import JobPath
from marketplace.api.limits import asking
from marketplace.api.state import TheDesk, known
from marketplace.catalogue.rows import Job
from marketplace.catalogue.schema import get
from marketplace.core.event_id import EventId

router = APIRouter(tags=["events"])

START = "start"

LastEventId = Annotated[
    str | None,
    Header(
        description="the id of the last event that the client has; a browser sends it by itself",
        max_length=60,
    ),
]


def known_job(desk: TheDesk, job: JobPath) -> bytes:
    with desk.hub.database.read() as connection:
        return known(get(connection, Job, job), "job", views.hexed(job)).job_id


async def place_in_stream(desk: TheDesk, request: Request) -> AsyncIterator[None]:
    # Before the answer begins, so that it can still be a refusal.
    with desk.streams.place(asking(request.scope)):
        yield


async def beginning(
    desk: TheDesk,
    last_event_id: LastEventId = None,
    after: Annotated[
        str | None,
        Query(description=f"as Last-Event-ID, which wins; `{START}`: from the first event on", max_length=60),
    ] = None,
) -> EventId | None:
    given = last_event_id or after
    if given is None:
        return await run_in_threadpool(desk.streams.newest)
    if given == START:
        return None
    place = EventId.parse(given)
    await run_in_threadpool(desk.streams.require_known, place)
    return place


Placed = Depends(place_in_stream)


@router.get(
    "/jobs/{job}/events", operation_id="streamJob", response_class=EventSourceResponse, dependencies=[Placed]
)
async def job_events(
    desk: TheDesk, job: Annotated[bytes, Depends(known_job)], last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """The job as it happens, until it has ended.

    `state`: the whole job, whenever the chain changed it; its id is that of the newest event in the job's history.
    `progress`: the node's word, live only: it has no id and is not sent again. `gone`: the chain took the job back.
    With Last-Event-ID only what is newer comes.
    """
    async for event in desk.streams.follow_job(job, last_event_id):
        yield event


@router.get("/events", operation_id="streamEvents", response_class=EventSourceResponse, dependencies=[Placed])
async def market_events(
    desk: TheDesk, place: Annotated[EventId | None, Depends(beginning)]
) -> AsyncIterator[ServerSentEvent]:
    """Every confirmed event of the market, once, in the order of the chain; without end.

    `event`: one event (MarketEvent). `reorganised`: the ids of events that the chain took back, newest first; what
    came instead follows. Without Last-Event-ID it begins with what comes next.
    """
    async for event in desk.streams.follow_market(place):
        yield event
