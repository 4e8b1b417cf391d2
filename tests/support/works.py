"""Providers with nodes and buyers with orders, on a running market: everything real, and orders as bad as wanted."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from compute.environments import Environments
from compute.provider import requests
from compute.provider.journal import Journal, Step
from compute.provider.node import Node, Place
from compute.provider.publish import Card, Price, Publisher, TermsChoice
from compute.provider.reporter import Reporter
from compute.provider.runner import Keys, Runner
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace.api.gateway import create_app
from marketplace.chain.client import Chain
from marketplace.core import bundle, envelope
from marketplace.core.canonical import sha256
from marketplace.core.job import Request
from marketplace.core.offer import Offer
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.storage import GatewayStore, LocalStore
from tests.support.catalogue import Town, served
from tests.support.chain import running_market
from tests.support.environments import environments

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
    environment: str = "python-ml",
) -> bytes:
    """A bundle whose entrypoint is `code` and whose one output is result.json."""
    manifest = f"""
name = "{name}"
version = "1.0.0"
description = "An algorithm of a test."
entrypoint = "main.py"
mode = "single"
environment = "{environment}"

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
    environments: Environments = field(default_factory=environments)

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
        entry = ((hot or self.hot).address, self.public, int(self.sandbox.probe()))
        self.chain.send("ParticipantRegistry", "setNode", entry, self.owner)
        self.town.market.pledge(self.owner)

    @property
    def publisher(self) -> Publisher:
        return Publisher(
            self.chain, self.town.store, self.vault, self.owner, self.public, self.environments.listed()
        )

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
            self.owner.address, account, self.private, self.environments, self.patience,
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
        """Reads what waits, and says yes."""
        requests.show(self.chain, self.town.store, self.outputs, self.journal, request.job_id, self.private)
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
