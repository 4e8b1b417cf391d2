"""Rows of the catalogue as the JSON that the hub answers with.

Digests are 0x-hex, token ids and other uint256 decimal text, amounts integers in token units, times Unix seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from marketplace.catalogue.record import from_row, to_json
from marketplace.catalogue.rows import Asset, Credit, EventRow, Grant, Job, Listing, ReceiptRow
from marketplace.catalogue.schema import TABLES, fetch, get
from marketplace.catalogue.search import Hit, OfferView, Page
from marketplace.core.ids import Did, Status, kind_of
from marketplace.core.job import Fault, Ground, Progress, State
from marketplace.core.policy import reason_code

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

_SHOWN = ("slug", "name", "description", "rows", "content", "purposes")
_ENDS_OF_DISPUTES = ("DisputeResolved", "DisputeLapsed")
"""They end a job in the state in which it stays."""


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def asset_json(asset: Asset, did: Callable[[int], Did]) -> dict[str, Any]:
    """An asset without its listing."""
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


def listing_json(listing: Listing | None) -> dict[str, Any]:
    """A listing; status `unread` until somebody has looked."""
    if listing is None:
        return {"status": "unread", "reason": "", "document": None}
    document = json.loads(listing.document) if listing.document else None
    return {
        "status": listing.status,
        "reason": listing.reason,
        "slug": listing.slug,
        "name": listing.name,
        "description": listing.description,
        "rows": listing.rows,
        "content": _content(document),
        "purposes": listing.purposes.split(),
        "document": document,
    }


def _content(document: Any) -> str | None:
    """table, images or files; None for a model."""
    return document["distribution"][1]["@id"] if document and "distribution" in document else None


def page_json(page: Page, did: Callable[[int], Did]) -> dict[str, Any]:
    """A page of results; documents are left to /assets/{id}."""

    def one(hit: Hit) -> dict[str, Any]:
        listing = listing_json(hit.listing)
        return {
            **asset_json(hit.asset, did),
            **{name: listing[name] for name in _SHOWN},
            "price": hit.price,
            "offers": hit.offers,
        }

    return {"assets": [one(hit) for hit in page.hits], "next": str(page.next) if page.next else None}


def offer_json(view: OfferView) -> dict[str, Any]:
    """An announced offer, and what it is worth."""
    row = view.offer
    value = json.loads(row.text) if row.text else {"offer": None, "signature": None}
    return {
        "digest": hexed(row.offer_digest),
        "document": hexed(row.document),
        "asset_id": str(row.asset_id),
        "standing": view.standing,
        "reason": row.reason,
        "signer": row.signer if row.text else None,
        **value,
    }


def grant_json(grant: Grant) -> dict[str, Any]:
    return {
        "offer_digest": hexed(grant.offer_digest),
        "buyer": grant.buyer,
        "provider": grant.provider,
        "asset_id": str(grant.asset_id),
        "price": grant.price,
        "jobs_paid": grant.jobs_paid,
        "jobs_opened": grant.jobs_opened,
        "last_day": grant.last_day,
    }


def job_json(connection: Connection, job: Job) -> dict[str, Any]:
    """A job with its history, receipt and model; without live progress."""
    credits = TABLES[Credit]
    query = select(credits).where(credits.c.job_id == job.job_id).limit(1)
    minted = fetch(connection, Credit, query)
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
        "receipt": _receipt_json(get(connection, ReceiptRow, job.job_id)),
        "model": str(minted[0].model_id) if minted else None,
        "history": _history(connection, job),
    }


def _history(connection: Connection, job: Job) -> list[dict[str, Any]]:
    log = TABLES[EventRow]
    query = select(log).where(log.c.job_id == job.job_id).order_by(log.c.block, log.c.log_index)
    states = {name: state.name for name, state in STATES.items()} | dict.fromkeys(
        _ENDS_OF_DISPUTES, job.phase.name
    )
    return [
        {
            "event": row.name,
            "state": states.get(row.name),
            "block": row.block,
            "block_hash": hexed(row.block_hash),
            "transaction": hexed(row.transaction),
            "data": to_json(from_row(row)),
        }
        for row in fetch(connection, EventRow, query)
    ]


def _receipt_json(receipt: ReceiptRow | None) -> dict[str, Any] | None:
    if receipt is None:
        return None
    values = {name: getattr(receipt, name) for name in receipt.__dataclass_fields__}
    return {name: hexed(value) if isinstance(value, bytes) else value for name, value in values.items()}


def progress_json(progress: Progress | None) -> dict[str, Any] | None:
    return None if progress is None else progress.to_json()
