"""What the contracts say happened, as types. Pure; `marketplace.chain.events` decodes raw logs into these.

Fields stand in the order of the Solidity event, in snake case; bytes32 are 32 bytes, addresses checksummed.
"""

from __future__ import annotations

from dataclasses import dataclass

from marketplace.core.job import Receipt


@dataclass(frozen=True, order=True)
class Position:
    """Where a log stands. transaction and block_hash are 32 bytes; index is the log's index in its block."""

    block: int
    index: int
    block_hash: bytes
    transaction: bytes


@dataclass(frozen=True)
class Event:
    """Base of all events. `at` is where it stands on chain, `contract` who emitted it (checksummed)."""

    at: Position
    contract: str


@dataclass(frozen=True)
class Transfer(Event):
    """AssetRegistry (ERC-721): an asset changed hands; `sender` is zero when it was published."""

    sender: str
    recipient: str
    asset_id: int


@dataclass(frozen=True)
class AssetPublished(Event):
    asset_id: int
    owner: str
    metadata: bytes


@dataclass(frozen=True)
class StatusSet(Event):
    asset_id: int
    status: int


@dataclass(frozen=True)
class SuccessorAnnounced(Event):
    successor: str


@dataclass(frozen=True)
class NodeSet(Event):
    participant: str
    node: str
    sealing_key: bytes
    epoch: int
    isolation: int


@dataclass(frozen=True)
class IssuerSet(Event):
    role: bytes
    issuer: str
    trusted: bool


@dataclass(frozen=True)
class AccreditationSet(Event):
    account: str
    role: bytes
    issuer: str
    valid_until: int


@dataclass(frozen=True)
class OfferAnnounced(Event):
    asset_id: int
    offer_digest: bytes
    document: bytes
    by: str


@dataclass(frozen=True)
class ApprovalAnnounced(Event):
    asset_id: int
    subject: bytes
    document: bytes
    by: str


@dataclass(frozen=True)
class EpochRaised(Event):
    asset_id: int
    epoch: int


@dataclass(frozen=True)
class AccessBought(Event):
    offer_digest: bytes
    buyer: str
    provider: str
    asset_id: int
    price: int
    uses: int
    last_day: int


@dataclass(frozen=True)
class JobOpened(Event):
    job_id: bytes
    provider: str
    buyer: str
    offer_digest: bytes
    index: int
    algorithm: bytes
    spec: bytes
    price: int
    until: int


@dataclass(frozen=True)
class ReceiptSubmitted(Event):
    job_id: bytes
    receipt: Receipt
    signature: bytes
    wrapped_key: bytes
    until: int


@dataclass(frozen=True)
class JobSettled(Event):
    job_id: bytes
    provider: str
    amount: int


@dataclass(frozen=True)
class JobRejected(Event):
    job_id: bytes
    reason: bytes
    refund: int


@dataclass(frozen=True)
class JobFaulted(Event):
    job_id: bytes
    fault: int
    fee: int
    refund: int
    report: bytes
    until: int


@dataclass(frozen=True)
class JobFailed(Event):
    job_id: bytes
    fee: int
    refund: int
    report: bytes


@dataclass(frozen=True)
class JobExpired(Event):
    job_id: bytes
    refund: int
    penalty: int


@dataclass(frozen=True)
class JobDisputed(Event):
    job_id: bytes
    ground: int
    faulted: bool
    judge: str
    evidence: bytes
    until: int


@dataclass(frozen=True)
class DisputeResolved(Event):
    job_id: bytes
    judge: str
    ruling: int
    to_provider: int
    to_buyer: int
    to_judge: int
    reasons: bytes


@dataclass(frozen=True)
class DisputeLapsed(Event):
    job_id: bytes
    to_provider: int
    to_buyer: int


@dataclass(frozen=True)
class UnusedClaimed(Event):
    offer_digest: bytes
    buyer: str
    uses: int
    amount: int


@dataclass(frozen=True)
class Withdrawn(Event):
    account: str
    to: str
    amount: int


@dataclass(frozen=True)
class BondDeposited(Event):
    provider: str
    amount: int


@dataclass(frozen=True)
class UnbondingStarted(Event):
    provider: str
    amount: int
    leaves_at: int


@dataclass(frozen=True)
class BondReleased(Event):
    provider: str
    amount: int


@dataclass(frozen=True)
class BondSlashed(Event):
    """Comes right before the JobExpired or the DisputeResolved that it is for, in one transaction."""

    provider: str
    from_staked: int
    from_leaving: int


@dataclass(frozen=True)
class PausedSet(Event):
    paused: bool


@dataclass(frozen=True)
class AuthorityUpdated(Event):
    """Who may pause, trust issuers and announce a successor; from Market and both registries."""

    authority: str


@dataclass(frozen=True)
class CreditsMinted(Event):
    model_id: int
    job_id: bytes
    account: str
    units: int


ASSET_REGISTRY_EVENTS: tuple[type[Event], ...] = (
    Transfer,
    AssetPublished,
    StatusSet,
    PausedSet,
    SuccessorAnnounced,
    AuthorityUpdated,
)
PARTICIPANT_EVENTS: tuple[type[Event], ...] = (NodeSet, IssuerSet, AccreditationSet, AuthorityUpdated)
CREDIT_EVENTS: tuple[type[Event], ...] = (CreditsMinted,)
MARKET_EVENTS: tuple[type[Event], ...] = (
    OfferAnnounced,
    ApprovalAnnounced,
    EpochRaised,
    AccessBought,
    JobOpened,
    ReceiptSubmitted,
    JobSettled,
    JobRejected,
    JobFaulted,
    JobFailed,
    JobExpired,
    JobDisputed,
    DisputeResolved,
    DisputeLapsed,
    UnusedClaimed,
    Withdrawn,
    BondDeposited,
    UnbondingStarted,
    BondReleased,
    BondSlashed,
    PausedSet,
    AuthorityUpdated,
)
