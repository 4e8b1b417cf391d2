"""Rows of the catalogue as the types that the hub answers with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from marketplace.catalogue import lists
from marketplace.catalogue.record import from_row, to_json
from marketplace.catalogue.rows import (
    Asset,
    Bond,
    Credit,
    EventRow,
    Grant,
    Job,
    Listing,
    Node,
    Participant,
    ReceiptRow,
)
from marketplace.catalogue.schema import TABLES, fetch, get
from marketplace.catalogue.search import Hit, OfferView
from marketplace.core.ids import Did, Status, kind_of
from marketplace.core.job import Fault, Ground, Progress, State
from marketplace.core.policy import reason_code
from marketplace.wire import assets, events, trade

STATES = {
    "JobOpened": State.open,
    "ReceiptSubmitted": State.submitted,
    "JobSettled": State.settled,
    "JobRejected": State.rejected,
    "JobFaulted": State.faulted,
    "JobFailed": State.failed,
    "JobExpired": State.expired,
    "JobDisputed": State.disputed,
}
"""The state that an event leaves its job in."""

_ENDS_OF_DISPUTES = ("DisputeResolved", "DisputeLapsed")
"""They end a job in the state in which it stays."""

ToDid = Callable[[int], Did]


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def summary_of(asset: Asset, did: ToDid) -> assets.AssetSummary:
    """An asset without its listing."""
    return assets.AssetSummary(**_summary(asset, did))


def _summary(asset: Asset, did: ToDid) -> dict[str, Any]:
    return {
        "id": str(asset.asset_id),
        "did": str(did(asset.asset_id)),
        "kind": kind_of(asset.asset_id).name,
        "owner": asset.owner,
        "publisher": asset.publisher,
        "metadata": hexed(asset.metadata),
        "epoch": asset.epoch,
        "status": Status(asset.status).name,
        "jobs": asset.jobs,
        "block": asset.block,
    }


def asset_of(asset: Asset, listing: Listing | None, offers: list[OfferView], did: ToDid) -> assets.Asset:
    return assets.Asset(
        **_summary(asset, did), listing=listing_of(listing), offers=[offer_of(view) for view in offers]
    )


def listing_of(listing: Listing | None) -> assets.Listing:
    """A listing; status `unread` until somebody has looked."""
    if listing is None:
        return assets.Listing(status="unread", reason="", document=None)
    return assets.Listing.model_validate(
        {
            "status": listing.status,
            "reason": listing.reason,
            "slug": listing.slug,
            "name": listing.name,
            "description": listing.description,
            "rows": listing.rows,
            "purposes": listing.purposes.split(),
            "document": json.loads(listing.document) if listing.document else None,
        }
    )


def hit_of(hit: Hit, did: ToDid) -> assets.Hit:
    """A result; its document is left to /assets/{asset}."""
    listing = hit.listing
    return assets.Hit(
        **_summary(hit.asset, did),
        slug=listing.slug,
        name=listing.name,
        description=listing.description,
        rows=listing.rows,
        purposes=listing.purposes.split(),
        price=hit.price,
        offers=hit.offers,
    )


def model_of(connection: Connection, asset: Asset, did: ToDid) -> assets.Model:
    """A model with its job and credits."""
    listing, credits = get(connection, Listing, asset.asset_id), lists.credits_of(connection, asset.asset_id)
    return assets.Model(
        **_summary(asset, did),
        name=listing.name if listing and listing.name else None,
        job_id=hexed(credits[0].job_id) if credits else None,
        credits=[assets.CreditShare(account=row.account, units=str(row.units)) for row in credits],
    )


def offer_of(view: OfferView) -> assets.Offer:
    """An announced offer, and what it is worth."""
    row = view.offer
    value = json.loads(row.text) if row.text else {"offer": None, "signature": None}
    return assets.Offer.model_validate(
        {
            "digest": hexed(row.offer_digest),
            "document": hexed(row.document),
            "asset_id": str(row.asset_id),
            "standing": view.standing.value,
            "reason": row.reason,
            "signer": row.signer if row.text else None,
            **value,
        }
    )


def grant_of(grant: Grant) -> trade.Grant:
    return trade.Grant(
        offer_digest=hexed(grant.offer_digest),
        buyer=grant.buyer,
        provider=grant.provider,
        asset_id=str(grant.asset_id),
        price=grant.price,
        jobs_paid=grant.jobs_paid,
        jobs_opened=grant.jobs_opened,
        last_day=grant.last_day,
    )


def job_summary_of(job: Job) -> trade.JobSummary:
    """A job without its history."""
    return trade.JobSummary.model_validate(_job(job))


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": hexed(job.job_id),
        "state": job.phase.name,
        "provider": job.provider,
        "buyer": job.buyer,
        "offer_digest": hexed(job.offer_digest),
        "asset_id": str(job.asset_id),
        "index": job.index,
        "algorithm": hexed(job.algorithm),
        "spec": hexed(job.spec),
        "held": job.price,
        "until": job.until,
        "fault": None if job.fault is None else Fault(job.fault).name,
        "reason": reason_code(job.note) if job.phase is State.rejected else None,
        "report": hexed(job.note) if job.fault is not None else None,
        "disputed": None if job.ground is None else Ground(job.ground).name,
        "credited": {"provider": job.credited_provider, "buyer": job.credited_buyer},
    }


def job_of(connection: Connection, job: Job) -> trade.Job:
    """A job with its history, receipt and model; without live progress."""
    credits = TABLES[Credit]
    minted = fetch(connection, Credit, select(credits).where(credits.c.job_id == job.job_id).limit(1))
    return trade.Job.model_validate(
        {
            **_job(job),
            "receipt": _receipt_of(get(connection, ReceiptRow, job.job_id)),
            "model": str(minted[0].model_id) if minted else None,
            "history": _history(connection, job),
        }
    )


def _history(connection: Connection, job: Job) -> list[trade.Step]:
    log = TABLES[EventRow]
    query = select(log).where(log.c.job_id == job.job_id).order_by(log.c.block, log.c.log_index)
    states = {name: state.name for name, state in STATES.items()} | dict.fromkeys(
        _ENDS_OF_DISPUTES, job.phase.name
    )
    return [
        trade.Step.model_validate(
            {
                "id": str(lists.id_of(row)),
                "event": row.name,
                "state": states.get(row.name),
                "block": row.block,
                "block_hash": hexed(row.block_hash),
                "transaction": hexed(row.transaction),
                "data": to_json(from_row(row)),
            }
        )
        for row in fetch(connection, EventRow, query)
    ]


def _receipt_of(receipt: ReceiptRow | None) -> trade.Receipt | None:
    if receipt is None:
        return None
    values = {name: getattr(receipt, name) for name in receipt.__dataclass_fields__}
    return trade.Receipt.model_validate(
        {name: hexed(value) if isinstance(value, bytes) else value for name, value in values.items()}
    )


def progress_of(progress: Progress | None) -> trade.Progress | None:
    return None if progress is None else trade.Progress.model_validate(progress.to_json())


def participant_of(connection: Connection, row: Participant) -> trade.Participant:
    """An account's totals, its node and its bond."""
    node, bond = get(connection, Node, row.account), get(connection, Bond, row.account)
    return trade.Participant(
        account=row.account,
        spent=str(row.spent),
        earned=str(row.earned),
        refunded=str(row.refunded),
        withdrawn=str(row.withdrawn),
        owed=str(row.owed),
        jobs_bought=row.jobs_bought,
        jobs_run=row.jobs_run,
        node=node.node if node else None,
        isolation=node.isolation if node else None,
        staked=str(bond.staked if bond else 0),
    )


def event_of(row: EventRow) -> events.MarketEvent:
    return events.MarketEvent(
        id=str(lists.id_of(row)),
        event=row.name,
        contract=row.contract,
        block=row.block,
        log_index=row.log_index,
        block_hash=hexed(row.block_hash),
        transaction=hexed(row.transaction),
        job_id=None if row.job_id is None else hexed(row.job_id),
        data=to_json(from_row(row)),
    )
