"""What the contracts hold, rebuilt from their events: the types. Pure.

`marketplace.core.replay` fills a Ledger; nothing else writes to one. `marketplace.core.invariants` says what holds of
every one. Amounts are units of the Market's token.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from marketplace.core.bond import Bond
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, Accepts, Domain
from marketplace.core.events import (
    AccessBought,
    ApprovalAnnounced,
    AssetPublished,
    BondSlashed,
    DisputeResolved,
    Event,
    JobDisputed,
    JobFailed,
    JobFaulted,
    OfferAnnounced,
    Position,
    ReceiptSubmitted,
)
from marketplace.core.ids import Status
from marketplace.core.job import END_STATES, Dispute, Grant, Ground, Job, Request
from marketplace.core.limits import Limits

T = TypeVar("T")
GrantKey = tuple[bytes, str]
"""Offer digest, buyer: the key is the agreement."""

UNITS = 1_000_000
"""Credits of one model."""


@dataclass(frozen=True)
class Rules:
    """What a deployment fixes for ever. Addresses are checksummed."""

    chain_id: int
    market: str
    registry: str
    participants: str
    credits: str
    limits: Limits

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
    """A participant's entry in ParticipantRegistry. epoch: how many sealing keys there were. isolation: bits."""

    account: str = ZERO_ADDRESS
    sealing_key: bytes = ZERO_BYTES32
    epoch: int = 0
    isolation: int = 0


@dataclass(frozen=True)
class Accreditation:
    """That `issuer` vouched for an account in a role. valid_until: Unix seconds, the last one."""

    issuer: str = ZERO_ADDRESS
    valid_until: int = 0


@dataclass(frozen=True)
class Due:
    """What the next event must be, for some steps are told by several: one of `kinds`, in the same transaction.

    asset_id: of which asset, where it is about one. slash: what the next event takes from a bond.
    """

    kinds: tuple[type[Event], ...]
    transaction: bytes
    asset_id: int | None = None
    slash: BondSlashed | None = None


@dataclass
class GrantRecord:
    """A grant as stored, its asset, and every purchase that made it."""

    grant: Grant
    asset_id: int
    purchases: list[AccessBought] = field(default_factory=list)


@dataclass
class JobRecord:
    """A job as stored, and what its events say beyond that.

    paid: the price when it opened. staked: by the buyer who disputed it. slashed: for it, from the provider's bond.
    to_provider, to_buyer, to_judge: what was credited since.
    """

    job: Job
    request: Request
    asset_id: int
    opened: Position
    paid: int
    to_provider: int = 0
    to_buyer: int = 0
    staked: int = 0
    slashed: int = 0
    to_judge: int = 0
    receipt: ReceiptSubmitted | None = None
    fault: JobFaulted | None = None
    failed: JobFailed | None = None
    disputed: JobDisputed | None = None
    resolved: DisputeResolved | None = None
    model: int | None = None

    @property
    def grant_key(self) -> GrantKey:
        return self.request.offer_digest, self.request.buyer

    @property
    def dispute(self) -> Dispute | None:
        """Market.disputeOf(job); None where it was never disputed."""
        if self.disputed is None:
            return None
        return Dispute(self.request.buyer, Ground(self.disputed.ground), self.disputed.faulted)

    def put_in(self) -> int:
        """All that came in for it: price, stake and slash."""
        return self.paid + self.staked + self.slashed

    def credited(self) -> int:
        return self.to_provider + self.to_buyer + self.to_judge

    def held(self) -> int:
        """What the Market still holds for it: its price, and the stake of its dispute."""
        return 0 if self.job.state in END_STATES else self.job.price + self.staked


AcceptsAtBlock = Callable[[str, bytes, bytes, int], bool]
"""As eip712.Accepts, at a block: what nobody but the chain can say."""


def _no_contract(signer: str, digest: bytes, signature: bytes, block: int) -> bool:
    """Without a chain to ask, keys alone sign."""
    return False


@dataclass
class Ledger:
    """The whole state of the four contracts after the last event, and what was found wrong on the way.

    times: Unix seconds of every block that holds an event. paid_in, withdrawn: all tokens that went in and out.
    models: the job that each model came from. units: credits by model, then account. paused, authorities: by contract.
    statuses: of assets that were ever paused or retired. accreditations: by account and role; issuers: by role and
    issuer, whether trusted. bonded, released: all that went into bonds, and out of them to their providers.
    terms: the asset, provider and price that an offer's digest fixes. judges: who judges under an offer, by its digest
    and by whether it is the arbiter. due: what must come next. slash: what the event before announced for this one.
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
    statuses: dict[int, Status] = field(default_factory=dict)
    accreditations: dict[tuple[str, bytes], History[Accreditation]] = field(default_factory=dict)
    issuers: dict[tuple[bytes, str], History[bool]] = field(default_factory=dict)
    bonds: dict[str, Bond] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)
    authorities: dict[str, str] = field(default_factory=dict)
    successor: str = ZERO_ADDRESS
    offers: dict[bytes, list[OfferAnnounced]] = field(default_factory=dict)
    approvals: dict[bytes, list[ApprovalAnnounced]] = field(default_factory=dict)
    terms: dict[bytes, tuple[int, str, int]] = field(default_factory=dict)
    judges: dict[tuple[bytes, bool], str] = field(default_factory=dict)
    due: Due | None = None
    slash: BondSlashed | None = None
    paid_in: int = 0
    withdrawn: int = 0
    bonded: int = 0
    released: int = 0
    findings: list[Finding] = field(default_factory=list)
    contracts: AcceptsAtBlock = _no_contract

    def accepts_at(self, position: Position) -> Accepts:
        """What contracts say of signatures in the block of a log."""

        def accepts(signer: str, digest: bytes, signature: bytes) -> bool:
            return self.contracts(signer, digest, signature, position.block)

        return accepts

    def is_paused(self, contract: str) -> bool:
        return self.paused.get(contract, False)

    def status_of(self, asset_id: int) -> Status:
        return self.statuses.get(asset_id, Status.active)

    def bond_of(self, provider: str) -> Bond:
        return self.bonds.get(provider, Bond())

    def is_bonded(self, provider: str) -> bool:
        """Whether its bond lets the provider sell."""
        return self.bond_of(provider).staked >= self.rules.limits.min_bond

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

    def accredited_at(self, account: str, role: bytes, position: Position) -> bool:
        """Whether an issuer that was trusted right after that log vouched for the account in the role then."""
        history = self.accreditations.get((account, role))
        found = history.at(position) if history else Accreditation()
        issuer = self.issuers.get((role, found.issuer))
        return self.time_of(position) <= found.valid_until and bool(issuer and issuer.at(position))

    def time_of(self, position: Position) -> int:
        """Unix seconds of the block that holds it."""
        return self.times[position.block]

    def owed(self) -> int:
        """What the Market must hold: balances, bonds, price and stake of every running job, every unused use."""
        unused = sum(record.grant.unused() * record.grant.price for record in self.grants.values())
        running = sum(record.held() for record in self.jobs.values())
        bonds = sum(bond.held() for bond in self.bonds.values())
        return sum(self.balances.values()) + bonds + running + unused


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
