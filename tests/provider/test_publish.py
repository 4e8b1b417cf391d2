"""Publishing: checked before anything is written, all of it or nothing, and never a listing that nobody can open."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compute.provider.publish import Price, Publisher, TermsChoice
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace.chain.client import Chain
from marketplace.core.dataset import Environment
from marketplace.core.policy import CustomAlgorithms
from marketplace.errors import InputError, RefusedError, SteelyardError, UnavailableError
from marketplace.lookup import announced_offers, listing_of, published_datasets, terms_of
from marketplace.storage import GatewayStore, read_file
from tests.support.catalogue import Town
from tests.support.wire import Wire, wire
from tests.support.works import COUNT_ROWS, TABLE, Works, algorithm, card, open_works

COUNT = algorithm("count", COUNT_ROWS)
LISTED = (Environment("python-ml", ("python==3.11.7",)),)
CHOICE = TermsChoice((COUNT,), None, CustomAlgorithms.denied)


@pytest.fixture(scope="module")
def maker(town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Works:
    """A provider whose home the tests of this module share: it must be as empty after each failure as before."""
    return open_works(town, sandbox, tmp_path_factory.mktemp("maker"), "maker")


def state(works: Works) -> tuple[list[Path], int, int]:
    """All that publishing could leave behind: files of the vault, blocks of the shared store, listings on chain."""
    vault = sorted(path for path in (works.home / "vault").rglob("*") if path.is_file())
    shared = sum(path.is_file() for path in works.town.folder._folder.rglob("*"))
    return vault, shared, len(published_datasets(works.chain))


def publish(
    works: Works, path: Path, publisher: Publisher | None = None, choice: TermsChoice = CHOICE, **changes: Any
) -> Any:
    steps: list[str] = []
    found = publisher or works.publisher
    return found.publish(path, card(**changes), choice, steps.append)


def table(works: Works, data: bytes = TABLE, name: str = "valves.csv") -> Path:
    path = works.home / name
    path.write_bytes(data)
    return path


def test_a_published_dataset_can_be_found_verified_and_opened_by_its_node_alone(maker: Works) -> None:
    published = publish(maker, table(maker))
    listing = listing_of(maker.chain, maker.town.store, published.did.token)
    assert listing == published.listing
    assert (listing.rows, [column.name for column in listing.columns]) == (40, ["time", "load", "fault"])
    record = maker.vault.record(published.did.token)
    plain = maker.vault.open(record, maker.private, domain=maker.chain.domain, owner=maker.owner.address)
    assert b"".join(plain) == TABLE
    assert maker.town.store.get(listing.header) == maker.vault.header(record).to_bytes()
    assert b"".join(read_file(listing.algorithms[0].cid, maker.town.store)) == COUNT
    assert not maker.town.store.has(maker.vault.header(record).body)  # ciphertext stays at home


def test_an_offer_is_signed_by_the_owner_under_the_listings_terms(maker: Works) -> None:
    published = publish(maker, table(maker))
    price = Price(5_000_000, 3, 30, maker.chain.block_time() + 600, 2_000)
    offer, digest, _ = maker.publisher.offer(published.did.token, price)
    assert [
        found.digest for found in announced_offers(maker.chain, maker.town.store, published.did.token)
    ] == [digest]
    assert terms_of(maker.town.store, offer).algorithms == (published.listing.algorithms[0].digest,)


@pytest.mark.parametrize("seat", ["arbiter", "verifier"])
def test_neither_the_owner_nor_its_node_can_be_named_as_judge(maker: Works, seat: str) -> None:
    published = publish(maker, table(maker))
    for party in (maker.owner.address, maker.chain.node_of(maker.owner.address)):
        price = replace(Price(1, 1, 1, maker.chain.block_time() + 600, 0), **{seat: party})
        with pytest.raises(RefusedError, match="nobody judges its own case"):
            maker.publisher.offer(published.did.token, price)


def test_only_the_owner_of_a_dataset_can_offer_it(maker: Works, works: Works) -> None:
    published = publish(maker, table(maker))
    price = Price(1, 1, 1, maker.chain.block_time() + 600, 0)
    with pytest.raises(RefusedError, match="only its owner"):
        works.publisher.offer(published.did.token, price)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"time,load\n",
        b"time,load\n1,2\n3\n",
        b"time,load\n1,2,3\n",
        b"time,time\n1,2\n",
        b"1.5,2.5\n1,2\n",
        b"time,load\n1,\xff\xfe\n",
        b"time,load\n1,2\x00\n",
        b'time,load\n1,"2\n',
        b"PK\x03\x04" + bytes(100),
        b"PAR1" + bytes(100) + b"PAR1",
        b"time," + b"x" * 300 + b"\n1,2\n",
    ],
    ids=[
        "empty", "no rows", "ragged: short", "ragged: long", "doubled name", "no header", "not UTF-8", "NUL",
        "open quote", "a zip", "broken Parquet", "endless name",
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_before_anything_is_written(maker: Works, data: bytes) -> None:
    before = state(maker)
    with pytest.raises(InputError):
        publish(maker, table(maker, data))
    assert state(maker) == before


def test_what_is_no_file_is_refused_before_anything_is_written(maker: Works, tmp_path: Path) -> None:
    before = state(maker)
    for path in (tmp_path, tmp_path / "missing.csv", Path("/dev/zero"), Path("/proc/self/mem")):
        with pytest.raises(SteelyardError):
            publish(maker, path)
    assert state(maker) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"slug": "Not A Slug"},
        {"slug": "-"},
        {"name": ""},
        {"name": "two\nlines"},
        {"name": "turned \u202e round"},
        {"description": "x" * 9_000},
        {"licence": "MIT; rm -rf"},
        {"creator": "\x1b[2J"},
        {"version": "1"},
        {"keywords": ("x" * 1_000,)},
        {"sensitive": tuple("kinds" * 10)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_card_that_does_not_fit_is_refused_before_anything_is_written(
    maker: Works, changes: dict[str, Any]
) -> None:
    before = state(maker)
    with pytest.raises(InputError):
        publish(maker, table(maker), **changes)
    assert state(maker) == before


@pytest.mark.parametrize(
    "choice",
    [
        TermsChoice((), None, CustomAlgorithms.denied),
        TermsChoice((b"no bundle",), None, CustomAlgorithms.denied),
        TermsChoice((COUNT, COUNT), None, CustomAlgorithms.denied),
        TermsChoice((COUNT,), (), CustomAlgorithms.denied),
        TermsChoice((COUNT,), None, CustomAlgorithms.denied, assignee="nobody"),
        TermsChoice((COUNT,), None, CustomAlgorithms.denied, expires_at=-1),
    ],
    ids=["nothing may run", "no bundle", "one twice", "no purpose", "no address", "before time"],
)
def test_terms_that_do_not_fit_are_refused_before_anything_is_written(
    maker: Works, choice: TermsChoice
) -> None:
    before = state(maker)
    with pytest.raises(InputError):
        publish(maker, table(maker), choice=choice)
    assert state(maker) == before


@pytest.mark.parametrize("name", ["line\nbreak.csv", "esc\x1b[2J.csv", "not-utf8-\udcff.csv"], ids=ascii)
def test_a_file_whose_name_no_sandbox_can_show_is_refused(maker: Works, name: str) -> None:
    before = state(maker)
    path = table(maker, name=name)
    try:
        with pytest.raises(InputError, match="name cannot be used"):
            publish(maker, path)
    finally:
        path.unlink()
    assert state(maker) == before


def test_a_file_that_grows_between_reading_and_sealing_is_refused(maker: Works) -> None:
    before, path = state(maker), table(maker)

    def grow(step: str) -> None:
        if step == "sealing the data":
            path.write_bytes(TABLE + b"40,1.5,0\n")

    with pytest.raises(InputError, match="was changed"):
        maker.publisher.publish(path, card(), CHOICE, grow)
    assert state(maker) == before


@pytest.fixture
def broken_gateway(maker: Works) -> Iterator[tuple[Publisher, Wire]]:
    with wire(maker.town.gateway) as found, GatewayStore(found.url, timeout=2) as store:
        yield Publisher(maker.chain, store, maker.vault, maker.owner, maker.public, LISTED), found


def test_a_gateway_that_is_away_leaves_no_listing_and_an_empty_vault(
    maker: Works, broken_gateway: tuple[Publisher, Wire]
) -> None:
    publisher, found = broken_gateway
    found.cut()
    before = state(maker)
    with pytest.raises(UnavailableError):
        publish(maker, table(maker), publisher)
    assert state(maker) == before


def test_an_endpoint_that_is_away_leaves_no_listing_and_no_record(maker: Works) -> None:
    market, before = maker.town.market, state(maker)
    with (
        wire(market.embedded.url) as found,
        Chain(found.url, market.chain.deployment, confirmations=1, timeout=2) as chain,
    ):
        found.cut()
        publisher = Publisher(chain, maker.town.store, maker.vault, maker.owner, maker.public, LISTED)
        with pytest.raises(UnavailableError):
            publish(maker, table(maker), publisher)
    vault, _, listings = state(maker)
    assert (vault, listings) == (before[0], before[2])


def test_an_endpoint_that_goes_away_after_the_transaction_leaves_the_record_for_a_listing_that_may_come(
    maker: Works,
) -> None:
    """Were the record taken back, the listing would name data that nobody can open any more."""
    market, tokens = maker.town.market, maker.vault.tokens()
    listings = len(published_datasets(maker.chain))
    with (
        wire(market.embedded.url) as found,
        Chain(found.url, market.chain.deployment, confirmations=10_000, timeout=2, patience=1) as chain,
    ):
        publisher = Publisher(chain, maker.town.store, maker.vault, maker.owner, maker.public, LISTED)
        with pytest.raises(UnavailableError, match="not confirmed yet"):
            publish(maker, table(maker), publisher)
    assert len(published_datasets(maker.chain)) == listings + 1
    (added,) = set(maker.vault.tokens()) - set(tokens)
    assert listing_of(maker.chain, maker.town.store, added).rows == 40


def test_a_transaction_that_the_chain_refuses_leaves_an_empty_vault(maker: Works) -> None:
    poor = maker.town.market.account("a publisher without ether")
    maker.town.market.embedded.faucet(poor.address, 0)
    before = state(maker)
    publisher = Publisher(maker.chain, maker.town.store, maker.vault, poor, maker.public, LISTED)
    with pytest.raises(RefusedError, match="cannot pay"):
        publish(maker, table(maker), publisher)
    vault, _, listings = state(maker)
    assert (vault, listings) == (before[0], before[2])


def test_a_full_disk_is_said_and_nothing_is_listed(maker: Works, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        large = b"time,load\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(80_000))
        listings = len(published_datasets(maker.chain))
        vault = Vault(folder / "vault")
        publisher = Publisher(maker.chain, maker.town.store, vault, maker.owner, maker.public, LISTED)
        with pytest.raises(UnavailableError, match="Free some space"):
            publish(maker, table(maker, large), publisher)
        assert [path for path in folder.rglob("*") if path.is_file()] == []
        assert len(published_datasets(maker.chain)) == listings
    finally:
        subprocess.run(["umount", folder], check=True)
