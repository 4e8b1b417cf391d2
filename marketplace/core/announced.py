"""Documents that somebody announced on chain, and which of them count. Pure.

Announcing is open to everyone: what strangers announce is looked at last, and only so much of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from marketplace.core.audit import Found, Get, Missing, fetch
from marketplace.core.cid import Cid
from marketplace.core.events import ApprovalAnnounced, OfferAnnounced
from marketplace.core.ledger import Ledger
from marketplace.core.offer import Signed
from marketplace.errors import InputError

E = TypeVar("E", OfferAnnounced, ApprovalAnnounced)

MAX_ANNOUNCED = 32
"""Announcements of one subject that are looked at; the owner's and the provider's come first."""


def expect(ok: bool, expected: object, got: object) -> None:
    if not ok:
        raise InputError("the document is another one", got=got, expected=expected)


def sorted_by_trust(ledger: Ledger, events: Sequence[E], asset_id: int, provider: str) -> list[E]:
    """Announcements by the owner of that time or the provider first; no more than MAX_ANNOUNCED."""

    def stranger(event: E) -> bool:
        return event.by not in (ledger.owner_at(asset_id, event.at), provider)

    return sorted(events, key=stranger)[:MAX_ANNOUNCED]


def first_good(
    events: Sequence[E], parse: Callable[[bytes, E], Signed], get: Get, none: str
) -> Found[Signed] | Missing:
    """The first announced document that fits; else why the most trusted one does not."""
    worst: Missing | None = None
    for event in events:
        found = fetch(get, Cid.raw(event.document), partial(_swapped, parse, event))
        if isinstance(found, Found):
            return found
        worst = worst or found
    return worst or Missing("missing", none)


def _swapped(parse: Callable[[bytes, E], Signed], event: E, block: bytes) -> Signed:
    return parse(block, event)
