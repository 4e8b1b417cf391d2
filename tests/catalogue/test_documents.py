"""Documents of strangers: what is missing is tried again, what does not fit is named, and nothing stops."""

from __future__ import annotations

import re
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from marketplace.catalogue import search
from marketplace.catalogue.documents import MAX_FAILURE_FEE_BPS, NOT_ENFORCED, DocumentReader, Place
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.rows import Asset, Listing, OfferDocument
from marketplace.catalogue.schema import Database, fetch, get
from marketplace.catalogue.search import Query, Standing
from marketplace.core.canonical import canonical, sha256
from marketplace.core.cid import Cid
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.offer import Approval, Offer, Signed
from marketplace.core.terms import Purpose
from marketplace.storage import put_block
from tests.support.catalogue import Town


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def read_all(town: Town, database: Database) -> None:
    Indexer(town.market.chain, town.store, database).run_once()


def listing(database: Database, asset: int) -> Listing:
    with database.read() as connection:
        row = get(connection, Listing, asset)
    assert row is not None
    return row


def standings(database: Database, asset: int) -> list[Standing]:
    with database.read() as connection:
        row = get(connection, Asset, asset)
        assert row is not None
        return [view.standing for view in search.offers_of(connection, row, now=int(time.time()))]


def publish_block(town: Town, salt: bytes, block: bytes) -> int:
    """A dataset whose metadata is this block."""
    put_block(town.store, block)
    return town.market.publish(salt, sha256(block))


def test_a_listing_that_is_missing_is_tried_again_until_it_is_there(town: Town, database: Database) -> None:
    asset, clock = town.publish(b"\1" * 32, store=False), Clock()
    read_all(town, database)
    row = listing(database, asset)
    assert (row.status, row.name) == ("unavailable", "") and "is not at" in row.reason
    reader = DocumentReader(town.store, database, Place.of(town.market.chain), clock)
    while reader.run_once():
        pass
    written = town.listing(b"\1" * 32)
    put_block(town.store, written.to_bytes())
    assert reader.run_once() == 0  # not due yet
    clock.now = 1.0
    assert reader.run_once() > 0
    row = listing(database, asset)
    assert row.status == "unavailable" and "is not at" in row.reason  # its terms are missing still
    put_block(town.store, town.terms(written.did).to_bytes())
    clock.now = 3.0
    reader.run_once()
    row = listing(database, asset)
    assert (row.status, row.slug, row.rows) == ("ok", "valves", 49_097)
    assert row.purposes.split() == ["predictive-maintenance"]
    assert row.document.encode() == written.to_bytes()


def test_wrong_bytes_under_a_digest_are_no_listing_and_the_right_ones_are_taken_later(
    town: Town, database: Database
) -> None:
    asset = town.publish(b"\2" * 32)
    path = town.folder.path_of(town.listing(b"\2" * 32).cid)
    right = path.read_bytes()
    path.write_bytes(right.replace(b"Valve", b"Value"))
    read_all(town, database)
    assert listing(database, asset).reason == "the store holds other bytes under this name"
    path.write_bytes(right)
    Indexer(town.market.chain, town.store, database).run_once()
    assert listing(database, asset).status == "ok"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 50_000, "nested"),
        (b'{"a":1,"a":2}', "stands twice"),
        (b'{"name":"Valves"}', "the listing does not fit"),
        (b"x" * 300_000, ""),
    ],
    ids=["empty", "not UTF-8", "deep", "duplicate keys", "another document", "too long"],
)
def test_a_malformed_listing_is_named_and_not_shown(
    town: Town, database: Database, block: bytes, reason: str
) -> None:
    town.store.put(Cid.of("raw", block), block)
    asset = town.market.publish(sha256(b"salt" + block), sha256(block))
    good = town.publish(sha256(b"good" + block))
    read_all(town, database)
    row = listing(database, asset)
    assert row.status in ("invalid", "unavailable") and reason in row.reason
    with database.read() as connection:
        shown = [hit.asset.asset_id for hit in search.search(connection, Query(limit=100), now=0).hits]
    assert good in shown and asset not in shown


def test_a_listing_of_another_asset_and_terms_of_another_asset_are_refused(
    town: Town, database: Database
) -> None:
    original = town.listing(b"\4" * 32)
    copied = publish_block(town, b"\5" * 32, original.to_bytes())
    put_block(town.store, town.terms(original.did).to_bytes())
    foreign = town.publish(b"\6" * 32, terms=town.terms(original.did))
    read_all(town, database)
    assert "names another asset" in listing(database, copied).reason
    assert "terms are for another asset" in listing(database, foreign).reason


def test_an_offer_of_the_owner_stands_and_one_of_a_stranger_is_forged(town: Town, database: Database) -> None:
    market = town.market
    asset = town.publish(b"\7" * 32)
    genuine = market.offer(asset, price=3_000_000)
    digest = town.announce(genuine)
    town.announce(market.offer(asset, price=1, salt=b"\1" * 32), by=market.buyer)
    # The owner's own offer under a stranger's signature, announced once more.
    forged = put_block(town.store, Signed(genuine, market.sign(genuine, market.buyer)).to_bytes())
    town.announce_document(asset, digest, forged.digest, market.buyer)
    read_all(town, database)
    assert standings(database, asset) == [Standing.open, Standing.forged, Standing.forged]
    with database.read() as connection:
        (hit,) = search.search(connection, Query(limit=1), now=int(time.time())).hits
        assert (hit.asset.asset_id, hit.price, hit.offers) == (asset, 3_000_000, 1)
        view = search.offer(connection, digest, now=int(time.time()))
    assert view and (view.standing, view.offer.signer) == (Standing.open, market.provider.address)


def test_announcements_of_anything_but_that_offer_are_invalid(town: Town, database: Database) -> None:
    market = town.market
    asset, domain = town.publish(b"\x08" * 32), market.chain.domain
    offer = market.offer(asset)
    digest = offer.digest(domain)
    signature = market.sign(offer, market.provider)
    elsewhere = replace(offer, asset_id=asset + 1)
    approval = Approval(asset, market.buyer.address, bytes(32), True, 2**32)
    blocks = {
        "digest is another offer's": Signed(replace(offer, price=5), signature).to_bytes(),
        "for another asset": Signed(elsewhere, market.sign(elsewhere, market.provider)).to_bytes(),
        "is no offer": Signed(approval, market.sign(approval, market.provider)).to_bytes(),
        "signature is malformed": Signed(offer, signature[:64] + b"\x02").to_bytes(),
        "does not fit": canonical(
            {"type": "Offer", "value": {**offer.to_json(), "price": -1}, "signature": "0x" + signature.hex()}
        ),
        "other fields": b'{"type":"Offer"}',
    }
    for block in blocks.values():
        town.announce_document(asset, digest, put_block(town.store, block).digest, market.buyer)
    town.announce_document(asset, digest, b"\x66" * 32, market.buyer)
    for change in (
        {"arbiter": market.provider.address},
        {"failure_fee_bps": 2_001},
        {"budget_cost": b"\1" * 32},
    ):
        town.announce(replace(offer, **change))
    town.announce(offer)
    read_all(town, database)
    with database.read() as connection:
        rows = [row for row in fetch(connection, OfferDocument) if row.asset_id == asset]
        view = search.offer(connection, digest, now=int(time.time()))
    reasons = {row.document: row.reason for row in rows}
    for words, block in blocks.items():
        assert words in reasons[sha256(block)]
    assert standings(database, asset) == [Standing.open, Standing.unavailable] + [Standing.invalid] * 9
    assert view and view.standing is Standing.open


def test_an_offer_with_judges_or_a_role_that_the_market_takes_is_open(town: Town, database: Database) -> None:
    market = town.market
    asset = town.publish(b"\x0e" * 32)
    judge = market.account("a judge").address
    judged = market.offer(asset, arbiter=judge, verifier=judge)
    town.announce(judged)
    town.announce(market.offer(asset, required_role=b"\1" * 32, salt=b"\1" * 32))
    read_all(town, database)
    assert standings(database, asset) == [Standing.open, Standing.open]
    market.buy(judged)  # the Market says the same


def test_the_offers_that_are_called_invalid_are_those_that_the_market_refuses() -> None:
    source = Path(__file__, "../../../contracts/libraries/OfferRules.sol").resolve().read_text()
    refused = re.findall(r'requireZero\("(\w+)", .*offer\.(\w+)', source)
    (most,) = re.findall(r"MAX_FAILURE_FEE_BPS = ([\d_]+);", source)
    names = dict(zip((name for name, _ in Offer.TYPES), (field.name for field in fields(Offer)), strict=True))
    assert refused and all(said == read for said, read in refused)
    assert {names[name] for name, _ in refused} == set(NOT_ENFORCED)
    assert int(most) == MAX_FAILURE_FEE_BPS


def test_a_raised_epoch_a_sale_and_time_end_an_offer(town: Town, database: Database) -> None:
    market = town.market
    asset = town.publish(b"\x09" * 32)
    offer = market.offer(asset)
    town.announce(offer)
    read_all(town, database)
    assert standings(database, asset) == [Standing.open]
    with database.read() as connection:
        row = get(connection, Asset, asset)
        assert row
        (view,) = search.offers_of(connection, row, now=offer.valid_until + 1)
        assert view.standing is Standing.expired
    market.chain.send("Market", "raiseEpoch", (asset,), market.provider)
    town.announce(market.offer(asset, epoch=1, salt=b"\2" * 32))
    read_all(town, database)
    assert standings(database, asset) == [Standing.open, Standing.void]
    call = (market.provider.address, market.buyer.address, asset)
    market.chain.send("AssetRegistry", "transferFrom", call, market.provider)
    read_all(town, database)
    assert standings(database, asset) == [Standing.forged, Standing.forged]


def test_an_offer_for_one_buyer_prices_nothing_for_others(town: Town, database: Database) -> None:
    asset = town.publish(b"\x0a" * 32)
    town.announce(town.market.offer(asset, buyer=town.market.buyer.address))
    read_all(town, database)
    with database.read() as connection:
        (hit,) = search.search(connection, Query(limit=1), now=int(time.time())).hits
    assert (hit.asset.asset_id, hit.price, hit.offers) == (asset, None, 0)
    assert standings(database, asset) == [Standing.open]


def test_an_asset_without_a_form_of_listing_is_kept_and_named(town: Town, database: Database) -> None:
    market = town.market
    market.chain.send("AssetRegistry", "publish", (2, b"\x0b" * 32, b"\x01" * 32), market.provider)
    read_all(town, database)
    with database.read() as connection:
        (algorithm,) = [row for row in fetch(connection, Asset) if row.kind == 2]
    assert "no form of listing" in listing(database, algorithm.asset_id).reason


def test_search_by_purpose_finds_what_the_terms_allow(town: Town, database: Database) -> None:
    asset = town.publish(b"\x0c" * 32)
    read_all(town, database)
    with database.read() as connection:

        def found(purpose: Purpose) -> list[int]:
            hits = search.search(connection, Query(purpose=purpose, limit=100), now=0).hits
            return [hit.asset.asset_id for hit in hits]

        assert asset in found(Purpose.predictive_maintenance)
        assert asset not in found(Purpose.healthcare)


def test_the_zero_address_is_no_owner_that_an_unreadable_signature_could_fit(
    town: Town, database: Database
) -> None:
    asset = town.publish(b"\x0d" * 32)
    offer: Offer = town.market.offer(asset)
    broken = put_block(town.store, Signed(offer, bytes(64) + b"\x1b").to_bytes())
    town.announce_document(asset, offer.digest(town.market.chain.domain), broken.digest, town.market.buyer)
    read_all(town, database)
    with database.read() as connection:
        (row,) = [row for row in fetch(connection, OfferDocument) if row.asset_id == asset]
    assert (row.status, row.signer) == ("invalid", ZERO_ADDRESS)
