"""The provider judges last: whether a job that was opened may run here. Reads chain and content only.

What does not fit is refused with a code that stands on chain; what cannot be fetched yet is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compute.environments import BuiltEnvironment, Environments
from compute.provider.vault import Vault
from marketplace.chain.client import Chain
from marketplace.core import bundle, envelope
from marketplace.core.bundle import Bundle, parse_bundle
from marketplace.core.cid import Cid
from marketplace.core.job import Request
from marketplace.core.offer import Offer
from marketplace.core.policy import Context, Deny, Permit, evaluate, read_terms
from marketplace.core.spec import Spec
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError
from marketplace.lookup import did_of, listing_of, offer_of
from marketplace.storage import ContentStore, get_document, read_file

DAY = 86_400


@dataclass(frozen=True)
class Order:
    """A job as the node understood it. parameters: with the defaults filled in."""

    offer: Offer
    spec: Spec
    algorithm: Bundle
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """The job may not run. code: at most 32 ASCII characters, stands on chain. detail: for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The job may run, as permitted, with the packages of that environment."""

    order: Order
    permit: Permit
    environment: BuiltEnvironment


def judge(
    chain: Chain,
    store: ContentStore,
    vault: Vault,
    environments: Environments,
    request: Request,
    private_key: bytes,
    *,
    at: int,
) -> Verdict | Refusal:
    """Judges one job at `at` (Unix seconds).

    Raises UnavailableError or NotFoundError where content or chain cannot be read yet: try again.
    """
    offer = offer_of(chain, store, request.offer_digest).offer
    if offer.asset_id not in vault.tokens():
        return Refusal("dataset-not-here", "this node does not hold the dataset")
    try:
        order = read_order(store, request, offer, private_key)
        listing = listing_of(chain, store, offer.asset_id)
        order.algorithm.manifest.parameters.check_columns(order.parameters, listing.column_names)
    except NotFoundError:
        raise
    except (InputError, IntegrityError, RefusedError) as error:
        return Refusal("order-invalid", str(error))
    grant = chain.grant(request.offer_digest, request.buyer)
    context = Context(
        asset=str(did_of(chain, offer.asset_id)),
        purpose=order.spec.purpose,
        buyer=request.buyer,
        algorithm=request.algorithm,
        at=at,
        use_index=request.index,
        max_uses=grant.jobs_paid,
        expires_at=(grant.last_day + 1) * DAY,
    )
    judgement = evaluate(read_terms(get_document(store, offer.terms_digest)), context)
    if isinstance(judgement, Deny):
        return Refusal(str(judgement.rule), judgement.reason)
    try:
        return Verdict(order, judgement, environments.choose(order.algorithm.manifest.environment))
    except RefusedError as error:
        return Refusal("environment-not-here", str(error))


def read_order(store: ContentStore, request: Request, offer: Offer, private_key: bytes) -> Order:
    """The spec and the algorithm of a request, opened and checked. Raises SteelyardErrors that say what is wrong."""
    spec = Spec.parse(envelope.open_message(get_document(store, request.spec), private_key))
    if bytes.fromhex(spec.algorithm.digest[2:]) != request.algorithm:
        raise InputError(
            "the spec names another algorithm",
            got=spec.algorithm.digest,
            expected="0x" + request.algorithm.hex(),
        )
    _check_result_key(spec)
    algorithm = parse_bundle(_bundle_bytes(store, spec, request.algorithm))
    if spec.environment != str(algorithm.manifest.environment):
        raise InputError(
            "the spec names another environment",
            got=spec.environment,
            expected=str(algorithm.manifest.environment),
        )
    return Order(offer, spec, algorithm, algorithm.manifest.check_parameters(spec.parameters))


def _check_result_key(spec: Spec) -> None:
    """Before the run, not after it: a key that nothing can be sealed to would waste the whole job."""
    envelope.wrap(bytes(32), bytes.fromhex(spec.result_key[2:]), b"")


def _bundle_bytes(store: ContentStore, spec: Spec, expected: bytes) -> bytes:
    reference = spec.algorithm
    cid = Cid.parse(reference.cid)
    if reference.key is None:
        pieces = read_file(cid, store, limit=bundle.MAX_ARCHIVE_BYTES)
    else:
        header = envelope.Header.parse(store.get(cid))
        if header.id != reference.digest:
            raise IntegrityError("the sealed bundle is another one", got=header.id, expected=reference.digest)
        pieces = envelope.open_sealed(header, bytes.fromhex(reference.key[2:]), store.get)
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > bundle.MAX_ARCHIVE_BYTES:
            raise InputError("the bundle is too large", expected=f"<= {bundle.MAX_ARCHIVE_BYTES} bytes")
    if bundle.digest(bytes(data)) != expected:
        raise IntegrityError("the bundle does not hash to the request's algorithm", expected=expected.hex())
    return bytes(data)
