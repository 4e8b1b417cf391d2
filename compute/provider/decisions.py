"""What an owner decided about jobs that waited for it, read from chain and content: who approved what, and when.

Approvals and releases count where the owner signed and announced them. A refusal is the node's rejection with
the code for it: the owner's word reached the chain through the node alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compute.provider.requests import by_key_alone
from marketplace.chain.client import Chain
from marketplace.core.events import ApprovalAnnounced, JobOpened, JobRejected, Position
from marketplace.core.offer import Approval, Release, Signed
from marketplace.core.policy import reason_code
from marketplace.errors import SteelyardError, UnavailableError
from marketplace.storage import ContentStore, get_document

REFUSED_ALGORITHM, REFUSED_OUTPUT = "refused-by-owner", "output-refused-by-owner"
"""Codes of a rejection because the owner said no."""

_REFUSALS = {REFUSED_ALGORITHM: "refused algorithm", REFUSED_OUTPUT: "refused output"}


@dataclass(frozen=True)
class Decision:
    """One yes or no. at: Unix seconds of its block. by: whose signature or, for a refusal, whose node.

    algorithm: 32 bytes; asset, buyer and until (Unix seconds) of an approval; job of all others.
    """

    at: int
    what: str
    by: str
    transaction: bytes
    algorithm: bytes = b""
    asset: int | None = None
    buyer: str = ""
    until: int | None = None
    job: bytes = b""


def decisions(chain: Chain, store: ContentStore, owner: str) -> list[Decision]:
    """All of one owner's, in the order of the chain.

    Raises UnavailableError where the store is away. A document that does not count stands as `void`.
    """
    opened = {event.job_id: event for event in chain.logs(types=(JobOpened,), provider=owner)}
    found: list[tuple[Position, Decision]] = []
    for no in chain.logs(types=(JobRejected,)):
        found += [(no.at, decision) for decision in _refused(chain, no, opened.get(no.job_id))]
    for yes in chain.logs(types=(ApprovalAnnounced,)):
        if yes.by == owner:  # announcing is open to everyone, counts for the owner alone, and costs a fetch
            found += [(yes.at, decision) for decision in _signed(chain, store, yes, owner)]
    return [decision for _, decision in sorted(found, key=lambda pair: (pair[0].block, pair[0].index))]


def _refused(chain: Chain, event: JobRejected, job: JobOpened | None) -> Iterator[Decision]:
    code = reason_code(event.reason)
    if job is not None and code in _REFUSALS:
        yield Decision(
            chain.block_time(event.at.block), _REFUSALS[code], job.provider, event.at.transaction,
            algorithm=job.algorithm, buyer=job.buyer, job=event.job_id,
        )  # fmt: skip


def _signed(chain: Chain, store: ContentStore, event: ApprovalAnnounced, owner: str) -> Iterator[Decision]:
    at, transaction = chain.block_time(event.at.block), event.at.transaction
    try:
        signed = Signed.parse(get_document(store, event.document))
        signed.expect(chain.domain, owner, by_key_alone)
    except UnavailableError:
        raise
    except SteelyardError:  # not there, or no such document: it lets nothing run
        yield Decision(at, "void", owner, transaction, asset=event.asset_id)
        return
    struct = signed.struct
    if isinstance(struct, Approval):
        yield Decision(
            at, "approved algorithm", owner, transaction,
            algorithm=struct.algorithm, asset=struct.asset_id, buyer=struct.buyer, until=struct.valid_until,
        )  # fmt: skip
    elif isinstance(struct, Release):
        yield Decision(at, "released output", owner, transaction, job=struct.job_id)
