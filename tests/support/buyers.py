"""Buyers whose orders may be anything, and what becomes of their jobs as chain and store tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from eth_account.signers.local import LocalAccount

from marketplace import purchase
from marketplace.chain.client import Chain
from marketplace.core import bundle, envelope
from marketplace.core.canonical import canonical
from marketplace.core.events import JobFailed, JobFaulted, ReceiptSubmitted
from marketplace.core.job import END_STATES, Request, State
from marketplace.core.spec import FailureReport
from marketplace.lookup import AnnouncedOffer, announced_offers
from marketplace.results import status
from marketplace.storage import get_document, put_block, put_file
from tests.support.catalogue import Town
from tests.support.works import PURPOSE, Dataset, Works, wait_until


@dataclass
class Buyer:
    """A buyer whose orders may be anything. keys: the private result key of each job."""

    town: Town
    account: LocalAccount
    keys: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def chain(self) -> Chain:
        return self.town.market.chain

    def buy(self, dataset: Dataset, uses: int = 1) -> None:
        announced = AnnouncedOffer(dataset.offer, dataset.offer_digest, self._signature(dataset))
        purchase.buy(self.chain, self.account, announced, uses, pay="permit")

    def _signature(self, dataset: Dataset) -> bytes:
        offers = announced_offers(self.chain, self.town.store, dataset.token)
        return next(offer.signature for offer in offers if offer.digest == dataset.offer_digest)

    def spec(self, data: bytes, *, sealed: bool = False, **changes: Any) -> dict[str, Any]:
        """An honest spec for a bundle as JSON; the bundle is stored, plain as listed ones are, or sealed."""
        digest = "0x" + bundle.digest(data).hex()
        reference: dict[str, Any] = {"name": "algorithm", "digest": digest}
        if sealed:
            key = os.urandom(32)
            header = envelope.seal(
                BytesIO(data), id=digest, key=key, prefix=os.urandom(7), put=self.town.store.put
            )
            reference |= {"cid": str(header.cid), "key": "0x" + key.hex()}
        else:
            reference |= {"cid": str(put_file(BytesIO(data), self.town.store).cid)}
        private = os.urandom(32)
        self.keys[b"last"] = private
        return {
            "version": 1,
            "algorithm": reference,
            "parameters": {},
            "environment": "python-ml",
            "purpose": str(PURPOSE),
            "result_key": "0x" + envelope.public_key(private).hex(),
        } | changes

    def seal(self, spec: Mapping[str, Any], works: Works) -> bytes:
        """A spec as the block that node and buyer can open. What Spec refuses is sealed all the same."""
        readers = [works.public, envelope.public_key(self.keys[b"last"])]
        return envelope.seal_message(canonical(dict(spec)), readers, key=os.urandom(32), nonce=os.urandom(12))

    def open(self, dataset: Dataset, algorithm: bytes, spec_digest: bytes) -> Request:
        """Opens the next job of this buyer's grant."""
        index = self.chain.grant(dataset.offer_digest, self.account.address).jobs_opened
        request = Request(dataset.offer_digest, self.account.address, index, algorithm, spec_digest)
        arguments = (request.offer_digest, index, algorithm, spec_digest)
        self.chain.send("Market", "openJob", arguments, self.account)
        self.keys[request.job_id] = self.keys.get(b"last", bytes(32))
        return request

    def order(
        self, works: Works, dataset: Dataset, data: bytes, *, sealed: bool = False, **changes: Any
    ) -> Request:
        """Orders a bundle; `changes` replace fields of the spec."""
        block = self.seal(self.spec(data, sealed=sealed, **changes), works)
        return self.open(dataset, bundle.digest(data), put_block(self.town.store, block).digest)

    def result(self, request: Request) -> dict[str, bytes]:
        """The files that came back, opened with the job's result key."""
        event = self.chain.logs(types=(ReceiptSubmitted,), job_id=request.job_id)[0]
        header = envelope.Header.parse(get_document(self.town.store, event.receipt.output_digest))
        info = envelope.wrap_info("buyer", header.body, "0x" + request.job_id.hex())
        key = envelope.unwrap(event.wrapped_key, self.keys[request.job_id], info)
        return bundle.unpack(b"".join(envelope.open_sealed(header, key, self.town.store.get)))


def new_buyer(town: Town, name: str, *, euros: int = 1_000) -> Buyer:
    return Buyer(town, town.market.account(f"buyer {name}", euros=euros))


def await_state(town: Town, request: Request, *states: State, seconds: float = 60.0) -> State:
    """Waits until the confirmed chain has the job in one of the states; by default in one that ends it."""
    wanted, chain = states or tuple(END_STATES), town.market.chain

    def reached() -> State | None:
        state = chain.job(request.job_id, block=chain.confirmed_head()).state
        return state if state in wanted else None

    return wait_until(  # type: ignore[no-any-return]
        reached,
        f"state {[state.name for state in wanted]}",
        seconds=seconds,
    )


def rejection(town: Town, request: Request) -> str:
    """Waits for a job's rejection; its code as it stands on chain."""
    await_state(town, request, State.rejected)
    return note(town, request)


def note(town: Town, request: Request) -> str:
    """What chain and store say about how the job ended."""
    return wait_until(  # type: ignore[no-any-return]
        lambda: status(town.market.chain, town.store, request.job_id).note, "the note of a job's end"
    )


def report_of(town: Town, request: Request) -> FailureReport:
    """The failure report whose digest is on chain."""
    events = wait_until(
        lambda: town.market.chain.logs(types=(JobFaulted, JobFailed), job_id=request.job_id), "a failure"
    )
    return FailureReport.parse(get_document(town.store, events[0].report))
