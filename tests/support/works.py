"""Providers with nodes and buyers with orders, on a running market: everything real, and orders as bad as wanted."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from compute.provider import requests
from compute.provider.journal import Journal, Step
from compute.provider.node import Node, Place
from compute.provider.publish import Card, Price, Publisher, TermsChoice
from compute.provider.reporter import Reporter
from compute.provider.runner import Keys, Runner
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace import purchase
from marketplace.api.gateway import create_app
from marketplace.chain.client import Chain
from marketplace.core import bundle, envelope
from marketplace.core.canonical import canonical, sha256
from marketplace.core.events import JobFailed, JobFaulted, ReceiptSubmitted
from marketplace.core.job import END_STATES, Request, State
from marketplace.core.offer import Offer
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.core.spec import FailureReport
from marketplace.lookup import AnnouncedOffer, announced_offers
from marketplace.results import status
from marketplace.storage import GatewayStore, LocalStore, get_document, put_block, put_file
from tests.support.catalogue import Town, served
from tests.support.chain import running_market

TABLE = b"time,load,fault\n" + b"".join(b"%d,%d.5,%d\n" % (n, n % 7, n % 2) for n in range(40))
PURPOSE = Purpose.research
PRICE = 2_000_000
FEE = 200_000
"""What a provider here keeps of PRICE when an algorithm fails: ten percent."""

COUNT_ROWS = """
import json, os
folder = json.loads(os.environ["DIDS"])[0]
lines = open(f"/data/inputs/{folder}/0").read().splitlines()
json.dump({"rows": len(lines) - 1}, open("/data/outputs/result.json", "w"))
"""


@contextlib.contextmanager
def running_works_town(folder: Path, *, window: int = 1, job_time: int = 600) -> Iterator[Town]:
    """A fresh market with the given times, and an empty gateway whose blocks lie in `folder`."""
    with (
        running_market(window=window, job_time=job_time) as market,
        served(create_app(folder)) as url,
        GatewayStore(url) as store,
    ):
        yield Town(market, store, url, LocalStore(folder))


def algorithm(
    name: str,
    code: str,
    *,
    limits: str = "",
    schema: str = 'type = "object"',
    files: Mapping[str, bytes] | None = None,
    output_format: str = "json",
) -> bytes:
    """A bundle whose entrypoint is `code` and whose one output is result.json."""
    manifest = f"""
name = "{name}"
version = "1.0.0"
description = "An algorithm of a test."
entrypoint = "main.py"
mode = "single"
environment = "python-ml"

[limits]
{limits}

[[outputs]]
name = "result.json"
format = "{output_format}"
max_bytes = 65536
description = "What came of it."

[parameters]
{schema}
"""
    return bundle.pack({"algorithm.toml": manifest.encode(), "main.py": code.encode(), **(files or {})})


def wait_until(look: Callable[[], Any], what: str, *, seconds: float = 60.0) -> Any:
    """The first true thing that `look` gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds:g} s")


@dataclass(frozen=True)
class Dataset:
    """A listed dataset with an offer."""

    token: int
    offer: Offer
    offer_digest: bytes
    terms_digest: bytes


@dataclass
class Works:
    """A provider: a wallet, a node's keys, a vault, a journal."""

    town: Town
    sandbox: Sandbox
    home: Path
    owner: LocalAccount
    hot: LocalAccount
    said: list[str] = field(default_factory=list)
    private: bytes = b""
    hub: str = ""
    patience: float = 1.0

    def __post_init__(self) -> None:
        self.private = self.private or sha256(bytes(self.owner.key))
        self.public = envelope.public_key(self.private)
        self.vault = Vault(self.home / "vault")
        self.outputs = LocalStore(self.home / "vault" / "outputs")
        self.journal = Journal(self.home / "node.db")

    @property
    def chain(self) -> Chain:
        return self.town.market.chain

    def register(self, hot: LocalAccount | None = None) -> None:
        self.chain.send(
            "ParticipantRegistry", "setNode", ((hot or self.hot).address, self.public), self.owner
        )

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.chain, self.town.store, self.vault, self.owner, self.public)

    def publish(
        self,
        *algorithms: bytes,
        slug: str = "valves",
        table: bytes = TABLE,
        purposes: tuple[Purpose, ...] | None = None,
        custom: CustomAlgorithms = CustomAlgorithms.denied,
        max_uses: int = 50,
        **choice: Any,
    ) -> Dataset:
        """Publishes a table and offers it."""
        path = self.home / f"{slug}.csv"
        path.write_bytes(table)
        published = self.publisher.publish(
            path, card(slug), TermsChoice(algorithms, purposes, custom, **choice), lambda step: None
        )
        price = Price(PRICE, max_uses, 30, self.chain.block_time() + 86_400, 1_000)
        offer, digest, _ = self.publisher.offer(published.did.token, price)
        return Dataset(published.did.token, offer, digest, offer.terms_digest)

    def node(
        self,
        *,
        chain: Chain | None = None,
        store: GatewayStore | None = None,
        hot: LocalAccount | None = None,
    ) -> Node:
        """A node on this home's journal, as a restart makes one."""
        chain, account = chain or self.chain, hot or self.hot
        place = Place(
            chain, store or self.town.store, self.outputs, self.vault, self.journal,
            self.owner.address, account, self.private, self.patience,
        )  # fmt: skip
        keys = Keys(self.public, self.private)
        runner = Runner(self.sandbox, self.vault, self.outputs, keys, chain.domain)
        return Node(place, runner, Reporter(self.hub, account, chain.domain), self.said.append)

    @contextlib.contextmanager
    def running(self, node: Node | None = None) -> Iterator[Node]:
        """A node at work in a thread of its own."""
        found, stop = node or self.node(), threading.Event()
        thread = threading.Thread(target=found.run, args=(stop,))
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive(), "the node does not stop"

    def await_step(self, request: Request, step: Step, *, seconds: float = 60.0) -> None:
        def there() -> bool:
            return self.journal.knows(request.job_id) and self.journal.get(request.job_id).step is step

        wait_until(there, f"step {step} (node: {self.said[-3:]})", seconds=seconds)

    def approve(self, request: Request) -> None:
        requests.approve(
            self.chain, self.town.store, self.journal, self.owner, request.job_id, now=int(time.time())
        )


def card(slug: str = "valves", **changes: Any) -> Card:
    fields: dict[str, Any] = {
        "slug": slug,
        "name": "Valve readings",
        "description": "Load of valves, and whether they failed.",
        "licence": "CC-BY-4.0",
        "creator": "North Works",
    }
    return Card(**(fields | changes))


def open_works(town: Town, sandbox: Sandbox, home: Path, name: str) -> Works:
    """A provider of its own, whose node is registered."""
    home.mkdir(parents=True, exist_ok=True)
    owner, hot = town.market.account(f"{name} owner"), town.market.account(f"{name} node")
    works = Works(town, sandbox, home, owner, hot)
    works.register()
    return works


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
    """Waits until the chain has the job in one of the states; by default in one that ends it."""
    wanted = states or tuple(END_STATES)
    return wait_until(  # type: ignore[no-any-return]
        lambda: found if (found := town.market.chain.job(request.job_id).state) in wanted else None,
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
