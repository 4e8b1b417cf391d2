"""Steps of AssetRegistry and ContributionCredits: who owns what, what is for sale, whose credit a model is. Pure."""

from __future__ import annotations

from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.events import (
    AssetPublished,
    AuthorityUpdated,
    CreditsMinted,
    PausedSet,
    StatusSet,
    SuccessorAnnounced,
    Transfer,
)
from marketplace.core.ids import Kind, Status, asset_id, kind_of
from marketplace.core.job import State
from marketplace.core.ledger import UNITS, Due, History, Ledger
from marketplace.core.steps import Illegal, known_job, member, refuse, same
from marketplace.errors import InputError

# AssetRegistry


def on_transfer(ledger: Ledger, event: Transfer) -> None:
    if event.recipient == ZERO_ADDRESS:
        refuse("an asset is never burnt", "a recipient", "the zero address")
    history = ledger.owners.get(event.asset_id)
    same("an asset is moved by its owner", history.now() if history else ZERO_ADDRESS, event.sender)
    if history is None:
        _begin_publication(ledger, event)
        history = ledger.owners[event.asset_id] = History(ZERO_ADDRESS)
    history.put(event.at, event.recipient)


def _begin_publication(ledger: Ledger, event: Transfer) -> None:
    try:
        kind = kind_of(event.asset_id)
    except InputError as error:
        raise Illegal("an asset's id carries its kind", error.expected, error.got) from None
    if kind is not Kind.model:
        same("nothing is published while paused", False, ledger.is_paused(event.contract))
    ledger.due = Due((AssetPublished,), event.at.transaction, event.asset_id)


def on_published(ledger: Ledger, event: AssetPublished) -> None:
    if event.asset_id in ledger.published:
        refuse("an asset is published once", "no earlier publication", "a second one")
    history = ledger.owners.get(event.asset_id)
    same("the publisher owns the asset", history.now() if history else ZERO_ADDRESS, event.owner)
    ledger.published[event.asset_id] = event
    if kind_of(event.asset_id) is Kind.model:
        ledger.due = Due((CreditsMinted,), event.at.transaction, event.asset_id)


def on_paused(ledger: Ledger, event: PausedSet) -> None:
    ledger.paused[event.contract] = event.paused


def on_authority(ledger: Ledger, event: AuthorityUpdated) -> None:
    ledger.authorities[event.contract] = event.authority


def on_status(ledger: Ledger, event: StatusSet) -> None:
    status = member(Status, event.status, "an asset has a known status")
    if event.asset_id not in ledger.owners:
        refuse("a status is that of a published asset", "a published asset", event.asset_id)
    if ledger.status_of(event.asset_id) is Status.retired:
        refuse("a retired asset stays so", Status.retired.name, status.name)
    ledger.statuses[event.asset_id] = status


def on_successor(ledger: Ledger, event: SuccessorAnnounced) -> None:
    ledger.successor = event.successor


# ContributionCredits


def on_credits(ledger: Ledger, event: CreditsMinted) -> None:
    record = known_job(ledger, event.job_id)
    same("a model comes from a settled job", State.settled.name, record.job.state.name)
    wanted = asset_id(Kind.model, record.request.buyer, event.job_id)
    same("a model's id is that of its buyer and job", wanted, event.model_id)
    published = ledger.published.get(event.model_id)
    same("a model belongs to its buyer", record.request.buyer, published.owner if published else "nobody")
    same("a model is registered once", None, record.model)
    same("credits go to the job's provider", record.job.provider, event.account)
    same("a model has a fixed number of credits", UNITS, event.units)
    record.model = event.model_id
    ledger.models[event.model_id] = event.job_id
    ledger.units[event.model_id] = {event.account: event.units}
