"""The hub: search, the state of everything on chain, and live progress. It holds nobody's key and cannot trade.

Routes: GET /health, /deployment, /assets, /assets/{asset}, /offers/{digest}, /grants/{digest}/{buyer}, /jobs/{job},
/jobs/{job}/events (server-sent events); POST /jobs/{job}/progress.
All that it says of the chain is read from the catalogue, a cache: who wants to be sure asks the chain.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from marketplace.api import views
from marketplace.api.answers import (
    BuyerPath,
    DigestPath,
    JobPath,
    account,
    add_error_answers,
    asset_id,
    json_body,
    problems,
)
from marketplace.api.limits import PerClient, Rate, asking
from marketplace.api.progress import ProgressBoard, Reporter
from marketplace.api.pulse import Pulse
from marketplace.api.serving import SECONDS_TO_FINISH, serve_app
from marketplace.api.stream import Streams
from marketplace.catalogue import search
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.rows import Asset, Cursor, Grant, Job, Listing, Pause
from marketplace.catalogue.schema import Database, fetch, get
from marketplace.chain.client import Chain
from marketplace.chain.deployment import Deployment, read_deployment
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did, Kind
from marketplace.core.job import Progress
from marketplace.core.terms import Purpose
from marketplace.errors import InputError, NotFoundError
from marketplace.settings import Settings
from marketplace.storage import open_store

T = TypeVar("T")

MAX_PROGRESS = 4_096
"""Bytes of a progress message."""

REQUESTS = Rate(per_second=100, burst=1_000)
"""Of one client."""


@dataclass(frozen=True)
class Hub:
    """What the routes work with.

    pulse: beaten by the indexer when the catalogue changed. trouble: why the catalogue may be behind, if it may.
    """

    database: Database
    deployment: Deployment
    pulse: Pulse = field(default_factory=Pulse)
    trouble: Callable[[], str | None] = lambda: None

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.chain_id, self.deployment.market)

    def did(self, asset: int) -> Did:
        return Did(self.deployment.chain_id, self.deployment.asset_registry, asset)


def serve(settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Runs the hub of `settings` until SIGINT or SIGTERM: the routes, and the indexer in threads of its own.

    port: 0 takes a free one. ready: called with the URL once requests are answered; the catalogue fills meanwhile.
    Raises InputError for the deployment file, RefusedError for one of another chain,
    UnavailableError where chain, database or address are not to be had.
    """
    deployment = read_deployment(settings.deployment_file)
    database = Database(settings.home / "hub.db")
    pulse, stop = Pulse(), threading.Event()
    with (
        contextlib.closing(database),
        Chain(
            settings.rpc, deployment, confirmations=settings.confirmations, timeout=settings.timeout
        ) as chain,
        open_store(settings) as store,
    ):
        indexer = Indexer(chain, store, database, pulse.beat)
        thread = threading.Thread(target=indexer.run, args=(stop,), name="indexer", daemon=True)
        thread.start()
        try:
            hub = Hub(database, deployment, pulse, lambda: indexer.trouble)
            serve_app(create_app(hub), host, port, ready=ready, stopping=pulse.close)
        finally:
            stop.set()
            thread.join(SECONDS_TO_FINISH)  # a silent endpoint may hold it longer; nothing is lost by leaving


def create_app(hub: Hub, *, requests: Rate = REQUESTS) -> FastAPI:
    """The hub as an ASGI application. requests: what one client may ask."""
    board = ProgressBoard(hub.domain)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hub.pulse.bind(asyncio.get_running_loop())
        yield
        hub.pulse.close()

    app = FastAPI(
        title="Steelyard hub",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=problems(404, 422, 429, 503),
    )
    app.add_middleware(PerClient, rate=requests)
    add_error_answers(app)
    _add_catalogue(app, hub)
    _add_jobs(app, hub, board)
    return app


def _add_catalogue(app: FastAPI, hub: Hub) -> None:
    database = hub.database

    @app.get("/health")
    def health() -> dict[str, Any]:
        """How far the chain was read, and which contracts are paused."""
        trouble = hub.trouble()
        with database.read() as connection:
            return {"status": "behind" if trouble else "ok", "trouble": trouble, **_reached(connection)}

    @app.get("/deployment", response_class=Response)
    def deployment() -> Response:
        """The deployment file that this hub follows, to the byte; compare its digest with one that you trust."""
        return Response(hub.deployment.to_bytes(), media_type="application/json")

    @app.get("/assets")
    def assets(query: Annotated[search.Query, Depends(_query)]) -> dict[str, Any]:
        """A page of assets, newest first."""
        with database.read() as connection:
            page = search.search(connection, query, now=int(time.time()))
        return views.page_json(page, hub.did)

    @app.get("/assets/{asset}")
    def asset(asset: str) -> dict[str, Any]:
        """One asset, by token id or DID: its owner, listing, offers and number of jobs."""
        token = asset_id(asset, did=hub.did)
        with database.read() as connection:
            row = _known(get(connection, Asset, token), "asset", token)
            offers = search.offers_of(connection, row, now=int(time.time()))
            return {
                **views.asset_json(row, hub.did),
                "listing": views.listing_json(get(connection, Listing, token)),
                "offers": [views.offer_json(offer) for offer in offers],
            }

    @app.get("/offers/{digest}")
    def offer(digest: DigestPath) -> dict[str, Any]:
        """An announced offer and what it is worth now."""
        with database.read() as connection:
            found = search.offer(connection, digest, now=int(time.time()))
        return views.offer_json(_known(found, "offer", views.hexed(digest)))

    @app.get("/grants/{digest}/{buyer}")
    def grant(digest: DigestPath, buyer: BuyerPath) -> dict[str, Any]:
        """What a buyer holds under an offer."""
        with database.read() as connection:
            found = get(connection, Grant, digest, buyer)
        return views.grant_json(_known(found, "grant", f"{views.hexed(digest)} of {buyer}"))


def _add_jobs(app: FastAPI, hub: Hub, board: ProgressBoard) -> None:
    database, streams = hub.database, Streams(hub.database, board, hub.pulse)

    def known_job(job: JobPath) -> bytes:
        with database.read() as connection:
            return _known(get(connection, Job, job), "job", views.hexed(job)).job_id

    async def place_in_stream(request: Request, job: bytes = Depends(known_job)) -> AsyncIterator[bytes]:
        # Before the answer begins, so that it can still be a refusal.
        with streams.place(asking(request.scope)):
            yield job

    @app.get("/jobs/{job}")
    def job(job: JobPath) -> dict[str, Any]:
        """A job's state, its history with transactions, and its progress."""
        with database.read() as connection:
            row = _known(get(connection, Job, job), "job", views.hexed(job))
            found = views.job_json(connection, row)
        return {**found, "progress": views.progress_json(board.last(job))}

    @app.get("/jobs/{job}/events", response_class=EventSourceResponse)
    async def job_events(job: bytes = Depends(place_in_stream)) -> AsyncIterator[ServerSentEvent]:
        """The job as it happens: `state` and `progress` events, until it has ended; `gone` if it was taken back."""
        async for event in streams.follow(job):
            yield event

    @app.post(
        "/jobs/{job}/progress",
        status_code=202,
        responses=problems(403, 413),
        openapi_extra={"requestBody": _PROGRESS_BODY},
    )
    async def post_progress(job: JobPath, request: Request) -> dict[str, Any]:
        """Takes `{"progress": Progress, "signature": 0x...}` from the present node of the job's provider."""
        progress, signature = _signed_progress(await json_body(request, limit=MAX_PROGRESS))
        if progress.job_id != job:
            raise InputError(
                "the progress is of another job", got=views.hexed(progress.job_id), expected=views.hexed(job)
            )
        board.post(progress, signature, await run_in_threadpool(_reporter, database, job))
        hub.pulse.beat()
        return {"job": views.hexed(job), "sequence": progress.sequence}


_PROGRESS_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["progress", "signature"],
                "properties": {
                    "progress": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["jobId", "sequence", "stage", "done", "of"],
                        "properties": {
                            "jobId": {"type": "string", "pattern": "^0x[0-9a-f]{64}$"},
                            "sequence": {"type": "integer", "minimum": 0, "maximum": 2**48 - 1},
                            "stage": {"type": "string", "minLength": 1, "maxLength": 64},
                            "done": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
                            "of": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
                        },
                    },
                    "signature": {"type": "string", "pattern": "^0x[0-9a-f]{130}$"},
                },
            }
        }
    },
}


def _reached(connection: Connection) -> dict[str, Any]:
    cursor = get(connection, Cursor, 0)
    paused = [row.contract for row in fetch(connection, Pause) if row.paused]
    return {"block": cursor.block if cursor else None, "paused": paused}


def _query(
    query: Annotated[str, Query(max_length=search.MAX_TEXT)] = "",
    kind: str | None = None,
    owner: str | None = None,
    max_price: Annotated[int | None, Query(ge=0, lt=2**48)] = None,
    purpose: str | None = None,
    limit: Annotated[int, Query(ge=1, le=search.MAX_LIMIT)] = 20,
    after: str | None = None,
) -> search.Query:
    return search.Query(
        text=query,
        kind=None if kind is None else _kind(kind),
        owner=None if owner is None else account(owner, where="the owner"),
        max_price=max_price,
        purpose=None if purpose is None else Purpose.parse(purpose),
        limit=limit,
        after=None if after is None else search.Place.parse(after),
    )


def _kind(text: str) -> Kind:
    try:
        return Kind[text]
    except KeyError:
        raise InputError("not a kind of asset", got=text, expected=", ".join(Kind.__members__)) from None


def _known(found: T | None, what: str, name: object) -> T:
    if found is None:
        raise NotFoundError(f"no such {what}", got=name, do="It may not be confirmed yet.")
    return found


def _signed_progress(body: object) -> tuple[Progress, bytes]:
    if not isinstance(body, dict) or set(body) != {"progress", "signature"}:
        raise InputError("the body has other fields", expected="progress, signature")
    signature = body["signature"]
    try:
        raw = bytes.fromhex(signature[2:] if signature[:2] == "0x" else "-")
    except (TypeError, ValueError):
        raise InputError("the signature does not parse", expected="0x and 130 hex digits") from None
    return Progress.from_json(body["progress"]), raw


def _reporter(database: Database, job_id: bytes) -> Reporter | None:
    with database.read() as connection:
        job = get(connection, Job, job_id)
        return None if job is None else Reporter(job.phase, search.node_of(connection, job))
