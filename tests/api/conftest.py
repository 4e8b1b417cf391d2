"""A hub over real HTTP, its catalogue filled by hand with the story of one dataset and one job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from sqlalchemy import Connection

from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.reach import Reach
from marketplace.api.hub import Hub, create_app
from marketplace.catalogue.apply import append, roll_back
from marketplace.catalogue.rows import Cursor
from marketplace.catalogue.schema import Database, put
from marketplace.chain.contracts import CONTRACTS
from marketplace.chain.deployment import Deployment
from marketplace.core.eip712 import Domain
from marketplace.core.events import AccessBought, AssetPublished, Event, JobOpened, NodeSet, Position
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import Progress, Request
from tests.support.catalogue import served
from tests.support.chain import limits_of

PROVIDER = Account.from_key(b"\x01" * 32)
BUYER = Account.from_key(b"\x02" * 32)
NODE = Account.from_key(b"\x03" * 32)
ASSET = asset_id(Kind.dataset, PROVIDER.address, b"\x05" * 32)
OFFER = b"\x06" * 32
REQUEST = Request(OFFER, BUYER.address, 0, b"\x07" * 32, b"\x08" * 32)
JOB = REQUEST.job_id
JOB_TEXT = "0x" + JOB.hex()

DEPLOYMENT = Deployment(
    chain_id=31_337,
    genesis=b"\x09" * 32,
    first_block=1,
    limits=limits_of(window=86_400, job_time=86_400),
    addresses={name: Account.from_key(bytes([40 + n]) * 32).address for n, name in enumerate(CONTRACTS)},
    code_hashes={name: bytes([n]) * 32 for n, name in enumerate(CONTRACTS)},
)
DOMAIN = Domain(DEPLOYMENT.chain_id, DEPLOYMENT.market)


def at(block: int, index: int = 0, *, fork: int = 0) -> Position:
    """fork: another one gives the block another hash."""
    return Position(block, index, bytes([fork]) + block.to_bytes(7) + bytes(24), index.to_bytes(32))


def story() -> list[Event]:
    """A dataset, its provider's node, a grant and one open job."""
    market = DEPLOYMENT.market
    return [
        AssetPublished(at(1), DEPLOYMENT.asset_registry, ASSET, PROVIDER.address, b"\x0a" * 32),
        NodeSet(at(2), DEPLOYMENT.participants, PROVIDER.address, NODE.address, b"\x0b" * 32, 1, 7),
        AccessBought(at(3), market, OFFER, BUYER.address, PROVIDER.address, ASSET, 100, 5, 30_000),
        JobOpened(
            at(4),
            market,
            JOB,
            PROVIDER.address,
            BUYER.address,
            OFFER,
            0,
            b"\x07" * 32,
            b"\x08" * 32,
            100,
            2**33,
        ),
    ]


def _read_to(connection: Connection, block: int) -> None:
    put(connection, [Cursor(0, DEPLOYMENT.digest, block, block.to_bytes(32))])


@dataclass
class RunningHub:
    """A hub that answers at `url`."""

    url: str
    hub: Hub
    client: httpx.Client

    def add(self, *events: Event) -> None:
        """What the indexer does with new events."""
        with self.hub.database.write() as connection:
            append(connection, events)
            _read_to(connection, max((event.at.block for event in events), default=4))
        self.hub.pulse.beat()

    def take_back(self, fork: int, *instead: Event) -> None:
        """A reorganisation: everything above block `fork` goes, and what comes instead is read to block 9."""
        with self.hub.database.write() as connection:
            roll_back(connection, fork)
            append(connection, instead)
            _read_to(connection, 9)
        self.hub.pulse.beat()

    def post(
        self, *, sequence: int = 1, stage: str = "training", by: LocalAccount = NODE, job: bytes = JOB
    ) -> httpx.Response:
        progress = Progress(job, sequence, stage, 1, 5)
        return self.client.post(f"/v1/jobs/0x{job.hex()}/progress", json=signed(progress, by))


def signed(progress: Progress, by: LocalAccount, domain: Domain = DOMAIN) -> dict[str, object]:
    signature = by.unsafe_sign_hash(progress.digest(domain)).signature
    return {"progress": progress.to_json(), "signature": "0x" + bytes(signature).hex()}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    yield from opened_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[RunningHub]:
    """As `running`, for one test alone."""
    yield from opened_hub(tmp_path)


def opened_hub(folder: Path, *, reach: Reach | None = None) -> Iterator[RunningHub]:
    """A hub over HTTP with the story in it; its files are in `folder`."""
    hub = hub_in(folder, reach=reach)
    with hub.database.write() as connection:
        append(connection, story())
    with served(create_app(hub)) as url, httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        found = RunningHub(url, hub, client)
        found.add()
        yield found
        hub.close()  # open streams end, so that the server can
    hub.database.close()
    hub.accounts.close()


def hub_in(folder: Path, *, reach: Reach | None = None) -> Hub:
    """An empty hub; a block's time is 1,000 seconds and its number, and no contract signs anything."""
    return Hub(
        Database(folder / "hub.db"),
        DEPLOYMENT,
        AccountsDatabase(folder / "hub-accounts.db"),
        lambda block: 1_000 + block,
        lambda signer, digest, signature: False,
        reach=reach or Reach(),
    )
