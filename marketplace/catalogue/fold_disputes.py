"""What disputes, bonds, nodes, accreditations and statuses change in the read model. Pure; part of `fold`."""

from __future__ import annotations

from dataclasses import replace

from marketplace.catalogue.rows import Accreditation, Asset, Bond, Issuer, Job, Node
from marketplace.catalogue.tables import Tables, add, apply, end
from marketplace.core.events import (
    AccreditationSet,
    BondDeposited,
    BondReleased,
    BondSlashed,
    DisputeLapsed,
    DisputeResolved,
    IssuerSet,
    JobDisputed,
    NodeSet,
    StatusSet,
    UnbondingStarted,
)
from marketplace.core.job import Ground, Ruling, State


@apply.register
def _(event: StatusSet, tables: Tables) -> None:
    if asset := tables.get(Asset, event.asset_id):
        tables.put(replace(asset, status=event.status))


@apply.register
def _(event: NodeSet, tables: Tables) -> None:
    tables.put(Node(event.participant, event.node, event.sealing_key, event.epoch, event.isolation))


@apply.register
def _(event: IssuerSet, tables: Tables) -> None:
    tables.put(Issuer(event.role, event.issuer, event.trusted))


@apply.register
def _(event: AccreditationSet, tables: Tables) -> None:
    tables.put(Accreditation(event.account, event.role, event.issuer, event.valid_until))


@apply.register
def _(event: JobDisputed, tables: Tables) -> None:
    if job := tables.get(Job, event.job_id):
        tables.put(replace(job, state=State.disputed.value, until=event.until, ground=event.ground))


@apply.register
def _(event: DisputeResolved, tables: Tables) -> None:
    ends = {Ruling.refund.value: State.refunded, Ruling.split.value: State.split}
    end(
        tables,
        event.job_id,
        ends.get(event.ruling) or _undisputed(tables, event.job_id),
        to_provider=event.to_provider,
        to_buyer=event.to_buyer,
    )
    add(tables, event.judge, earned=event.to_judge)


@apply.register
def _(event: DisputeLapsed, tables: Tables) -> None:
    # Silence pays the provider, or nobody where the output could not be fetched: then the ground was Unavailable.
    job = tables.get(Job, event.job_id)
    refunded = job is not None and job.ground == Ground.unavailable
    state = State.refunded if refunded else _undisputed(tables, event.job_id)
    end(tables, event.job_id, state, to_provider=event.to_provider, to_buyer=event.to_buyer)


def _undisputed(tables: Tables, job_id: bytes) -> State:
    """The end of a job whose receipt, or whose fault's fee, stands."""
    job = tables.get(Job, job_id)
    return State.settled if job is None or job.fault is None else State.failed


@apply.register
def _(event: BondDeposited, tables: Tables) -> None:
    _bond(tables, event.provider, staked=event.amount)


@apply.register
def _(event: UnbondingStarted, tables: Tables) -> None:
    _bond(tables, event.provider, staked=-event.amount, leaving=event.amount, leaves_at=event.leaves_at)


@apply.register
def _(event: BondSlashed, tables: Tables) -> None:
    _bond(tables, event.provider, staked=-event.from_staked, leaving=-event.from_leaving)


@apply.register
def _(event: BondReleased, tables: Tables) -> None:
    _bond(tables, event.provider, leaving=-event.amount, leaves_at=0)
    add(tables, event.provider, refunded=event.amount)


def _bond(
    tables: Tables, provider: str, *, staked: int = 0, leaving: int = 0, leaves_at: int | None = None
) -> None:
    bond = tables.get(Bond, provider) or Bond(provider, 0, 0, 0)
    until = bond.leaves_at if leaves_at is None else leaves_at
    tables.put(Bond(provider, bond.staked + staked, bond.leaving + leaving, until))
