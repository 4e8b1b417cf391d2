"""The contracts' events, folded into the state that they must have left. Pure.

Every event is held to the rules of the contract that emits it. One that could not have been emitted is refused:
it becomes a Finding and changes nothing. Not covered: what events alone cannot show, namely who sent a
transaction, and the documents behind digests; the checks of `marketplace.core.audit` are about those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from marketplace.core import steps_assets as assets
from marketplace.core import steps_market as market
from marketplace.core.events import (
    AccessBought,
    ApprovalAnnounced,
    AssetPublished,
    CreditsMinted,
    EpochRaised,
    Event,
    JobExpired,
    JobFailed,
    JobFaulted,
    JobOpened,
    JobRejected,
    JobSettled,
    NodeSet,
    OfferAnnounced,
    PausedSet,
    ReceiptSubmitted,
    Transfer,
    UnusedClaimed,
    Withdrawn,
)
from marketplace.core.ledger import Finding, Ledger, Rules, asset_text, grant_text, job_text
from marketplace.core.steps import Illegal, refuse, same
from marketplace.errors import InputError

ONE_STEP = "an asset is published in one transaction, with all its events"


def replay(events: Iterable[Event], *, rules: Rules, times: Mapping[int, int]) -> Ledger:
    """The state that these events leave, with everything that could not have happened in `findings`.

    events: all of the four contracts, in any order. times: Unix seconds of each block that holds one.
    Raises InputError where a block's time is missing.
    """
    ledger = Ledger(rules, times)
    last: Event | None = None
    for event in sorted(events, key=lambda event: (event.at.block, event.at.index)):
        if event.at.block not in times:
            raise InputError("the time of a block is missing", got=event.at.block)
        _check_due(ledger, event)
        _take(ledger, event, last)
        last = event
    if ledger.due and last:
        wanted, asset, _ = ledger.due
        ledger.findings.append(Finding(asset_text(asset), ONE_STEP, wanted.__name__, "nothing", last.at))
    return ledger


def _check_due(ledger: Ledger, event: Event) -> None:
    """Notes a publication that the next event does not continue."""
    due, ledger.due = ledger.due, None
    if due is None:
        return
    wanted, asset, transaction = due
    got = getattr(event, "asset_id", getattr(event, "model_id", None))
    if type(event) is not wanted or got != asset or event.at.transaction != transaction:
        ledger.findings.append(
            Finding(asset_text(asset), ONE_STEP, wanted.__name__, f"{type(event).__name__} next", event.at)
        )


def _take(ledger: Ledger, event: Event, last: Event | None) -> None:
    """The event into the ledger, or why it cannot be into its findings."""
    handler, names = _HANDLERS.get(type(event), (None, ""))
    try:
        _check_place(event, last)
        if handler is None:
            refuse("an event of these contracts", "a known type", type(event).__name__)
        allowed = [getattr(ledger.rules, name) for name in names.split()]
        if event.contract not in allowed:
            refuse("an event comes from its own contract", " or ".join(allowed), event.contract)
        handler(ledger, event)
    except Illegal as illegal:
        ledger.findings.append(
            Finding(subject_of(event), illegal.rule, illegal.expected, illegal.got, event.at)
        )


def _check_place(event: Event, last: Event | None) -> None:
    if last is None or last.at.block < event.at.block:
        return
    if last.at.index == event.at.index:
        refuse("no two events stand in one place", f"one at log {event.at.index}", "two")
    same("a block has one hash", last.at.block_hash, event.at.block_hash)


def subject_of(event: Event) -> str:
    """What an event is about, in the words that checks use."""
    if isinstance(event, AccessBought | UnusedClaimed):
        return grant_text((event.offer_digest, event.buyer))
    job_id = getattr(event, "job_id", None)
    if job_id is not None:
        return job_text(job_id)
    asset = getattr(event, "asset_id", None)
    if asset is not None:
        return asset_text(asset)
    account = getattr(event, "participant", getattr(event, "account", None))
    return f"account {account}" if account else f"contract {event.contract}"


_HANDLERS: Mapping[type[Event], tuple[Callable[[Ledger, Any], None], str]] = {
    Transfer: (assets.on_transfer, "registry"),
    AssetPublished: (assets.on_published, "registry"),
    PausedSet: (assets.on_paused, "market registry"),
    NodeSet: (assets.on_node, "participants"),
    CreditsMinted: (assets.on_credits, "credits"),
    OfferAnnounced: (market.on_offer, "market"),
    ApprovalAnnounced: (market.on_approval, "market"),
    EpochRaised: (market.on_epoch, "market"),
    AccessBought: (market.on_bought, "market"),
    UnusedClaimed: (market.on_unused, "market"),
    JobOpened: (market.on_opened, "market"),
    ReceiptSubmitted: (market.on_receipt, "market"),
    JobSettled: (market.on_settled, "market"),
    JobRejected: (market.on_rejected, "market"),
    JobFaulted: (market.on_faulted, "market"),
    JobFailed: (market.on_failed, "market"),
    JobExpired: (market.on_expired, "market"),
    Withdrawn: (market.on_withdrawn, "market"),
}
