"""What the contracts hold, rebuilt from their events: the types, and the invariants in words. Pure.

`marketplace.core.replay` fills a Ledger; nothing else writes to one. Amounts are units of the Market's token.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, Domain
from marketplace.core.events import (
    AccessBought,
    ApprovalAnnounced,
    AssetPublished,
    Event,
    JobFailed,
    JobFaulted,
    OfferAnnounced,
    Position,
    ReceiptSubmitted,
)
from marketplace.core.job import END_STATES, Grant, Job, Request

T = TypeVar("T")
GrantKey = tuple[bytes, str]
"""Offer digest, buyer: the key is the agreement."""

UNITS = 1_000_000
"""Credits of one model."""


@dataclass(frozen=True)
class Rules:
    """What a deployment fixes for ever. window, job_time: seconds. Addresses are checksummed."""

    chain_id: int
    market: str
    registry: str
    participants: str
    credits: str
    window: int
    job_time: int

    @property
    def domain(self) -> Domain:
        return Domain(self.chain_id, self.market)


@dataclass(frozen=True)
class Finding:
    """One thing that cannot be: a step that the contracts do not allow, or an invariant that does not hold."""

    subject: str
    rule: str
    expected: str
    got: str
    at: Position | None = None


class History(Generic[T]):
    """A value over time: what it is now, and what it was right after any log."""

    def __init__(self, start: T) -> None:
        self._start = start
        self._places: list[tuple[int, int]] = []
        self._values: list[T] = []

    def put(self, at: Position, value: T) -> None:
        self._places.append((at.block, at.index))
        self._values.append(value)

    def now(self) -> T:
        return self._values[-1] if self._values else self._start

    def at(self, position: Position) -> T:
        """The value right after the log at `position`."""
        count = bisect_right(self._places, (position.block, position.index))
        return self._values[count - 1] if count else self._start


@dataclass(frozen=True)
class Node:
    """A participant's entry in ParticipantRegistry. epoch: how many sealing keys there were."""

    account: str = ZERO_ADDRESS
    sealing_key: bytes = ZERO_BYTES32
    epoch: int = 0


@dataclass
class GrantRecord:
    """A grant as stored, its asset, and every purchase that made it."""

    grant: Grant
    asset_id: int
    purchases: list[AccessBought] = field(default_factory=list)


@dataclass
class JobRecord:
    """A job as stored, and what its events say beyond that.

    paid: what was held when it opened; to_provider, to_buyer: what was credited since.
    """

    job: Job
    request: Request
    asset_id: int
    opened: Position
    paid: int
    to_provider: int = 0
    to_buyer: int = 0
    receipt: ReceiptSubmitted | None = None
    fault: JobFaulted | None = None
    failed: JobFailed | None = None
    model: int | None = None

    @property
    def grant_key(self) -> GrantKey:
        return self.request.offer_digest, self.request.buyer

    def held(self) -> int:
        """What the Market still holds for it."""
        return 0 if self.job.state in END_STATES else self.job.price


@dataclass
class Ledger:
    """The whole state of the four contracts after the last event, and what was found wrong on the way.

    times: Unix seconds of every block that holds an event. paid_in, withdrawn: all tokens that went in and out.
    models: the job that each model came from. units: credits by model, then account. paused: by contract.
    terms: the asset, provider and price that an offer's digest fixes. due: the event, its asset and its transaction
    that must come next, for a publication is several events.
    """

    rules: Rules
    times: Mapping[int, int]
    owners: dict[int, History[str]] = field(default_factory=dict)
    published: dict[int, AssetPublished] = field(default_factory=dict)
    epochs: dict[int, History[int]] = field(default_factory=dict)
    nodes: dict[str, History[Node]] = field(default_factory=dict)
    grants: dict[GrantKey, GrantRecord] = field(default_factory=dict)
    jobs: dict[bytes, JobRecord] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)
    units: dict[int, dict[str, int]] = field(default_factory=dict)
    models: dict[int, bytes] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)
    offers: dict[bytes, list[OfferAnnounced]] = field(default_factory=dict)
    approvals: dict[bytes, list[ApprovalAnnounced]] = field(default_factory=dict)
    terms: dict[bytes, tuple[int, str, int]] = field(default_factory=dict)
    due: tuple[type[Event], int, bytes] | None = None
    paid_in: int = 0
    withdrawn: int = 0
    findings: list[Finding] = field(default_factory=list)

    def is_paused(self, contract: str) -> bool:
        return self.paused.get(contract, False)

    def credit(self, account: str, amount: int) -> None:
        """Adds to what the Market owes an account."""
        self.balances[account] = self.balances.get(account, 0) + amount

    def owner_at(self, asset_id: int, position: Position) -> str:
        """Who owned the asset right after that log; the zero address if nobody."""
        history = self.owners.get(asset_id)
        return history.at(position) if history else ZERO_ADDRESS

    def epoch_at(self, asset_id: int, position: Position) -> int:
        history = self.epochs.get(asset_id)
        return history.at(position) if history else 0

    def node_at(self, participant: str, position: Position) -> Node:
        history = self.nodes.get(participant)
        return history.at(position) if history else Node()

    def time_of(self, position: Position) -> int:
        """Unix seconds of the block that holds it."""
        return self.times[position.block]

    def owed(self) -> int:
        """What the Market must hold: balances, the price of every running job, every unused use."""
        unused = sum(record.grant.unused() * record.grant.price for record in self.grants.values())
        running = sum(record.held() for record in self.jobs.values())
        return sum(self.balances.values()) + running + unused


def show(value: object) -> str:
    """A value as findings print it: bytes in hex, anything else as text, at most 500 characters."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(show, value))})"[:500]
    return ("0x" + value.hex() if isinstance(value, bytes) else str(value))[:500]


def grant_text(key: GrantKey) -> str:
    return f"grant 0x{key[0].hex()} of {key[1]}"


def job_text(job_id: bytes) -> str:
    return f"job 0x{job_id.hex()}"


def asset_text(asset_id: int) -> str:
    return f"asset {asset_id}"


def _job_money(ledger: Ledger) -> Iterator[Finding]:
    for job_id, record in ledger.jobs.items():
        credited = record.to_provider + record.to_buyer
        if credited + record.held() != record.paid:
            yield Finding(
                job_text(job_id),
                JOB_MONEY,
                f"{record.paid} in all",
                f"{record.to_provider} to the provider, {record.to_buyer} to the buyer, {record.held()} held",
            )


def _grant_uses(ledger: Ledger) -> Iterator[Finding]:
    for key, record in ledger.grants.items():
        grant = record.grant
        if not 0 <= grant.jobs_opened <= grant.jobs_paid:
            yield Finding(
                grant_text(key), GRANT_USES, f"at most {grant.jobs_paid} opened", str(grant.jobs_opened)
            )


def _conservation(ledger: Ledger) -> Iterator[Finding]:
    left = ledger.paid_in - ledger.withdrawn
    if left != ledger.owed():
        yield Finding(f"contract {ledger.rules.market}", CONSERVATION, str(left), str(ledger.owed()))


def _balances(ledger: Ledger) -> Iterator[Finding]:
    for account, amount in ledger.balances.items():
        if amount < 0:
            yield Finding(f"account {account}", BALANCES, "0 or more", str(amount))


JOB_MONEY = "a job credits provider and buyer together never more than its price, and all of it at its end"
GRANT_USES = "a grant opens no more jobs than were paid"
CONSERVATION = "what was paid in less what was withdrawn is what is owed"
BALANCES = "nobody is owed less than nothing"

INVARIANTS: Mapping[str, Callable[[Ledger], Iterator[Finding]]] = {
    JOB_MONEY: _job_money,
    GRANT_USES: _grant_uses,
    CONSERVATION: _conservation,
    BALANCES: _balances,
}
