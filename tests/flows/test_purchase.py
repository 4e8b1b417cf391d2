"""Buying access and getting back what was not used: every cent is accounted for."""

from __future__ import annotations

import dataclasses

import pytest

from marketplace import purchase, settlement
from marketplace.core.events import AccessBought
from marketplace.errors import InputError, RefusedError
from marketplace.lookup import AnnouncedOffer, usable_offer
from marketplace.purchase import Access
from tests.flows.conftest import Stall
from tests.support.buyers import Buyer, new_buyer
from tests.support.chain import account_named
from tests.support.works import PRICE

EURO = 1_000_000


@pytest.fixture
def buyer(stall: Stall, request: pytest.FixtureRequest) -> Buyer:
    return new_buyer(stall.town, f"{request.module.__name__} {request.node.name}", euros=20)


def offer_to(stall: Stall, buyer: Buyer) -> AnnouncedOffer:
    chain = stall.town.market.chain
    return usable_offer(
        chain, stall.town.store, stall.dataset.token, buyer.account.address, chain.block_time()
    )


@pytest.mark.parametrize("pay", ["permit", "approve"])
def test_uses_are_paid_for_exactly_and_nothing_more_is_allowed(stall: Stall, buyer: Buyer, pay: str) -> None:
    chain, address = stall.town.market.chain, buyer.account.address
    sent = purchase.buy(chain, buyer.account, offer_to(stall, buyer), 3, pay=pay)  # type: ignore[arg-type]
    bought = [event for event in sent.events if isinstance(event, AccessBought)]
    assert [(event.uses, event.price) for event in bought] == [(3, PRICE)]
    assert chain.token_balance(address) == 20 * EURO - 3 * PRICE
    assert chain.call("TestEuro", "allowance", address, chain.deployment.market) == 0
    grant = chain.grant(stall.dataset.offer_digest, address)
    assert (grant.jobs_paid, grant.unused(), grant.provider) == (3, 3, stall.works.owner.address)


def test_a_second_purchase_tops_up_the_first(stall: Stall, buyer: Buyer) -> None:
    for _ in range(2):
        purchase.buy(stall.town.market.chain, buyer.account, offer_to(stall, buyer), 2, pay="permit")
    (access,) = purchase.accesses(stall.town.market.chain, buyer.account.address)
    assert access == Access(stall.dataset.offer_digest, stall.dataset.token, access.grant)
    assert access.grant.jobs_paid == 4


@pytest.mark.parametrize("uses", [0, -1, 6, 65_536])
def test_uses_that_the_offer_does_not_have_are_refused_before_anything_is_sent(
    stall: Stall, buyer: Buyer, uses: int
) -> None:
    with pytest.raises(InputError, match="not on offer"):
        purchase.buy(stall.town.market.chain, buyer.account, offer_to(stall, buyer), uses, pay="permit")
    assert stall.town.market.chain.token_balance(buyer.account.address) == 20 * EURO


def test_a_top_up_beyond_what_the_offer_allows_is_refused_by_the_contract(stall: Stall, buyer: Buyer) -> None:
    chain = stall.town.market.chain
    purchase.buy(chain, buyer.account, offer_to(stall, buyer), 5, pay="permit")
    with pytest.raises(RefusedError):
        purchase.buy(chain, buyer.account, offer_to(stall, buyer), 1, pay="permit")
    assert chain.token_balance(buyer.account.address) == 20 * EURO - 5 * PRICE


@pytest.mark.parametrize("pay", ["permit", "approve"])
def test_a_wallet_with_too_little_money_is_told_how_much_is_missing(stall: Stall, pay: str) -> None:
    poor = new_buyer(stall.town, f"poor {pay}", euros=5)
    with pytest.raises(RefusedError, match="holds too little") as caught:
        purchase.buy(stall.town.market.chain, poor.account, offer_to(stall, poor), 3, pay=pay)  # type: ignore[arg-type]
    assert (caught.value.got, caught.value.expected) == ("5 EUR", "6 EUR")
    assert (
        stall.town.market.chain.call(
            "TestEuro", "allowance", poor.account.address, stall.town.market.chain.deployment.market
        )
        == 0
    )


def test_a_wallet_without_ether_is_told_so(stall: Stall, buyer: Buyer) -> None:
    stall.town.market.embedded.faucet(buyer.account.address, 0)
    with pytest.raises(RefusedError, match="cannot pay"):
        purchase.buy(stall.town.market.chain, buyer.account, offer_to(stall, buyer), 1, pay="permit")


def test_an_offer_changed_after_it_was_signed_buys_nothing(stall: Stall, buyer: Buyer) -> None:
    honest = offer_to(stall, buyer)
    for changes in ({"price": 1}, {"max_uses": 1_000}, {"provider": buyer.account.address}):
        forged = AnnouncedOffer(dataclasses.replace(honest.offer, **changes), honest.digest, honest.signature)
        with pytest.raises(RefusedError):
            purchase.buy(stall.town.market.chain, buyer.account, forged, 1, pay="permit")
    assert stall.town.market.chain.token_balance(buyer.account.address) == 20 * EURO


def test_usable_access_says_what_is_missing(stall: Stall, buyer: Buyer) -> None:
    chain, address, token = stall.town.market.chain, buyer.account.address, stall.dataset.token
    with pytest.raises(RefusedError, match="none was bought"):
        purchase.usable_access(chain, address, token)
    purchase.buy(chain, buyer.account, offer_to(stall, buyer), 1, pay="permit")
    assert purchase.usable_access(chain, address, token).grant.unused() == 1
    buyer.open(stall.dataset, b"\1" * 32, b"\2" * 32)
    with pytest.raises(RefusedError, match="every use is spent"):
        purchase.usable_access(chain, address, token)
    with pytest.raises(RefusedError, match="none was bought"):
        purchase.usable_access(chain, address, token ^ 1)


def test_unused_uses_come_back_only_once_the_access_has_ended(stall: Stall, buyer: Buyer) -> None:
    chain, address = stall.town.market.chain, buyer.account.address
    purchase.buy(chain, buyer.account, offer_to(stall, buyer), 3, pay="permit")
    request = buyer.open(stall.dataset, b"\1" * 32, b"\2" * 32)
    (access,) = purchase.accesses(chain, address)
    assert not purchase.has_ended(access.grant, chain.block_time())
    with pytest.raises(RefusedError):
        purchase.claim_unused(chain, buyer.account, access, stall.dataset.offer)
    report = b"\3" * 32  # a breach of policy ends the grant
    arguments = (request.to_tuple(), stall.dataset.offer.to_tuple(), 2, report)
    chain.send("Market", "fail", arguments, stall.works.hot)
    (access,) = purchase.accesses(chain, address)
    assert purchase.has_ended(access.grant, chain.block_time())
    _, amount = purchase.claim_unused(chain, buyer.account, access, stall.dataset.offer)
    assert amount == 2 * PRICE
    assert chain.balance(address) == 2 * PRICE + PRICE * 9 // 10
    with pytest.raises(RefusedError):
        purchase.claim_unused(chain, buyer.account, access, stall.dataset.offer)


def test_what_is_owed_is_paid_out_once_and_to_whomever_the_owner_names(stall: Stall, buyer: Buyer) -> None:
    chain, address = stall.town.market.chain, buyer.account.address
    with pytest.raises(RefusedError, match="nothing is owed"):
        settlement.withdraw(chain, buyer.account, address)
    purchase.buy(chain, buyer.account, offer_to(stall, buyer), 1, pay="permit")
    request = buyer.open(stall.dataset, b"\1" * 32, b"\2" * 32)
    chain.send("Market", "reject", (request.to_tuple(), b"no".ljust(32, b"\0")), stall.works.hot)
    for wrong in ("0x" + "00" * 20, chain.deployment.market, "nobody", "0x12"):
        with pytest.raises((RefusedError, InputError)):
            settlement.withdraw(chain, buyer.account, wrong)
    other = account_named("where the money goes").address
    _, amount = settlement.withdraw(chain, buyer.account, other)
    assert amount == PRICE == chain.token_balance(other)
    assert chain.balance(address) == 0
