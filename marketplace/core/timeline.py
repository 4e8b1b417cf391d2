"""What happened to one asset or one job, in the order of the chain. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from marketplace.core.eip712 import Struct
from marketplace.core.events import (
    AccessBought,
    ApprovalAnnounced,
    BondSlashed,
    CreditsMinted,
    Event,
    JobOpened,
    OfferAnnounced,
    UnusedClaimed,
)
from marketplace.core.ledger import show
from marketplace.core.scope import Subject


@dataclass(frozen=True)
class Entry:
    """One event as people read it. time: Unix seconds. details: the event's fields, as text or numbers."""

    block: int
    index: int
    time: int
    transaction: str
    event: str
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def timeline(events: Iterable[Event], subject: Subject) -> list[Event]:
    """The events that are about the subject; empty where there is no such thing.

    Of an asset: its publication, owners, statuses, offers, grants, jobs, and the models that they made. Of a job: its
    purchase, its approvals, its own steps, what it took from a bond, and its model.
    """
    ordered = sorted(events, key=lambda event: (event.at.block, event.at.index))
    if subject is None:
        return ordered
    names = (
        _Names.of_job(ordered, subject) if isinstance(subject, bytes) else _Names.of_asset(ordered, subject)
    )
    # A slash comes right before the event of the job that it is for.
    following = [*ordered[1:], None]
    return [
        event
        for event, after in zip(ordered, following, strict=True)
        if names.fit(after if isinstance(event, BondSlashed) else event)
    ]


def entry(event: Event, times: Mapping[int, int]) -> Entry:
    """An event in words. times: Unix seconds by block."""
    details = {
        field.name: _plain(getattr(event, field.name))
        for field in fields(event)
        if field.name not in ("at", "contract")
    }
    at = event.at
    return Entry(
        at.block, at.index, times[at.block], "0x" + at.transaction.hex(), type(event).__name__, details
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return value.to_json()
    return value if isinstance(value, bool) or (isinstance(value, int) and value < 1 << 53) else show(value)


@dataclass(frozen=True)
class _Names:
    """The names by which events are about a subject.

    assets: the asset and its models, or a job's model. data: the assets whose approvals count, and, of a job, only
    those about `subjects`. offers: digests; of a job, only what its buyer did under them.
    """

    assets: frozenset[int]
    jobs: frozenset[bytes]
    offers: frozenset[bytes]
    data: frozenset[int]
    buyer: str | None = None
    subjects: frozenset[bytes] | None = None

    @classmethod
    def of_asset(cls, events: list[Event], asset: int) -> _Names:
        offers = {e.offer_digest for e in events if isinstance(e, AccessBought) and e.asset_id == asset}
        jobs = {e.job_id for e in events if isinstance(e, JobOpened) and e.offer_digest in offers}
        jobs |= {e.job_id for e in events if isinstance(e, CreditsMinted) and e.model_id == asset}
        models = {e.model_id for e in events if isinstance(e, CreditsMinted) and e.job_id in jobs}
        return cls(frozenset({asset, *models}), frozenset(jobs), frozenset(offers), frozenset({asset}))

    @classmethod
    def of_job(cls, events: list[Event], job: bytes) -> _Names:
        opened = next((e for e in events if isinstance(e, JobOpened) and e.job_id == job), None)
        if opened is None:
            nothing: frozenset[Any] = frozenset()
            return cls(nothing, nothing, nothing, nothing)
        offer = opened.offer_digest
        data = {e.asset_id for e in events if isinstance(e, AccessBought) and e.offer_digest == offer}
        models = {e.model_id for e in events if isinstance(e, CreditsMinted) and e.job_id == job}
        return cls(
            frozenset(models),
            frozenset({job}),
            frozenset({offer}),
            frozenset(data),
            opened.buyer,
            frozenset({job, opened.algorithm}),
        )

    def fit(self, event: Event | None) -> bool:
        if isinstance(event, ApprovalAnnounced):
            return event.asset_id in self.data and (self.subjects is None or event.subject in self.subjects)
        if isinstance(event, AccessBought | UnusedClaimed):
            return event.offer_digest in self.offers and self.buyer in (None, event.buyer)
        if isinstance(event, OfferAnnounced):
            return event.offer_digest in self.offers or event.asset_id in self.assets
        job_id = getattr(event, "job_id", None)
        return job_id in self.jobs or getattr(event, "asset_id", None) in self.assets
