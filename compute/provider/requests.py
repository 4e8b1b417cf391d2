"""The owner's side of approval: what waits, what it would do, yes or no.

An Approval lets one algorithm of one buyer run; a Release lets one sealed output go. Both are signed by the
owner's wallet and announced, so that the node, and later any auditor, can check them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from compute.provider.journal import WAITS_FOR_OWNER, Entry, Journal, Step
from compute.provider.judge import Order, read_order
from marketplace.chain.client import Chain, Sent
from marketplace.core import bundle, envelope
from marketplace.core.cid import Cid
from marketplace.core.eip712 import Struct
from marketplace.core.offer import Approval, Release, Signed
from marketplace.errors import RefusedError, SteelyardError
from marketplace.keys import sign_digest
from marketplace.lookup import offer_of, terms_of
from marketplace.storage import ContentStore, get_document, put_block

APPROVAL_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class Pending:
    """A job that waits for its owner. output: the files to be released, at Step.review only."""

    entry: Entry
    order: Order
    output: dict[str, bytes] | None


def waiting(journal: Journal) -> list[Entry]:
    """Jobs that wait for the owner, oldest first."""
    return [entry for entry in journal.entries() if entry.step in WAITS_FOR_OWNER]


def show(
    chain: Chain,
    store: ContentStore,
    outputs: ContentStore,
    journal: Journal,
    job_id: bytes,
    private_key: bytes,
) -> Pending:
    """All that the owner should see before deciding: purpose, parameters, every file; or the output.

    The journal keeps what was shown: a yes is for nothing else.
    """
    entry = _waiting_entry(journal, job_id)
    offer = offer_of(chain, store, entry.request.offer_digest).offer
    order = read_order(store, entry.request, offer, private_key)
    output = _output(outputs, entry, private_key) if entry.step is Step.review else None
    journal.note_shown(job_id, _subject(entry))
    return Pending(entry, order, output)


def _subject(entry: Entry) -> bytes:
    """The digest of what waits: of the sealed output, or of the algorithm."""
    return _output_digest(entry) if entry.step is Step.review else entry.request.algorithm


def _waiting_entry(journal: Journal, job_id: bytes) -> Entry:
    entry = journal.get(job_id)
    if entry.step not in WAITS_FOR_OWNER:
        raise RefusedError(
            "the job does not wait for you",
            got=f"step {entry.step}",
            do="`steelyard request list` shows those that do.",
        )
    return entry


def _output(outputs: ContentStore, entry: Entry, private_key: bytes) -> dict[str, bytes]:
    header = envelope.Header.parse(outputs.get(Cid.raw(_output_digest(entry))))
    wrapped = bytes.fromhex(entry.data["own_wrap"])
    key = envelope.unwrap(wrapped, private_key, envelope.wrap_info("node", header.body, header.id))
    return bundle.unpack(b"".join(envelope.open_sealed(header, key, outputs.get)))


def _output_digest(entry: Entry) -> bytes:
    return bytes.fromhex(entry.data["receipt"]["outputDigest"][2:])


def approve(
    chain: Chain, store: ContentStore, journal: Journal, owner: LocalAccount, job_id: bytes, *, now: int
) -> tuple[Struct, Sent]:
    """Signs what the job waits for: the algorithm's Approval, or the output's Release.

    Raises RefusedError where another account owns the dataset: the node would not heed its signature; and where what
    waits is not what was shown: after a reorganisation the same job may have another output.
    """
    entry = _waiting_entry(journal, job_id)
    provider = chain.job(job_id).provider
    if provider != owner.address:
        raise RefusedError("only the dataset's provider decides", got=owner.address, expected=provider)
    if not journal.was_shown(job_id, _subject(entry)):
        raise RefusedError(
            "what waits now was not shown to you", do=f"Read it: steelyard request show 0x{job_id.hex()}"
        )
    if entry.step is Step.review:
        release = Release(job_id, _output_digest(entry))
        return release, _announce(chain, store, owner, entry.asset, job_id, release)
    terms = terms_of(store, offer_of(chain, store, entry.request.offer_digest).offer)
    approval = Approval(
        entry.asset, entry.request.buyer, entry.request.algorithm, terms.review_output, now + APPROVAL_SECONDS
    )
    return approval, _announce(chain, store, owner, entry.asset, entry.request.algorithm, approval)


def _announce(
    chain: Chain, store: ContentStore, owner: LocalAccount, asset: int, subject: bytes, struct: Struct
) -> Sent:
    signed = Signed(struct, sign_digest(owner, struct.digest(chain.domain)))
    block = put_block(store, signed.to_bytes())
    return chain.send("Market", "announceApproval", (asset, subject, block.digest), owner)


def refuse(journal: Journal, job_id: bytes) -> Entry:
    """Says no; the node rejects the job and the buyer is credited in full."""
    entry = _waiting_entry(journal, job_id)
    journal.refuse(job_id)
    return entry


def valid_approval(
    chain: Chain, store: ContentStore, documents: Iterable[bytes], entry: Entry, owner: str, *, at: int
) -> Approval | None:
    """The owner's approval of this job's algorithm for this buyer that holds at `at`, if there is one."""
    for struct in _signed_by(chain, store, documents, owner):
        if (
            isinstance(struct, Approval)
            and struct.asset_id == entry.asset
            and struct.buyer == entry.request.buyer
            and struct.algorithm == entry.request.algorithm
            and struct.valid_until >= at
        ):
            return struct
    return None


def is_released(
    chain: Chain, store: ContentStore, documents: Iterable[bytes], entry: Entry, owner: str
) -> bool:
    """Whether the owner signed the release of this very output."""
    wanted = Release(entry.job_id, _output_digest(entry))
    return any(struct == wanted for struct in _signed_by(chain, store, documents, owner))


def by_key_alone(signer: str, digest: bytes, signature: bytes) -> bool:
    """The owner of a node's home has a key: no endpoint may say yes in its name."""
    return False


def _signed_by(chain: Chain, store: ContentStore, documents: Iterable[bytes], owner: str) -> Iterable[Struct]:
    for document in documents:
        try:
            signed = Signed.parse(get_document(store, document))
            signed.expect(chain.domain, owner, by_key_alone)
        except SteelyardError:
            continue  # announcing is open to everyone
        yield signed.struct
