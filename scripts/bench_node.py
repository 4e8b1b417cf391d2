"""A real market with a node in this process, for timing the way of one job."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_account.signers.local import LocalAccount

from compute.environments import Environments
from compute.provider.journal import Journal
from compute.provider.node import Node, Place
from compute.provider.publish import Card, Price, Publisher, TermsChoice
from compute.provider.reporter import Reporter
from compute.provider.runner import Keys, Runner
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace import jobs, purchase, results
from marketplace.chain.client import Chain
from marketplace.core.bundle import pack
from marketplace.core.dataset import Environment
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.core.wrapping import public_key
from marketplace.keys import Keyring
from marketplace.lookup import listing_of, usable_offer
from marketplace.storage import LocalStore
from tests.support.chain import RunningMarket, running_market

_MANIFEST = b"""
name = "first-line"
version = "1.0.0"
description = "Writes down when its first line ran."
entrypoint = "first.py"
mode = "single"
environment = "python-ml"

[[outputs]]
name = "time.json"
format = "json"
max_bytes = 1024
description = "Unix seconds."

[parameters]
type = "object"
additionalProperties = false
"""
_CODE = b"""import time
first = time.time()
open("/data/outputs/time.json", "w").write('{"milliseconds": %d}' % (first * 1000))
"""
_ROW = 64


@dataclass(frozen=True)
class Trade:
    """What a timed job needs."""

    chain: Chain
    store: LocalStore
    keyring: Keyring
    buyer: LocalAccount
    asset: int


@contextmanager
def running_node(folder: Path, *, megabytes: int, stop: threading.Event) -> Iterator[Trade]:
    """A market, a dataset of so many MiB, access of ten uses to it, and the provider's node following the chain."""
    folder.mkdir()
    private = bytes(range(32))
    with running_market(window=60, job_time=600) as market, Sandbox() as sandbox:
        store, vault = LocalStore(folder / "store"), Vault(folder / "vault")
        chain, provider = market.chain, market.provider
        chain.send("ParticipantRegistry", "setNode", (market.node.address, public_key(private), 0), provider)
        market.pledge(provider)
        environments = Environments(folder / "environments")
        environments.prepare(lambda step: None)
        listed = environments.listed()
        asset = _publish(market, store, vault, folder, public_key(private), megabytes, listed)
        outputs = LocalStore(folder / "outputs")
        place = Place(
            chain, store, outputs, vault, Journal(folder / "node.db"), provider.address, market.node, private,
            environments,
        )  # fmt: skip
        runner = Runner(sandbox, vault, outputs, Keys(public_key(private), private), chain.domain)
        sandbox.probe()
        node = Node(place, runner, Reporter("", market.node, chain.domain), lambda text: None)
        thread = threading.Thread(target=node.run, args=(stop,))
        thread.start()
        try:
            yield Trade(chain, store, Keyring(folder / "keys", lambda: "bench"), market.buyer, asset)
        finally:
            stop.set()
            thread.join()


def _publish(
    market: RunningMarket,
    store: LocalStore,
    vault: Vault,
    folder: Path,
    node_key: bytes,
    megabytes: int,
    listed: tuple[Environment, ...],
) -> int:
    publisher = Publisher(market.chain, store, vault, market.provider, node_key, listed)
    draw = random.Random(1)  # noqa: S311  # a table of the right size is all that is wanted
    rows = (
        ",".join(f"{draw.random():.13f}" for _ in range(4)) for _ in range(megabytes * 1024 * 1024 // _ROW)
    )
    path = folder / "table.csv"
    path.write_text("a,b,c,d\n" + "\n".join(rows) + "\n")
    algorithm = pack({"algorithm.toml": _MANIFEST, "first.py": _CODE})
    card = Card("bench", "Bench", "Random numbers.", "CC0-1.0", "Bench")
    choice = TermsChoice((algorithm,), None, CustomAlgorithms.denied)
    asset = publisher.publish(path, card, choice, lambda text: None).did.token
    publisher.offer(asset, Price(1, 10, 1, market.chain.block_time() + 86_400, 0))
    chain, buyer = market.chain, market.buyer
    offer = usable_offer(chain, store, asset, buyer.address, chain.block_time())
    purchase.buy(chain, buyer, offer, 10, pay="permit")
    return asset


def timed_job(trade: Trade) -> float:
    """Seconds from the moment that JobOpened had its confirmation to the algorithm's first line."""
    chain = trade.chain
    access = purchase.usable_access(chain, trade.buyer.address, trade.asset)
    listing = listing_of(chain, trade.store, trade.asset)
    watch = _Confirmations(chain)
    order = jobs.start(
        chain,
        trade.store,
        trade.keyring,
        trade.buyer,
        offer_digest=access.offer_digest,
        grant=access.grant,
        listing=listing,
        algorithm=jobs.listed_algorithm(trade.store, listing, "first-line"),
        parameters={},
        purpose=Purpose.research,
    )
    confirmed = watch.when(order.sent.block)
    while chain.job(order.request.job_id).state.name == "open":
        time.sleep(0.1)
    opened = results.open_result(chain, trade.store, trade.keyring, order.request.job_id)
    return float(json.loads(opened.files["time.json"])["milliseconds"]) / 1000 - confirmed


class _Confirmations:
    """Notes when each block was confirmed, by asking all the time."""

    def __init__(self, chain: Chain) -> None:
        self._chain, self._seen, self._stop = chain, [(0, 0.0)], threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            head = self._chain.confirmed_head()
            if head > self._seen[-1][0]:
                self._seen.append((head, time.time()))

    def when(self, block: int) -> float:
        self._stop.set()
        self._thread.join()
        return next(at for head, at in self._seen if head >= block)
