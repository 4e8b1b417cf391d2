"""Grants, jobs and those who trade."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from marketplace.wire.base import (
    Address,
    Block,
    Count,
    Digest,
    EventId,
    Hex,
    Next,
    Seconds,
    TokenId,
    Tokens,
    Uint256,
    Wire,
)

JobState = Literal[
    "open",
    "submitted",
    "settled",
    "rejected",
    "faulted",
    "failed",
    "expired",
    "disputed",
    "refunded",
    "split",
]


class Grant(Wire):
    """Uses that a buyer paid for under an offer."""

    offer_digest: Digest
    buyer: Address
    provider: Address
    asset_id: TokenId
    price: Tokens
    jobs_paid: Count
    jobs_opened: Count
    last_day: Annotated[
        int, Field(ge=0, description="days since 1970-01-01, inclusive; 0: it has ended", examples=[20_780])
    ]


class Grants(Wire):
    """A page of grants, in the order of their offers' digests."""

    grants: list[Grant]
    next: Next


class Receipt(Wire):
    """What the node claims and signed, with the wrapped key of the output."""

    job_id: Digest
    input_root: Digest
    output_digest: Digest
    key_digest: Digest
    environment_digest: Digest
    isolation: Annotated[int, Field(ge=0, description="bits: what the sandbox reached", examples=[7])]
    started_at: Seconds
    finished_at: Seconds
    signature: Hex
    wrapped_key: Hex


class Progress(Wire):
    """The node's last word about a running job: live only, neither proved nor kept."""

    jobId: Digest  # noqa: N815  # signed under this name
    sequence: Annotated[int, Field(ge=0, lt=2**48, description="rises with each message", examples=[1])]
    stage: Annotated[str, Field(min_length=1, max_length=64, examples=["training"])]
    done: Annotated[int, Field(ge=0, lt=2**32, description="steps", examples=[3])]
    of: Annotated[int, Field(ge=0, lt=2**32, description="steps; 0 where unknown", examples=[5])]


class PostedProgress(Wire):
    """Progress with the signature (EIP-712) of the provider's present node."""

    progress: Progress
    signature: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{130}$", examples=["0x" + "00" * 65])]


class TakenProgress(Wire):
    """Which message was taken."""

    job: Digest
    sequence: Count


class Step(Wire):
    """One event of a job. state: what it left the job in. data: the event's own fields."""

    id: EventId
    event: Annotated[str, Field(description="the contract's name for it", examples=["JobOpened"])]
    state: JobState | None
    block: Block
    block_hash: Digest
    transaction: Digest
    data: Annotated[dict[str, Any], Field(examples=[{"price": "2000000"}])]


class Credited(Wire):
    """What a job has credited so far."""

    provider: Tokens
    buyer: Tokens


class JobSummary(Wire):
    """A job as it stands. held: what is still in escrow for it; until: deadline, then end of the window."""

    id: Digest
    state: JobState
    provider: Address
    buyer: Address
    offer_digest: Digest
    asset_id: TokenId
    index: Annotated[int, Field(ge=0, description="which use of the grant", examples=[0])]
    algorithm: Digest
    spec: Digest
    held: Tokens
    until: Seconds
    fault: Annotated[Literal["node", "algorithm", "policy"] | None, Field(examples=[None])]
    reason: Annotated[str | None, Field(description="of a rejection", examples=["wrong-asset"])]
    report: Digest | None
    disputed: Annotated[str | None, Field(description="the ground of its dispute", examples=[None])]
    credited: Credited


class Jobs(Wire):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    next: Next


class Job(JobSummary):
    """A job with its receipt, its model and its whole history."""

    receipt: Receipt | None
    model: TokenId | None
    history: list[Step]


class LiveJob(Job):
    """A job, and what its node says meanwhile."""

    progress: Progress | None


class Participant(Wire):
    """What an account has traded, in all; its node where it has one."""

    account: Address
    spent: Uint256
    earned: Uint256
    refunded: Uint256
    withdrawn: Uint256
    owed: Annotated[Uint256, Field(description="what it may withdraw now, in token units")]
    jobs_bought: Count
    jobs_run: Count
    node: Address | None
    isolation: Annotated[int | None, Field(description="bits that its node claims", examples=[7])]
    staked: Annotated[Uint256, Field(description="its bond, in token units")]


class Participants(Wire):
    """A page of participants, in the order of their addresses."""

    participants: list[Participant]
    next: Next
