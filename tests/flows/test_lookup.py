"""Finding assets and offers from chain and content alone: what is meant, what is usable, what is only said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest

from compute.provider.publish import Price
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.ids import Did
from marketplace.core.offer import Approval, Offer, Signed
from marketplace.errors import InputError, NotFoundError, RefusedError, UnavailableError
from marketplace.lookup import (
    announced_offers,
    cheapest,
    did_of,
    job_opened,
    listing_of,
    offer_of,
    offers_for,
    published_datasets,
    resolve,
    usable_offer,
)
from marketplace.storage import GatewayStore, put_block
from tests.flows.conftest import COUNT, Stall
from tests.support.chain import account_named
from tests.support.wire import wire
from tests.support.works import Works, open_works

ANYONE = account_named("anyone").address


def usable(stall: Stall, token: int, buyer: str = ANYONE, *, at: int | None = None) -> Offer:
    """at: Unix seconds, now if not given."""
    moment = stall.town.market.chain.block_time() if at is None else at
    return usable_offer(stall.town.market.chain, stall.town.store, token, buyer, moment).offer


def listed(stall: Stall, slug: str) -> int:
    """A dataset of its own, not offered yet."""
    return stall.works.publish(COUNT, slug=slug).token


def offered(stall: Stall, token: int, **changes: Any) -> Offer:
    """An offer of the stall's owner with some fields as a test wants them, signed and announced."""
    chain, owner = stall.town.market.chain, stall.works.owner
    fields: dict[str, Any] = {
        "provider": owner.address, "price": 1_000_000, "max_uses": 5, "term_days": 30,
        "valid_until": chain.block_time() + 3_600, "epoch": chain.epoch(token), "salt": sha256(repr(changes).encode()),
    }  # fmt: skip
    offer = Offer(token, **(fields | changes))
    stall.town.announce(offer, by=owner)
    return offer


# What a name means


def test_a_dataset_is_found_by_id_did_slug_and_owner_with_slug(stall: Stall) -> None:
    chain, store, token = stall.town.market.chain, stall.town.store, listed(stall, "found-by-all")
    owner = stall.works.owner.address
    names = [
        str(token),
        str(did_of(chain, token)),
        "found-by-all",
        f"{owner}/found-by-all",
        f"{owner.lower()}/found-by-all",
    ]
    assert [resolve(chain, store, name) for name in names] == [token] * 5


def test_a_slug_that_two_providers_use_must_be_told_apart_by_its_owner(
    stall: Stall, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chain, store = stall.town.market.chain, stall.town.store
    token = listed(stall, "twice")
    other = open_works(stall.town, stall.works.sandbox, tmp_path_factory.mktemp("other"), "another provider")
    squatter = other.publish(COUNT, slug="twice").token
    with pytest.raises(InputError, match="several datasets have that name") as caught:
        resolve(chain, store, "twice")
    assert str(token) in str(caught.value) and str(squatter) in str(caught.value)
    assert resolve(chain, store, f"{stall.works.owner.address}/twice") == token
    assert resolve(chain, store, f"{other.owner.address}/twice") == squatter


@pytest.mark.parametrize(
    "name",
    ["no-such-slug", "", "/", "0x1234/valves", "valves/", "../valves", "VALVES", "\x1b[2J", "x" * 10_000],
    ids=ascii,
)
def test_a_name_that_nobody_uses_is_not_found(stall: Stall, name: str) -> None:
    with pytest.raises(NotFoundError, match="no dataset of that name"):
        resolve(stall.town.market.chain, stall.town.store, name)


@pytest.mark.parametrize("name", ["0", "7", "9" * 77, str(1 << 255), str((1 << 248) + 12)])
def test_an_id_that_is_no_asset_is_refused(stall: Stall, name: str) -> None:
    with pytest.raises(InputError):
        resolve(stall.town.market.chain, stall.town.store, name)


def test_a_did_of_another_market_is_refused_and_says_which_is_meant_here(stall: Stall) -> None:
    chain, token = stall.town.market.chain, stall.dataset.token
    here = did_of(chain, token)
    for other in (
        dataclasses.replace(here, chain_id=1),
        dataclasses.replace(here, registry="0x" + "22" * 20),
    ):
        with pytest.raises(InputError, match="of another market") as caught:
            resolve(chain, stall.town.store, str(other))
        assert str(here) in str(caught.value)
    for text in ("did:steelyard:1", f"{here}0", "did:web:example.org", f" {here}"):
        with pytest.raises(InputError):
            resolve(chain, stall.town.store, text)


def test_a_listing_of_another_asset_is_not_taken_for_this_one(stall: Stall) -> None:
    """Anyone can publish an asset that names somebody else's listing."""
    chain, thief = stall.town.market.chain, stall.town.market.account("a thief of listings")
    metadata = chain.metadata(stall.dataset.token)
    chain.send("AssetRegistry", "publish", (1, b"\1" * 32, metadata), thief)
    token = published_datasets(chain)[-1][0]
    with pytest.raises(InputError, match="names another asset"):
        listing_of(chain, stall.town.store, token)
    assert resolve(chain, stall.town.store, f"{stall.works.owner.address}/valves") == stall.dataset.token


@pytest.mark.parametrize("document", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_a_listing_that_does_not_parse_hides_no_other_dataset(stall: Stall, document: bytes) -> None:
    chain, vandal = stall.town.market.chain, stall.town.market.account("a vandal")
    digest = put_block(stall.town.store, document).digest
    chain.send("AssetRegistry", "publish", (1, sha256(document), digest), vandal)
    owner = stall.works.owner.address
    assert resolve(chain, stall.town.store, f"{owner}/valves") == stall.dataset.token


def test_a_gateway_that_is_away_is_no_missing_dataset_and_no_missing_offer(stall: Stall) -> None:
    chain = stall.town.market.chain
    with wire(stall.town.gateway) as broken, GatewayStore(broken.url, timeout=1) as store:
        broken.cut()
        with pytest.raises(UnavailableError):
            resolve(chain, store, "valves")
        with pytest.raises(UnavailableError):
            usable_offer(chain, store, stall.dataset.token, ANYONE, chain.block_time())
        with pytest.raises(UnavailableError):
            offer_of(chain, store, stall.dataset.offer_digest)


# Names that cost money


@contextmanager
def hidden(stall: Stall, token: int) -> Iterator[None]:
    """A listing that the gateway does not hand out for a while."""
    path = stall.town.folder.path_of(Cid.raw(stall.town.market.chain.metadata(token)))
    lost = path.rename(path.with_suffix(".hidden"))
    try:
        yield
    finally:
        lost.rename(path)


@contextmanager
def spoiled(stall: Stall, token: int) -> Iterator[None]:
    """A listing of which the gateway hands out other bytes for a while."""
    path = stall.town.folder.path_of(Cid.raw(stall.town.market.chain.metadata(token)))
    with hidden(stall, token):
        path.write_bytes(b"{}")
        yield


@pytest.fixture(scope="module")
def squatter(stall: Stall, tmp_path_factory: pytest.TempPathFactory) -> Works:
    return open_works(stall.town, stall.works.sandbox, tmp_path_factory.mktemp("squatter"), "a squatter")


@pytest.mark.parametrize("withhold", [hidden, spoiled])
def test_a_gateway_that_withholds_a_listing_does_not_choose_who_is_paid(
    stall: Stall, squatter: Works, withhold: Callable[[Stall, int], AbstractContextManager[None]]
) -> None:
    chain, store, slug = stall.town.market.chain, stall.town.store, f"wanted-{withhold.__name__}"
    honest, other = listed(stall, slug), squatter.publish(COUNT, slug=slug).token
    with withhold(stall, honest):
        with pytest.raises(RefusedError, match="cannot be read") as caught:
            resolve(chain, store, slug, strict=True)
        assert str(honest) in str(caught.value) and str(other) not in str(caught.value)
        assert "owner/slug" in str(caught.value) and "its id" in str(caught.value)
        with pytest.raises(NotFoundError):
            resolve(chain, store, f"{stall.works.owner.address}/{slug}", strict=True)
        assert resolve(chain, store, str(honest), strict=True) == honest
        assert resolve(chain, store, str(did_of(chain, honest)), strict=True) == honest


def test_who_only_reads_goes_on_and_is_told_what_cannot_be_read(stall: Stall) -> None:
    chain, store = stall.town.market.chain, stall.town.store
    token, away = listed(stall, "to-be-read"), listed(stall, "away")
    said: list[str] = []
    assert resolve(chain, store, "to-be-read", say=said.append) == token
    assert said == []
    with hidden(stall, away):
        assert resolve(chain, store, "to-be-read", say=said.append) == token
        assert resolve(chain, store, str(token), say=said.append) == token
        with pytest.raises(NotFoundError, match=str(away)):
            resolve(chain, store, "away")
    assert len(said) == 1 and str(away) in said[0]


def test_a_strangers_listing_that_is_missing_for_ever_bars_neither_owner_with_slug_nor_id(
    stall: Stall, squatter: Works
) -> None:
    chain, store, token = stall.town.market.chain, stall.town.store, listed(stall, "barred")
    missing = squatter.publish(COUNT, slug="missing").token
    with hidden(stall, missing):
        with pytest.raises(RefusedError, match="owner/slug, with the owner's whole address, or its id"):
            resolve(chain, store, "barred", strict=True)
        owner = stall.works.owner.address
        names = (str(token), f"{owner}/barred", f"{owner.lower()}/barred", str(did_of(chain, token)))
        assert [resolve(chain, store, name, strict=True) for name in names] == [token] * 4
    assert resolve(chain, store, "barred", strict=True) == token


def test_an_owners_own_missing_listing_bars_all_of_his_names_but_no_id(stall: Stall) -> None:
    chain, store, owner = stall.town.market.chain, stall.town.store, stall.works.owner.address
    token, missing = listed(stall, "half-there"), listed(stall, "half-gone")
    with hidden(stall, missing):
        with pytest.raises(RefusedError) as caught:
            resolve(chain, store, f"{owner}/half-there", strict=True)
        assert caught.value.expected == "its id"
        assert resolve(chain, store, str(token), strict=True) == token


def test_documents_that_are_there_but_no_listing_of_their_asset_bar_no_name(stall: Stall) -> None:
    chain, vandal = stall.town.market.chain, stall.town.market.account("another vandal")
    token, document = listed(stall, "unbarred"), b"[]"
    digest = put_block(stall.town.store, document).digest
    for salt, metadata in ((b"\1" * 32, digest), (b"\2" * 32, chain.metadata(token))):
        chain.send("AssetRegistry", "publish", (1, salt, metadata), vandal)
    assert resolve(chain, stall.town.store, "unbarred", strict=True) == token


def test_an_error_names_a_few_of_many_unreadable_listings(stall: Stall, squatter: Works) -> None:
    token = listed(stall, "among-many")
    many = [squatter.publish(COUNT, slug=f"many-{n}").token for n in range(7)]
    with ExitStack() as stack:
        for one in many:
            stack.enter_context(hidden(stall, one))
        with pytest.raises(RefusedError, match="and 2 more") as caught:
            resolve(stall.town.market.chain, stall.town.store, "among-many", strict=True)
    assert [str(one) in str(caught.value) for one in (*many, token)] == [True] * 5 + [False] * 3


# Which offers can be used


def test_the_cheapest_offer_that_is_open_to_the_buyer_is_taken(stall: Stall) -> None:
    token = listed(stall, "cheapest")
    friend = account_named("a friend").address
    open_, special = offered(stall, token, price=900_000), offered(stall, token, price=100_000, buyer=friend)
    offered(stall, token, price=1_500_000)
    assert usable(stall, token) == open_
    assert usable(stall, token, friend) == special


def test_an_offer_for_somebody_else_is_not_usable(stall: Stall) -> None:
    token = stall.town.publish(b"\x61" * 32)
    only = stall.town.market.offer(token, buyer=account_named("a friend").address)
    stall.town.announce(only)
    with pytest.raises(RefusedError, match="no offer that you can buy"):
        usable(stall, token)
    assert usable(stall, token, account_named("a friend").address) == only


def test_a_named_offer_is_taken_though_another_is_cheaper(stall: Stall) -> None:
    chain, store, token = stall.town.market.chain, stall.town.store, listed(stall, "by-digest")
    cheap, dear = offered(stall, token, price=1), offered(stall, token, price=3_000_000)
    private = offered(stall, token, price=2, buyer=account_named("a friend").address)

    def named(offer: Offer, asset: int = token) -> Offer:
        digest = offer.digest(chain.domain)
        return usable_offer(chain, store, asset, ANYONE, chain.block_time(), digest=digest).offer

    assert (usable(stall, token), named(dear), named(cheap)) == (cheap, dear, cheap)
    with pytest.raises(RefusedError, match="for others"):
        named(private)
    with pytest.raises(NotFoundError, match="no readable offer with that digest"):
        named(dear, stall.dataset.token)


def test_each_offer_says_why_this_buyer_cannot_buy_it(stall: Stall) -> None:
    chain, store, token = stall.town.market.chain, stall.town.store, listed(stall, "obstacles")
    chain.send("Market", "raiseEpoch", (token,), stall.works.owner)
    now = chain.block_time()
    offered(stall, token, price=1, valid_until=now + 100)
    offered(stall, token, price=2, buyer=account_named("a friend").address)
    offered(stall, token, price=3, required_role=b"\7" * 32)
    open_ = offered(stall, token, price=4)
    found = offers_for(chain, store, token, ANYONE, now + 200)
    assert [one.obstacle for one in found] == ["", "needs role", "for others", "ended", "void"]
    best = cheapest(found)
    assert best and best.announced.offer == open_ == usable(stall, token, at=now + 200)
    chain.send("AssetRegistry", "pauseAsset", (token,), stall.works.owner)
    found = offers_for(chain, store, token, ANYONE, now)
    assert ({one.obstacle for one in found}, cheapest(found)) == ({"paused"}, None)


def test_an_offer_is_usable_to_its_last_second_and_not_after(stall: Stall) -> None:
    token = listed(stall, "expiring")
    base = usable(stall, token)
    offer = offered(stall, token, price=1, valid_until=stall.town.market.chain.block_time() + 100)
    assert usable(stall, token, at=offer.valid_until) == offer
    assert usable(stall, token, at=offer.valid_until + 1) == base


def test_an_offer_of_an_old_epoch_is_not_usable(stall: Stall) -> None:
    token = listed(stall, "old-epoch")
    chain, owner = stall.town.market.chain, stall.works.owner
    chain.send("Market", "raiseEpoch", (token,), owner)
    with pytest.raises(RefusedError):
        usable(stall, token)
    fresh, _, _ = stall.works.publisher.offer(token, Price(7, 1, 1, chain.block_time() + 600, 0))
    assert usable(stall, token) == fresh


def test_offers_that_strangers_announce_or_sign_are_no_offers(stall: Stall) -> None:
    token = listed(stall, "forged-offers")
    town, honest = stall.town, usable(stall, token)
    stranger = town.market.account("a forger")
    cheap = dataclasses.replace(honest, price=1)
    digest = cheap.digest(town.market.chain.domain)
    forged = put_block(town.store, Signed(cheap, town.market.sign(cheap, stranger)).to_bytes()).digest
    for announcer in (stranger, stall.works.owner):
        town.announce_document(token, digest, forged, announcer)
    own = dataclasses.replace(cheap, provider=stranger.address)
    town.announce(own, by=stranger)
    assert announced_offers(town.market.chain, town.store, token)[0].offer == honest
    assert usable(stall, token) == honest


@pytest.mark.parametrize("kind", ["missing", "noise", "another struct", "another asset", "another digest"])
def test_announcements_that_hold_no_offer_of_the_asset_are_passed_over(stall: Stall, kind: str) -> None:
    token = listed(stall, f"odd-{kind.replace(' ', '-')}")
    town, owner, honest = stall.town, stall.works.owner, usable(stall, token)
    digest = honest.digest(town.market.chain.domain)
    elsewhere = dataclasses.replace(honest, asset_id=stall.dataset.token, price=1)
    approval = Approval(token, owner.address, bytes(32), True, 1)
    documents = {
        "missing": sha256(f"never stored {kind}".encode()),
        "noise": put_block(town.store, b"\xff" * 50).digest,
        "another struct": put_block(
            town.store, Signed(approval, town.market.sign(approval, owner)).to_bytes()
        ).digest,
        "another asset": put_block(
            town.store, Signed(elsewhere, town.market.sign(elsewhere, owner)).to_bytes()
        ).digest,
        "another digest": put_block(
            town.store, Signed(honest, town.market.sign(honest, owner)).to_bytes()
        ).digest,
    }
    wrong = b"\1" * 32 if kind == "another digest" else digest
    town.announce_document(token, wrong, documents[kind], owner)
    assert [found.offer for found in announced_offers(town.market.chain, town.store, token)] == [honest]
    assert offer_of(town.market.chain, town.store, digest).offer == honest


def test_an_offer_that_was_never_announced_and_a_job_that_was_never_opened_are_not_found(
    stall: Stall,
) -> None:
    with pytest.raises(NotFoundError):
        offer_of(stall.town.market.chain, stall.town.store, b"\1" * 32)
    with pytest.raises(NotFoundError):
        job_opened(stall.town.market.chain, b"\1" * 32)


def test_a_did_says_chain_registry_and_token(stall: Stall) -> None:
    did = did_of(stall.town.market.chain, stall.dataset.token)
    assert Did.parse(str(did)) == did
