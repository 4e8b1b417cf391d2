"""The hub: search, the state of everything on chain, live progress, webhooks. It cannot trade for anybody;
the one key that it may hold pays gas, where its operator gives it one.

Its routes are in `routes`, a file for each noun, all under /v1 but /health and /openapi.json; docs/api.md lists them.
All that it says of the chain is read from the catalogue, a cache: who wants to be sure asks the chain.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from eth_account.signers.local import LocalAccount
from fastapi import FastAPI

from marketplace.accounts.courier import Courier
from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.mail import Mail
from marketplace.accounts.reach import Network, Reach
from marketplace.api.feed import Feed
from marketplace.api.hub_watch import watch_of
from marketplace.api.limits import PerClient, Rate
from marketplace.api.metrics import add_operations
from marketplace.api.problems import add_error_answers, problems
from marketplace.api.pulse import Pulse
from marketplace.api.routes import assets, events, market, sign_in, sponsor, trade, webhooks
from marketplace.api.serving import SECONDS_TO_FINISH, serve_app
from marketplace.api.sponsor import Allowance, Sponsor
from marketplace.api.state import Desk, Hub
from marketplace.api.versions import Versioned
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.chain.client import Chain
from marketplace.chain.deployment import read_deployment
from marketplace.settings import Settings
from marketplace.storage import open_store
from marketplace.wire.accounts import NonceRequest, SignInRequest, WebhookRequest
from marketplace.wire.events import Gone, MarketEvent, Reorganised
from marketplace.wire.sponsor import SponsoredCall
from marketplace.wire.trade import PostedProgress

REQUESTS = Rate(per_second=100, burst=1_000)
"""Of one client."""

_PARSED_BY_US = (PostedProgress, NonceRequest, SignInRequest, WebhookRequest, SponsoredCall)
_STREAMED = (MarketEvent, Reorganised, Gone)


def serve(
    settings: Settings,
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    public_url: str = "",
    webhooks_to: tuple[Network, ...] = (),
    sponsored: tuple[LocalAccount, Allowance] | None = None,
) -> None:
    """Runs the hub of `settings` until SIGINT or SIGTERM: the routes, and the indexer in threads of its own.

    port: 0 takes a free one. ready: called with the URL once requests are answered; the catalogue fills meanwhile.
    public_url: by which others reach it; signing in is bound to it. webhooks_to: private networks they may go to.
    sponsored: who pays buyers' gas, and how much of it.
    Raises InputError for the deployment file, RefusedError for one of another chain,
    UnavailableError where chain, database or address are not to be had.
    """
    deployment = read_deployment(settings.deployment_file)
    database = Database.of(settings)
    stop = threading.Event()
    with (
        contextlib.closing(database),
        contextlib.closing(AccountsDatabase(settings.home / "hub-accounts.db")) as accounts,
        Chain(
            settings.rpc, deployment, confirmations=settings.confirmations, timeout=settings.timeout
        ) as chain,
        open_store(settings) as store,
    ):
        pulse = Pulse()
        indexer = Indexer(chain, store, database, pulse.beat)
        hub = Hub(
            database,
            deployment,
            accounts,
            chain.block_time,
            chain.accepts,
            pulse=pulse,
            trouble=lambda: indexer.trouble,
            public_url=public_url,
            reach=Reach(webhooks_to),
            sponsor=sponsored and Sponsor(chain, *sponsored),
            watch=watch_of(chain, store, database, indexer),
        )
        thread = threading.Thread(target=indexer.run, args=(stop,), name="indexer", daemon=True)
        thread.start()
        try:
            serve_app(create_app(hub), host, port, ready=ready, stopping=hub.close)
        finally:
            stop.set()
            thread.join(SECONDS_TO_FINISH)  # a silent endpoint may hold it longer; nothing is lost by leaving


def rebuild(settings: Settings) -> dict[str, int]:
    """Empties the catalogue of `settings` and fills it again; how many rows each table has then.

    A hub that runs on it goes on. Raises as `serve`.
    """
    deployment = read_deployment(settings.deployment_file)
    with (
        contextlib.closing(Database.of(settings, empty=True)) as database,
        Chain(
            settings.rpc, deployment, confirmations=settings.confirmations, timeout=settings.timeout
        ) as chain,
        open_store(settings) as store,
    ):
        Indexer(chain, store, database).run_once()
        return {name: len(rows) for name, rows in database.dump().items()}


def create_app(hub: Hub, *, requests: Rate = REQUESTS, tls: ssl.SSLContext | None = None) -> FastAPI:
    """The hub as an ASGI application, which tells events and delivers webhooks while it runs.

    requests: what one client may ask. tls: what the certificates of webhooks' receivers are checked against.
    """
    courier = Courier(Mail(hub.accounts), hub.reach, tls=tls)
    feed = Feed(hub, courier.wake)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        hub.pulse.bind(loop)
        hub.fed.bind(loop)
        app.state.desk = Desk(hub, partial(_soon, loop, courier.wake))
        feeding, delivering = asyncio.create_task(feed.run()), asyncio.create_task(courier.run())
        yield
        hub.close()
        delivering.cancel()
        await asyncio.wait((feeding, delivering), timeout=SECONDS_TO_FINISH)

    app = FastAPI(
        title="Steelyard hub",
        version="1",
        summary="Search, the state of everything on chain, live progress and webhooks of a Steelyard market.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=problems(400, 404, 422, 429, 503),
    )
    app.add_middleware(Versioned)
    app.add_middleware(PerClient, rate=requests)
    add_error_answers(app, (*_PARSED_BY_US, *_STREAMED))
    app.include_router(market.unversioned)
    for noun in (market, assets, trade, events, sign_in, webhooks, sponsor):
        app.include_router(noun.router, prefix="/v1")
    add_operations(app, hub.watch)
    return app


def _soon(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(what)
