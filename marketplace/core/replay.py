"""The contracts' events, folded into the state that they must have left. Pure.

Every event is held to the rules of the contract that emits it. One that could not have been emitted is refused:
it becomes a Finding and changes nothing. Not covered: what events alone cannot show, namely who sent a
transaction, and the documents behind digests; the checks of `marketplace.core.audit` are about those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from marketplace.core import steps_assets as assets
from marketplace.core import steps_disputes as disputes
from marketplace.core import steps_escrow as escrow
from marketplace.core import steps_market as market
from marketplace.core import steps_participants as participants
from marketplace.core.events import (
    AccessBought,
    AccreditationSet,
    ApprovalAnnounced,
    AssetPublished,
    AuthorityUpdated,
    BondDeposited,
    BondReleased,
    BondSlashed,
    CreditsMinted,
    DisputeLapsed,
    DisputeResolved,
    EpochRaised,
    Event,
    IssuerSet,
    JobDisputed,
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
    StatusSet,
    SuccessorAnnounced,
    Transfer,
    UnbondingStarted,
    UnusedClaimed,
    Withdrawn,
)
from marketplace.core.ledger import Due, Finding, Ledger, Rules, asset_text, grant_text, job_text
from marketplace.core.steps import Illegal, refuse, same
from marketplace.errors import InputError

ONE_STEP = "an asset is published in one transaction, with all its events"
FOR_A_JOB = "a bond is slashed for a job, whose event comes next"


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
        if _fits(ledger, event, last):
            _check_due(ledger, event)
            _take(ledger, event)
            last = event
    if ledger.due and last:
        _not_continued(ledger, ledger.due, last, "nothing")
    return ledger


def _fits(ledger: Ledger, event: Event, last: Event | None) -> bool:
    """Whether it stands in a place and a block of its own; else that is found, and nothing comes of it."""
    if last is None or last.at.block < event.at.block:
        return True
    try:
        if last.at.index == event.at.index:
            refuse("no two events stand in one place", f"one at log {event.at.index}", "two")
        same("a block has one hash", last.at.block_hash, event.at.block_hash)
    except Illegal as illegal:
        _note(ledger, event, illegal)
        return False
    return True


def _check_due(ledger: Ledger, event: Event) -> None:
    """Notes a publication or a slash that the next event does not continue."""
    due, ledger.due, ledger.slash = ledger.due, None, None
    if due is None:
        return
    asset = getattr(event, "asset_id", getattr(event, "model_id", None))
    same_step = type(event) in due.kinds and event.at.transaction == due.transaction
    if same_step and due.asset_id in (None, asset):
        ledger.slash = due.slash
    else:
        _not_continued(ledger, due, event, f"{type(event).__name__} next")


def _not_continued(ledger: Ledger, due: Due, event: Event, got: str) -> None:
    wanted = " or ".join(kind.__name__ for kind in due.kinds)
    about = f"account {due.slash.provider}" if due.slash else asset_text(due.asset_id or 0)
    rule = FOR_A_JOB if due.slash else ONE_STEP
    ledger.findings.append(Finding(about, rule, wanted, got, event.at))


def _take(ledger: Ledger, event: Event) -> None:
    """The event into the ledger, or why it cannot be into its findings."""
    handler, names = _HANDLERS.get(type(event), (None, ""))
    try:
        if handler is None:
            refuse("an event of these contracts", "a known type", type(event).__name__)
        allowed = [getattr(ledger.rules, name) for name in names.split()]
        if event.contract not in allowed:
            refuse("an event comes from its own contract", " or ".join(allowed), event.contract)
        handler(ledger, event)
    except Illegal as illegal:
        _note(ledger, event, illegal)


def _note(ledger: Ledger, event: Event, illegal: Illegal) -> None:
    ledger.findings.append(Finding(subject_of(event), illegal.rule, illegal.expected, illegal.got, event.at))


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
    names = ("participant", "account", "provider", "issuer")
    account = next((getattr(event, name) for name in names if hasattr(event, name)), None)
    return f"account {account}" if account else f"contract {event.contract}"


_HANDLERS: Mapping[type[Event], tuple[Callable[[Ledger, Any], None], str]] = {
    Transfer: (assets.on_transfer, "registry"),
    AssetPublished: (assets.on_published, "registry"),
    StatusSet: (assets.on_status, "registry"),
    SuccessorAnnounced: (assets.on_successor, "registry"),
    PausedSet: (assets.on_paused, "market registry"),
    AuthorityUpdated: (assets.on_authority, "market registry participants"),
    NodeSet: (participants.on_node, "participants"),
    IssuerSet: (participants.on_issuer, "participants"),
    AccreditationSet: (participants.on_accredited, "participants"),
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
    JobDisputed: (disputes.on_disputed, "market"),
    DisputeResolved: (disputes.on_resolved, "market"),
    DisputeLapsed: (disputes.on_lapsed, "market"),
    Withdrawn: (escrow.on_withdrawn, "market"),
    BondDeposited: (escrow.on_deposited, "market"),
    UnbondingStarted: (escrow.on_unbonding, "market"),
    BondReleased: (escrow.on_released, "market"),
    BondSlashed: (escrow.on_slashed, "market"),
}
