"""What each event changes in the read model. Pure: the same events in the same order give the same rows.

An event about something unknown (an asset, grant or job that no earlier event made) changes nothing: the contracts
cannot emit one, and a catalogue must not stop because somebody's chain did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from marketplace.catalogue import fold_disputes  # noqa: F401  # its steps join those of this file
from marketplace.catalogue.rows import Announcement, Asset, Credit, Grant, Job, Pause, ReceiptRow
from marketplace.catalogue.tables import Tables, add, apply, end
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.events import (
    AccessBought,
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
    OfferAnnounced,
    PausedSet,
    ReceiptSubmitted,
    Transfer,
    UnusedClaimed,
    Withdrawn,
)
from marketplace.core.job import Fault, State

__all__ = ["Tables", "apply", "fold"]


def fold(tables: Tables, events: Iterable[Event]) -> Tables:
    """Applies the events in the order of the chain."""
    for event in events:
        apply(event, tables)
    return tables


@apply.register
def _(event: AssetPublished, tables: Tables) -> None:
    if tables.get(Asset, event.asset_id) is None:
        tables.put(
            Asset(
                asset_id=event.asset_id,
                kind=event.asset_id >> 248,
                owner=event.owner,
                publisher=event.owner,
                metadata=event.metadata,
                epoch=0,
                status=0,
                jobs=0,
                block=event.at.block,
                log_index=event.at.index,
            )
        )


@apply.register
def _(event: Transfer, tables: Tables) -> None:
    # A mint stands beside its AssetPublished, which names the owner.
    asset = tables.get(Asset, event.asset_id)
    if asset and event.sender != ZERO_ADDRESS:
        tables.put(replace(asset, owner=event.recipient))


@apply.register
def _(event: EpochRaised, tables: Tables) -> None:
    if asset := tables.get(Asset, event.asset_id):
        tables.put(replace(asset, epoch=event.epoch))


@apply.register
def _(event: OfferAnnounced, tables: Tables) -> None:
    if tables.get(Announcement, event.offer_digest, event.document, event.asset_id) is None:
        tables.put(
            Announcement(
                offer_digest=event.offer_digest,
                document=event.document,
                asset_id=event.asset_id,
                by=event.by,
                block=event.at.block,
                log_index=event.at.index,
            )
        )


@apply.register
def _(event: AccessBought, tables: Tables) -> None:
    grant = tables.get(Grant, event.offer_digest, event.buyer)
    tables.put(
        Grant(
            offer_digest=event.offer_digest,
            buyer=event.buyer,
            provider=event.provider,
            asset_id=event.asset_id,
            price=event.price,
            jobs_paid=(grant.jobs_paid if grant else 0) + event.uses,
            jobs_opened=grant.jobs_opened if grant else 0,
            last_day=event.last_day,
        )
    )
    add(tables, event.buyer, spent=event.price * event.uses)


@apply.register
def _(event: UnusedClaimed, tables: Tables) -> None:
    if grant := tables.get(Grant, event.offer_digest, event.buyer):
        tables.put(replace(grant, jobs_paid=grant.jobs_opened))
        add(tables, event.buyer, refunded=event.amount)


@apply.register
def _(event: JobOpened, tables: Tables) -> None:
    grant = tables.get(Grant, event.offer_digest, event.buyer)
    if grant is None or tables.get(Job, event.job_id) is not None:
        return
    tables.put(replace(grant, jobs_opened=event.index + 1))
    tables.put(
        Job(
            job_id=event.job_id,
            provider=event.provider,
            buyer=event.buyer,
            offer_digest=event.offer_digest,
            asset_id=grant.asset_id,
            index=event.index,
            algorithm=event.algorithm,
            spec=event.spec,
            state=State.open.value,
            price=event.price,
            until=event.until,
            fault=None,
            ground=None,
            note=ZERO_BYTES32,
            credited_provider=0,
            credited_buyer=0,
            block=event.at.block,
            log_index=event.at.index,
        )
    )
    add(tables, event.buyer, jobs_bought=1)
    add(tables, event.provider, jobs_run=1)
    if asset := tables.get(Asset, grant.asset_id):
        tables.put(replace(asset, jobs=asset.jobs + 1))


@apply.register
def _(event: ReceiptSubmitted, tables: Tables) -> None:
    job = tables.get(Job, event.job_id)
    if job is None:
        return
    receipt = event.receipt
    tables.put(replace(job, state=State.submitted.value, until=event.until))
    tables.put(
        ReceiptRow(
            job_id=event.job_id,
            input_root=receipt.input_root,
            output_digest=receipt.output_digest,
            key_digest=receipt.key_digest,
            environment_digest=receipt.environment_digest,
            isolation=receipt.isolation,
            started_at=receipt.started_at,
            finished_at=receipt.finished_at,
            signature=event.signature,
            wrapped_key=event.wrapped_key,
        )
    )


@apply.register
def _(event: JobSettled, tables: Tables) -> None:
    end(tables, event.job_id, State.settled, to_provider=event.amount)


@apply.register
def _(event: JobRejected, tables: Tables) -> None:
    end(tables, event.job_id, State.rejected, to_buyer=event.refund, note=event.reason)


@apply.register
def _(event: JobExpired, tables: Tables) -> None:
    end(tables, event.job_id, State.expired, to_buyer=event.refund + event.penalty)


@apply.register
def _(event: JobFailed, tables: Tables) -> None:
    job = tables.get(Job, event.job_id)
    if job and job.fault is None:
        tables.put(replace(job, fault=Fault.node.value))
    end(
        tables,
        event.job_id,
        State.failed,
        to_provider=event.fee,
        to_buyer=event.refund,
        note=event.report,
    )


@apply.register
def _(event: JobFaulted, tables: Tables) -> None:
    job = tables.get(Job, event.job_id)
    if job is None:
        return
    tables.put(
        replace(
            job,
            state=State.faulted.value,
            price=event.fee,
            until=event.until,
            fault=event.fault,
            note=event.report,
            credited_buyer=job.credited_buyer + event.refund,
        )
    )
    add(tables, job.buyer, refunded=event.refund)
    grant = tables.get(Grant, job.offer_digest, job.buyer)
    if grant and event.fault == Fault.policy:
        tables.put(replace(grant, last_day=0))


@apply.register
def _(event: Withdrawn, tables: Tables) -> None:
    add(tables, event.account, withdrawn=event.amount)


@apply.register
def _(event: CreditsMinted, tables: Tables) -> None:
    tables.put(Credit(event.model_id, event.account, event.job_id, event.units))


@apply.register
def _(event: PausedSet, tables: Tables) -> None:
    tables.put(Pause(event.contract, event.paused))
