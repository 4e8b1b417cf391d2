"""A running market with a gateway beside it, and documents as a provider would write them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn
from eth_account.signers.local import LocalAccount
from fastapi import FastAPI

from marketplace.api.gateway import create_app
from marketplace.api.serving import configuration
from marketplace.core.cid import Cid
from marketplace.core.dataset import Column, ColumnKind, Creator, Environment, Listing, TableFormat
from marketplace.core.events import AssetPublished
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.offer import Offer, Signed
from marketplace.core.terms import CustomAlgorithms, Purpose, Terms
from marketplace.storage import GatewayStore, LocalStore, put_block
from tests.support.chain import RunningMarket, running_market


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves an application in a thread on a free port, as `serve_app` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = configuration(app)
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@dataclass(frozen=True)
class Town:
    """A market, its gateway at `gateway`, and the gateway's folder, for tests that tamper with it."""

    market: RunningMarket
    store: GatewayStore
    gateway: str
    folder: LocalStore

    def did(self, asset: int) -> Did:
        deployment = self.market.chain.deployment
        return Did(deployment.chain_id, deployment.asset_registry, asset)

    def listing(self, salt: bytes, terms: Terms | None = None, **changes: Any) -> Listing:
        """The provider's listing of a dataset that is not published yet; its documents are not stored yet."""
        did = self.did(asset_id(Kind.dataset, self.market.provider.address, salt))
        fields: dict[str, Any] = {
            "slug": "valves",
            "name": "Valve readings",
            "description": "Vibration of a shuttle's valves.",
            "keywords": ("industry", "anomaly"),
            "rows": 49_097,
        }
        return Listing(
            did=did,
            licence="CC-BY-4.0",
            creator=Creator("North Works"),
            version="1.0.0",
            published=date(2026, 11, 23),
            header=Cid.of("raw", b"header"),
            terms=(terms or self.terms(did)).cid,
            format=TableFormat.csv,
            columns=(Column("time", ColumnKind.integer),),
            environments=(Environment("python-ml", ("numpy==2.4.6",)),),
            personal_data=False,
            **(fields | changes),
        )

    def terms(
        self, did: Did, purposes: tuple[Purpose, ...] | None = (Purpose.predictive_maintenance,)
    ) -> Terms:
        provider = self.market.provider.address
        return Terms(did, provider, purposes=purposes, custom_algorithms=CustomAlgorithms.approval)

    def publish(self, salt: bytes, *, store: bool = True, **changes: Any) -> int:
        """Publishes a dataset of the provider; `store=False` keeps its documents from the gateway."""
        listing = self.listing(salt, **changes)
        if store:
            put_block(self.store, self.terms(listing.did).to_bytes())
            put_block(self.store, listing.to_bytes())
        call = (1, salt, listing.digest)
        sent = self.market.chain.send("AssetRegistry", "publish", call, self.market.provider)
        return next(event.asset_id for event in sent.events if isinstance(event, AssetPublished))

    def announce(self, offer: Offer, by: LocalAccount | None = None) -> bytes:
        """Signs (as the provider, or `by`), stores and announces an offer; returns its digest."""
        signer = by or self.market.provider
        document = put_block(self.store, Signed(offer, self.market.sign(offer, signer)).to_bytes())
        digest = offer.digest(self.market.chain.domain)
        self.announce_document(offer.asset_id, digest, document.digest, signer)
        return digest

    def announce_document(self, asset: int, digest: bytes, document: bytes, by: LocalAccount) -> None:
        self.market.chain.send("Market", "announceOffer", (asset, digest, document), by)


@contextlib.contextmanager
def running_town(folder: Path) -> Iterator[Town]:
    """A fresh market and an empty gateway, whose blocks lie in `folder`."""
    with running_market() as market, served(create_app(folder)) as url, GatewayStore(url) as store:
        yield Town(market, store, url, LocalStore(folder))
