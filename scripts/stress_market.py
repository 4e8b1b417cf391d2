"""A market of processes that may be killed at any moment and are started again at once, as a service manager would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from compute.environments import Environments
from compute.provider.publish import Card, Price, Publisher, TermsChoice
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace import bonds, purchase
from marketplace.chain.client import Chain
from marketplace.chain.deployment import Deployment
from marketplace.chain.embedded import fund
from marketplace.core import bundle, envelope
from marketplace.core.job import Request
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.core.spec import AlgorithmReference, Spec
from marketplace.keys import Keyring
from marketplace.lookup import AnnouncedOffer, usable_offer
from marketplace.storage import GatewayStore, put_block, put_file

STEELYARD = Path(sys.executable).with_name("steelyard")
PRICE = 2_000_000
_PASSPHRASE = "a stressed market"  # noqa: S105  # of keys that live for minutes
_MANIFEST = b"""
name = "count"
version = "1.0.0"
description = "Counts rows."
entrypoint = "main.py"
mode = "single"
environment = "python-ml"

[[outputs]]
name = "result.json"
format = "json"
max_bytes = 65536
description = "How many rows."

[parameters]
type = "object"
"""
_CODE = b"""
import json, os
folder = json.loads(os.environ["DIDS"])[0]
rows = len(open(f"/data/inputs/{folder}/0").read().splitlines()) - 1
json.dump({"rows": rows}, open("/data/outputs/result.json", "w"))
"""
ALGORITHM = bundle.pack({"algorithm.toml": _MANIFEST, "main.py": _CODE})
SECRET = b"a reading of one person"
TABLE = b"name,fault\n" + b"".join(b"%d %s,%d\n" % (n, SECRET, n % 2) for n in range(500))


class StressError(Exception):
    """The market could not be set up, or something did not come in time."""


class Service:
    """One `steelyard` process. It is started again whenever it has ended, until `close`."""

    def __init__(self, name: str, words: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self.starts = 0
        self._command = [str(STEELYARD), *words, "--json"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("STEELYARD_")}
        self._environment = kept | environment
        self._log = folder / f"{name}.log"
        self._closing = threading.Event()
        self.process = self._start()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {name}", daemon=True)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _keep(self) -> None:
        while not self._closing.is_set():
            self.process.wait()
            if not self._closing.wait(0.05):
                self.process = self._start()

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def ready(self, *, seconds: float = 60) -> dict[str, Any]:
        """Its first line that says that it serves."""
        found: dict[str, Any] = wait_for(self._served, self.name, seconds)
        return found

    def _served(self) -> dict[str, Any] | None:
        return next(filter(None, map(_service_line, self.said.splitlines())), None)

    def rss(self) -> int:
        """Bytes in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024

    def children(self) -> list[int]:
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            tasks = list(Path(f"/proc/{self.process.pid}/task").glob("*/children"))
            return [int(pid) for task in tasks for pid in task.read_text().split()]
        return []

    def close(self) -> None:
        self._closing.set()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._keeper.join(10)


def _service_line(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "service" in found else None


def wait_for(look: Callable[[], Any], what: str, seconds: float) -> Any:
    """The first true thing that `look` gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise StressError(f"{what} did not come within {seconds:g} s")


@dataclass
class Customer:
    """A buyer with access. told: jobs whose opening was reported to it as confirmed."""

    chain: Chain
    store: GatewayStore
    account: LocalAccount
    offer: AnnouncedOffer
    bundle_cid: str
    told: list[Request] = field(default_factory=list)

    def open(self) -> None:
        """Opens the next job. Raises what `Chain` raises; then the job may be open all the same."""
        grant = self.chain.grant(self.offer.digest, self.account.address)
        name, digest = "count", "0x" + bundle.digest(ALGORITHM).hex()
        result_key = envelope.public_key(os.urandom(32))
        spec = Spec(
            algorithm=AlgorithmReference(name=name, digest=digest, cid=self.bundle_cid),
            parameters={},
            environment="python-ml",
            purpose=str(Purpose.research),
            result_key="0x" + result_key.hex(),
        )
        readers = [self.chain.sealing_key_of(grant.provider), result_key]
        sealed = envelope.seal_message(spec.to_bytes(), readers, key=os.urandom(32), nonce=os.urandom(12))
        block = put_block(self.store, sealed)
        request = Request(
            self.offer.digest, self.account.address, grant.jobs_opened, bundle.digest(ALGORITHM), block.digest
        )
        arguments = (request.offer_digest, request.index, request.algorithm, request.spec)
        self.chain.send("Market", "openJob", arguments, self.account)
        self.told.append(request)


@dataclass
class Market:
    """A chain, a gateway, a hub and a provider's node as processes; customers who have paid."""

    folder: Path
    chain: Chain
    store: GatewayStore
    owner: LocalAccount
    customers: list[Customer]
    services: dict[str, Service]


@contextmanager
def running(folder: Path, *, buyers: int, uses: int, window: int) -> Iterator[Market]:
    """Everything set up and at work, each buyer with so many uses."""
    with ExitStack() as stack:
        services: dict[str, Service] = {}

        def start(name: str, environment: dict[str, str], *words: str) -> dict[str, Any]:
            home = folder / name
            home.mkdir(exist_ok=True)
            common = {
                "STEELYARD_HOME": str(home),
                "STEELYARD_PASSPHRASE": _PASSPHRASE,
                "STEELYARD_TIMEOUT": "10",
            }
            services[name] = Service(name, list(words), common | environment, folder)
            stack.callback(services[name].close)
            return services[name].ready()

        port = _free_port()
        times = ("--window", str(window), "--job-time", "3600")
        chain_at = start("chain", {}, "chain", "run", "--keep", "--port", str(port), *times)
        gateway_at = start("gateway", {}, "gateway", "run", "--port", str(_free_port()))
        deployment = Path(chain_at["deployment"])
        urls = {
            "STEELYARD_RPC": chain_at["url"],
            "STEELYARD_GATEWAY": gateway_at["url"],
            "STEELYARD_DEPLOYMENT": str(deployment),
        }
        hub_at = start("hub", urls, "hub", "run", "--port", str(_free_port()))
        chain = stack.enter_context(
            Chain(chain_at["url"], Deployment.parse(deployment.read_bytes()), confirmations=1, timeout=10)
        )
        store = stack.enter_context(GatewayStore(gateway_at["url"]))
        owner, asset = _provider(folder / "node", chain, store, uses)
        start("node", urls | {"STEELYARD_HUB": hub_at["url"]}, "node", "run")
        customers = [_customer(chain, store, asset, uses) for _ in range(buyers)]
        yield Market(folder, chain, store, owner, customers, services)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _provider(home: Path, chain: Chain, store: GatewayStore, uses: int) -> tuple[LocalAccount, int]:
    """A registered provider with one dataset; its home is ready for `node run`."""
    home.mkdir(mode=0o700)
    keyring = Keyring(home / "keys", lambda: _PASSPHRASE)
    owner, node = keyring.new_wallet("works"), keyring.new_wallet("node")
    sealing = keyring.new_sealing_key("sealing")
    for account, euros in ((owner, 100), (node, 0)):
        fund(chain, account.address, euros)
    with Sandbox() as sandbox:
        isolation = int(sandbox.probe())
    chain.send("ParticipantRegistry", "setNode", (node.address, sealing, isolation), owner)
    bonds.deposit(chain, owner, bonds.missing(chain, owner.address))
    environments = Environments(home / "environments")
    environments.prepare(lambda step: None)
    publisher = Publisher(chain, store, Vault(home / "vault"), owner, sealing, environments.listed())
    table = home / "table.csv"
    table.write_bytes(TABLE)
    choice = TermsChoice((ALGORITHM,), None, CustomAlgorithms.denied)
    card = Card("stress", "Stress", "Rows to count.", "CC0-1.0", "Works")
    token = publisher.publish(table, card, choice, lambda text: None).did.token
    table.unlink()
    publisher.offer(token, Price(PRICE, uses, 30, chain.block_time() + 86_400, 1_000))
    return owner, token


def _customer(chain: Chain, store: GatewayStore, asset: int, uses: int) -> Customer:
    account: LocalAccount = Account.create(os.urandom(32))
    fund(chain, account.address, uses * PRICE // 1_000_000)
    offer = usable_offer(chain, store, asset, account.address, chain.block_time())
    purchase.buy(chain, account, offer, uses, pay="permit")
    return Customer(chain, store, account, offer, str(put_file(BytesIO(ALGORITHM), store).cid))
