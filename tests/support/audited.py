"""A market with a past, for audits: one dataset, four jobs and a model, all of it sound; and ways to spoil it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import httpx
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from marketplace.core import envelope, unixfs
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.dataset import ListedAlgorithm, Listing
from marketplace.core.events import CreditsMinted
from marketplace.core.job import Receipt, Request
from marketplace.core.offer import Approval, Offer, Release, Signed
from marketplace.core.policy import reason_bytes32
from marketplace.core.spec import FailureReport, ModelCard
from marketplace.core.terms import CustomAlgorithms, Terms
from marketplace.storage import put_block
from tests.support.catalogue import Town

BUNDLE = b"a listed bundle " * 40_000
CUSTOM = sha256(b"a bundle of the buyer's own")
OUTPUT = b"a trained model " * 40_000  # three leaves
KEY, PREFIX = b"\1" * 32, b"\2" * 7


@dataclass
class Past:
    """What happened. jobs: settled with a model, submitted after a review, failed by its algorithm, rejected."""

    town: Town
    listing: Listing
    terms: Terms
    offer: Offer
    asset: int
    jobs: list[Request]
    headers: dict[bytes, envelope.Header]
    approval: bytes
    model: int

    @property
    def offer_document(self) -> bytes:
        signed = Signed(self.offer, self.town.market.sign(self.offer, self.town.market.provider))
        return sha256(signed.to_bytes())

    @contextlib.contextmanager
    def spoiled(self, cid: Cid, spoil: Callable[[bytes], bytes | None]) -> Iterator[None]:
        """Changes a block behind the gateway's back, or takes it away (None), for a while."""
        path = self.town.folder.path_of(cid)
        good = path.read_bytes()
        bad = spoil(good)
        try:
            path.unlink()
            if bad is not None:
                path.write_bytes(bad)
            yield
        finally:
            path.write_bytes(good)


def announce(town: Town, asset: int, subject: bytes, struct: Approval | Release, by: LocalAccount) -> bytes:
    """Signs and announces an approval or release; returns its document's digest."""
    document = put_block(town.store, Signed(struct, town.market.sign(struct, by)).to_bytes()).digest
    town.market.chain.send("Market", "announceApproval", (asset, subject, document), by)
    return document


def open_job(town: Town, offer_digest: bytes, index: int, algorithm: bytes) -> Request:
    market = town.market
    spec = put_block(town.store, f"a sealed spec {index}".encode()).digest
    request = Request(offer_digest, market.buyer.address, index, algorithm, spec)
    market.chain.send("Market", "openJob", (offer_digest, index, algorithm, spec), market.buyer)
    return request


def output_of(town: Town, request: Request) -> envelope.Header:
    """Seals and stores the job's output."""
    name = "0x" + request.job_id.hex()
    return envelope.seal(BytesIO(OUTPUT), id=name, key=KEY, prefix=PREFIX, put=town.store.put)


def submit(town: Town, request: Request, listing: Listing, header: envelope.Header) -> Receipt:
    market, wrapped = town.market, b"a wrapped key of 80 bytes".ljust(80)
    now = market.chain.block_time()
    receipt = Receipt(
        request.job_id,
        listing.header_digest,
        header.digest,
        keccak(wrapped),
        listing.environments[0].digest,
        3,
        now,
        now,
    )
    call = (receipt.to_tuple(), market.sign(receipt, market.node), wrapped)
    market.chain.send("Market", "submit", call, market.node)
    return receipt


def listed(town: Town, salt: bytes) -> tuple[Listing, Terms]:
    """A listing with one algorithm, whose bundle lies in the store, and its terms."""
    root = unixfs.build(unixfs.pieces(BytesIO(BUNDLE), unixfs.LEAF), town.store.put)
    algorithm = ListedAlgorithm("classifier", sha256(BUNDLE), root.cid)
    did = town.listing(salt).did
    terms = Terms(
        did,
        town.market.provider.address,
        algorithms=(algorithm.digest,),
        custom_algorithms=CustomAlgorithms.approval,
    )
    vault: dict[Cid, bytes] = {}
    header = envelope.seal(BytesIO(b"rows"), id=str(did), key=KEY, prefix=PREFIX, put=vault.__setitem__)
    return replace(town.listing(salt, terms, algorithms=(algorithm,)), header=header.cid), terms


def live(town: Town) -> Past:
    """Lives through it all."""
    market, chain, salt = town.market, town.market.chain, b"\7" * 32
    chain.send("ParticipantRegistry", "setNode", (market.node.address, b"\7" * 32, 0), market.provider)
    market.pledge(market.provider)
    listing, terms = listed(town, salt)
    for document in (listing.to_bytes(), terms.to_bytes()):
        put_block(town.store, document)
    chain.send("AssetRegistry", "publish", (1, salt, listing.digest), market.provider)
    asset = listing.did.token
    offer = market.offer(asset, terms_digest=terms.digest)
    digest = town.announce(offer)
    market.buy(offer, 5)
    ready = listing.algorithms[0].digest
    headers: dict[bytes, envelope.Header] = {}

    settled = open_job(town, digest, 0, ready)
    headers[settled.job_id] = output_of(town, settled)
    submit(town, settled, listing, headers[settled.job_id])
    chain.send("Market", "accept", (settled.to_tuple(),), market.buyer)

    reviewed = open_job(town, digest, 1, CUSTOM)
    until = chain.block_time() + 86_400
    approval = Approval(asset, market.buyer.address, CUSTOM, True, until)
    document = announce(town, asset, CUSTOM, approval, market.provider)
    headers[reviewed.job_id] = output_of(town, reviewed)
    release = Release(reviewed.job_id, headers[reviewed.job_id].digest)
    announce(town, asset, reviewed.job_id, release, market.provider)
    submit(town, reviewed, listing, headers[reviewed.job_id])

    crashed = open_job(town, digest, 2, ready)
    report = FailureReport(
        job="0x" + crashed.job_id.hex(),
        fault="algorithm",
        code="crashed",
        detail="",
        started_at=1,
        finished_at=2,
    )
    block = put_block(town.store, report.to_bytes()).digest
    chain.send("Market", "fail", (crashed.to_tuple(), offer.to_tuple(), 1, block), market.node)

    refused = open_job(town, digest, 3, sha256(b"another bundle"))
    chain.send("Market", "reject", (refused.to_tuple(), reason_bytes32("order-invalid")), market.node)
    chain.send("Market", "withdraw", (market.buyer.address,), market.buyer)
    jobs = [settled, reviewed, crashed, refused]
    model = register(town, settled, asset, listing, headers[settled.job_id])
    return Past(town, listing, terms, offer, asset, jobs, headers, document, model)


def register(town: Town, request: Request, asset: int, listing: Listing, header: envelope.Header) -> int:
    card = ModelCard(
        name="valves", job="0x" + request.job_id.hex(), dataset=str(listing.did),
        algorithm="0x" + request.algorithm.hex(), algorithm_name="classifier", output="0x" + header.digest.hex(),
        purpose="predictive-maintenance", metrics={"balanced_accuracy": 0.97},
    )  # fmt: skip
    put_block(town.store, card.to_bytes())
    call = (request.to_tuple(), card.sha256)
    sent = town.market.chain.send("ContributionCredits", "registerModel", call, town.market.buyer)
    return next(event.model_id for event in sent.events if isinstance(event, CreditsMinted))


Rewrite = Callable[[str, list[Any], Any], Any]


@contextlib.contextmanager
def lying_endpoint(url: str, rewrite: Rewrite) -> Iterator[str]:
    """An RPC endpoint in front of another, which passes each result through `rewrite(method, params, result)`."""

    client = httpx.Client(trust_env=False, headers={"content-type": "application/json"})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked = json.loads(body)
            said = client.post(url, content=body).json()
            if "result" in said:
                said["result"] = rewrite(asked["method"], asked["params"], said["result"])
            data = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Keeps the tests' output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        client.close()
