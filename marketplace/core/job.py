"""A job: its request, its receipt, its states, its dispute, and who may move it where. Pure.

The table is the contract's own, in words; `tests/vectors/states.json` holds both to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Self

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from marketplace.core.eip712 import Struct
from marketplace.errors import IntegrityError


class State(IntEnum):
    """Market.State, by number."""

    none = 0
    open = 1
    submitted = 2
    settled = 3
    rejected = 4
    faulted = 5
    failed = 6
    expired = 7
    disputed = 8
    refunded = 9
    split = 10


END_STATES = frozenset(
    {State.settled, State.rejected, State.failed, State.expired, State.refunded, State.split}
)


class Fault(IntEnum):
    """Whose fault a failed job is, as the node signed it."""

    node = 0
    algorithm = 1
    policy = 2


class Ground(IntEnum):
    """Why a buyer disputes a job: the sealed output cannot be fetched, opens to no release, or anything else.

    The offer's verifier judges the first two, its arbiter the last.
    """

    unavailable = 0
    malformed = 1
    other = 2


class Ruling(IntEnum):
    """How a judge rules. pay: the receipt, or the fee of the fault, stands."""

    pay = 0
    refund = 1
    split = 2


class Action(StrEnum):
    """A call of Market that moves a job; a fault is part of the name, for its money differs."""

    open_job = "openJob"
    submit = "submit"
    accept = "accept"
    finalise = "finalise"
    reject = "reject"
    fail_node = "fail:node"
    fail_algorithm = "fail:algorithm"
    fail_policy = "fail:policy"
    expire = "expire"
    dispute = "dispute"
    resolve_pay = "resolve:pay"
    resolve_refund = "resolve:refund"
    resolve_split = "resolve:split"

    @classmethod
    def of_ruling(cls, ruling: Ruling) -> Action:
        return cls(f"resolve:{ruling.name}")


class Role(StrEnum):
    """Who sends the transaction. judge: of the dispute, named by the offer."""

    buyer = "buyer"
    node = "node"
    judge = "judge"
    anyone = "anyone"


@dataclass(frozen=True)
class Dispute:
    """Market.disputeOf(jobId). faulted: it is about the fee of a fault, not about a receipt."""

    buyer: str
    ground: Ground
    faulted: bool

    @classmethod
    def from_tuple(cls, values: tuple[Any, ...]) -> Self:
        """From what a view returned. Raises IntegrityError for a ground that the contract does not have."""
        try:
            ground = Ground(values[1])
        except ValueError:
            raise IntegrityError(
                "a dispute is on no known ground",
                got=values[1],
                expected="0 to 2",
                do="Use another endpoint.",
            ) from None
        return cls(str(values[0]), ground, bool(values[2]))


@dataclass(frozen=True)
class Move:
    """One allowed step. late: only after `until` (True), only up to it (False), or whenever (None).

    of_fault, of_unavailable: where it leads instead, if the dispute is about a fault or on that ground.
    """

    roles: frozenset[Role]
    late: bool | None
    to: State
    of_fault: State | None = None
    of_unavailable: State | None = None

    def end(self, dispute: Dispute | None) -> State:
        """Where it leads for a job with this dispute; None: it never was disputed."""
        if dispute and dispute.faulted and self.of_fault:
            return self.of_fault
        if dispute and dispute.ground is Ground.unavailable and self.of_unavailable:
            return self.of_unavailable
        return self.to


_ALL = frozenset(Role)
_BUYER = frozenset({Role.buyer})
_NODE = frozenset({Role.node})
_JUDGE = frozenset({Role.judge})

TRANSITIONS: Mapping[tuple[State, Action], Move] = {
    (State.none, Action.open_job): Move(_BUYER, None, State.open),
    (State.open, Action.submit): Move(_ALL, False, State.submitted),
    (State.open, Action.reject): Move(_NODE, False, State.rejected),
    (State.open, Action.fail_node): Move(_NODE, False, State.failed),
    (State.open, Action.fail_algorithm): Move(_NODE, False, State.faulted),
    (State.open, Action.fail_policy): Move(_NODE, False, State.faulted),
    (State.open, Action.expire): Move(_ALL, True, State.expired),
    (State.submitted, Action.accept): Move(_BUYER, None, State.settled),
    (State.submitted, Action.finalise): Move(_ALL, True, State.settled),
    (State.submitted, Action.dispute): Move(_BUYER, False, State.disputed),
    (State.faulted, Action.finalise): Move(_ALL, True, State.failed),
    (State.faulted, Action.dispute): Move(_BUYER, False, State.disputed),
    (State.disputed, Action.resolve_pay): Move(_JUDGE, False, State.settled, of_fault=State.failed),
    (State.disputed, Action.resolve_refund): Move(_JUDGE, False, State.refunded),
    (State.disputed, Action.resolve_split): Move(_JUDGE, False, State.split),
    (State.disputed, Action.finalise): Move(
        _ALL, True, State.settled, of_fault=State.failed, of_unavailable=State.refunded
    ),
}


@dataclass(frozen=True)
class Request(Struct):
    """What a buyer asks of a node. Its hash is the job's id, so a receipt fits no other request."""

    offer_digest: bytes
    buyer: str
    index: int
    algorithm: bytes
    spec: bytes

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("offerDigest", "bytes32"),
        ("buyer", "address"),
        ("index", "uint16"),
        ("algorithm", "bytes32"),
        ("spec", "bytes32"),
    )

    @property
    def job_id(self) -> bytes:
        """keccak256(abi.encode(request)), 32 bytes."""
        return keccak(encode([kind for _, kind in self.TYPES], self.to_tuple()))


@dataclass(frozen=True)
class Receipt(Struct):
    """What the node claims it ran, signed by its current hot key.

    input_root, output_digest: SHA-256 of the headers of the sealed data and the sealed output.
    key_digest: keccak256 of the wrapped key. environment_digest: SHA-256 of the sorted `name==version` list.
    isolation: bits of what the sandbox reached. started_at, finished_at: Unix seconds.
    """

    job_id: bytes
    input_root: bytes
    output_digest: bytes
    key_digest: bytes
    environment_digest: bytes
    isolation: int
    started_at: int
    finished_at: int

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("jobId", "bytes32"),
        ("inputRoot", "bytes32"),
        ("outputDigest", "bytes32"),
        ("keyDigest", "bytes32"),
        ("environmentDigest", "bytes32"),
        ("isolation", "uint8"),
        ("startedAt", "uint40"),
        ("finishedAt", "uint40"),
    )


@dataclass(frozen=True)
class Progress(Struct):
    """How far a job is, signed by the node's hot key: live only, never on chain.

    sequence: rises with each report. stage: a short word. done, of: steps, 0 and 0 where unknown.
    position: of a job that waits for the sandbox, 1 is next; else 0. seconds: until its answer, an estimate of its
    node, 0 where unknown.
    """

    job_id: bytes
    sequence: int
    stage: str
    done: int
    of: int
    position: int = 0
    seconds: int = 0

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("jobId", "bytes32"),
        ("sequence", "uint48"),
        ("stage", "string"),
        ("done", "uint32"),
        ("of", "uint32"),
        ("position", "uint32"),
        ("seconds", "uint32"),
    )


@dataclass(frozen=True)
class Grant:
    """Market.grants[offerDigest][buyer]. price: token units per use; last_day: days since 1970, 0 = ended."""

    provider: str
    price: int
    jobs_paid: int
    jobs_opened: int
    last_day: int

    @classmethod
    def from_tuple(cls, values: tuple[Any, ...]) -> Self:
        return cls(str(values[0]), *(int(value) for value in values[1:5]))

    def unused(self) -> int:
        return self.jobs_paid - self.jobs_opened


@dataclass(frozen=True)
class Job:
    """Market.jobs[jobId]. price: after a fault of algorithm or policy, the fee.

    until: Unix seconds, the deadline of the node or the judge, or the end of the window.
    """

    provider: str
    price: int
    state: State
    until: int
    receipt: bytes

    @classmethod
    def from_tuple(cls, values: tuple[Any, ...]) -> Self:
        """From what a view returned. Raises IntegrityError for a state that the contract does not have."""
        try:
            state = State(values[2])
        except ValueError:
            raise IntegrityError(
                "a job is in no known state", got=values[2], expected="0 to 10", do="Use another endpoint."
            ) from None
        return cls(str(values[0]), int(values[1]), state, int(values[3]), bytes(values[4]))
