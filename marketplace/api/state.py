"""What a hub works with, and how its routes come by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.mail import Mail
from marketplace.accounts.reach import Endpoint, Reach
from marketplace.accounts.sessions import Sessions
from marketplace.accounts.webhooks import Webhooks
from marketplace.api.limits import Buckets, Rate
from marketplace.api.nonces import Nonces
from marketplace.api.progress import ProgressBoard
from marketplace.api.pulse import Pulse
from marketplace.api.sponsor import Sponsor
from marketplace.api.stream import Streams
from marketplace.catalogue.schema import Database
from marketplace.chain.deployment import Deployment
from marketplace.core.eip712 import Accepts, Domain
from marketplace.core.ids import Did
from marketplace.errors import NotFoundError, UnavailableError

T = TypeVar("T")

SIGN_INS = Rate(per_second=1, burst=20)
"""Of one client: each may cost a question to the chain."""

TESTS = Rate(per_second=0.2, burst=5)
"""Test deliveries of one account."""

SPONSORED_AT_ONCE = 8
"""Calls that wait for their confirmation, each in a thread."""

LOOK_UPS = 4
"""Names of new webhooks that are looked up at one time."""


@dataclass(frozen=True)
class Hub:
    """What the routes work with.

    pulse: beaten by the indexer when the catalogue changed. fed: beaten when the feed has told an event.
    trouble: why the catalogue may be behind, if it may. block_time: Unix seconds of a block that the catalogue has.
    accepts: asks the chain's contracts for signatures. public_url: where others reach the hub, or empty.
    sponsor: pays buyers' gas, if anybody does.
    """

    database: Database
    deployment: Deployment
    accounts: AccountsDatabase
    block_time: Callable[[int], int]
    accepts: Accepts
    pulse: Pulse = field(default_factory=Pulse)
    fed: Pulse = field(default_factory=Pulse)
    trouble: Callable[[], str | None] = lambda: None
    public_url: str = ""
    reach: Reach = field(default_factory=Reach)
    sponsor: Sponsor | None = None

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.chain_id, self.deployment.market)

    def did(self, asset: int) -> Did:
        return Did(self.deployment.chain_id, self.deployment.asset_registry, asset)

    def close(self) -> None:
        """The server stops: streams end."""
        self.pulse.close()
        self.fed.close()


class Desk:
    """A running hub: what it works with, and what it has in hand. wake_courier: there is new mail."""

    def __init__(self, hub: Hub, wake_courier: Callable[[], None]) -> None:
        self.hub = hub
        self.wake_courier = wake_courier
        self.board = ProgressBoard(hub.domain)
        self.streams = Streams(hub.database, hub.accounts, self.board, hub.pulse, hub.fed)
        self.nonces = Nonces()
        self.sessions = Sessions(hub.accounts)
        self.webhooks = Webhooks(hub.accounts)
        self.mail = Mail(hub.accounts)
        self.sign_ins = Buckets(SIGN_INS)
        self.tests = Buckets(TESTS)
        self.sponsoring = threading.BoundedSemaphore(SPONSORED_AT_ONCE)
        self._looking_up = threading.BoundedSemaphore(LOOK_UPS)

    def require_reachable(self, url: str) -> None:
        """Raises InputError for what is no URL, RefusedError for where webhooks do not go, UnavailableError where
        its name has no address, or too many names are being looked up: a slow name server holds up few.
        """
        endpoint = Endpoint.parse(url)
        if not self._looking_up.acquire(blocking=False):
            raise UnavailableError("too many names are being looked up", expected=f"at most {LOOK_UPS}")
        try:
            self.hub.reach.address(endpoint)
        finally:
            self._looking_up.release()


async def the_desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


TheDesk = Annotated[Desk, Depends(the_desk)]


def known(found: T | None, what: str, name: object) -> T:
    """Raises NotFoundError for None."""
    if found is None:
        raise NotFoundError(f"no such {what}", got=name, do="It may not be confirmed yet.")
    return found
