"""Buyers without a coin for gas: what a sponsor carries for them, what it refuses, and what they do not believe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from marketplace import settlement
from marketplace.api.sponsor import Allowance, Sponsor
from marketplace.chain.client import Chain
from marketplace.chain.contracts import encode_call
from marketplace.chain.embedded import EURO
from marketplace.chain.forwarded import Carry
from marketplace.core.forward import ForwardRequest, forwarder_domain
from marketplace.core.job import Request, State
from marketplace.errors import InputError, IntegrityError, RefusedError, SteelyardError
from marketplace.hub import HubClient
from tests.support.catalogue import running_town
from tests.support.chain import RunningMarket, account_named, running_market
from tests.support.hubs import running_hub


@pytest.fixture(scope="module")
def market() -> Iterator[RunningMarket]:
    with running_market() as market:
        yield market


def poor(market: RunningMarket, name: str) -> LocalAccount:
    """An account with euros and no coin for gas."""
    account = account_named(name)
    market.chain.send("TestEuro", "mint", (account.address, 100 * EURO), market.deployer)
    assert market.chain.ether(account.address) == 0
    return account


def carried_by(market: RunningMarket, carry: Carry) -> Chain:
    chain = market.chain
    return Chain(market.embedded.url, chain.deployment, confirmations=1, timeout=20, patience=20, carry=carry)


def sponsor_of(market: RunningMarket, **allowance: Any) -> Sponsor:
    return Sponsor(market.chain, market.deployer, Allowance(**allowance))


def buy(market: RunningMarket, chain: Chain, buyer: LocalAccount, salt: bytes) -> bytes:
    offer = market.offer(market.publish(salt), salt=salt)
    permit = chain.permit(buyer, 2 * offer.price, chain.block_time() + 600)
    arguments = (offer.to_tuple(), market.sign(offer, market.provider), 2, permit)
    chain.send("Market", "buyWithPermit", arguments, buyer)
    return offer.digest(chain.domain)


def withdrawal(market: RunningMarket, account: LocalAccount, **changes: Any) -> tuple[ForwardRequest, bytes]:
    """A signed request to withdraw, which the Market refuses: nothing is owed."""
    chain = market.chain
    data = encode_call("Market", "withdraw", (account.address,))
    nonce = chain.call("Forwarder", "nonces", account.address)
    deadline = chain.block_time() + 300
    fields = {"to": chain.deployment.market, "value": 0, "gas": 200_000, "nonce": nonce, "data": data}
    request = ForwardRequest(account.address, **({**fields, "deadline": deadline} | changes))
    domain = forwarder_domain(chain.deployment.chain_id, chain.deployment.forwarder)
    return request, bytes(account.unsafe_sign_hash(Hash32(request.digest(domain))).signature)


def test_a_buyer_without_gas_buys_opens_a_job_and_gets_its_money_back(market: RunningMarket) -> None:
    buyer = poor(market, "sponsored buyer")
    with carried_by(market, sponsor_of(market).carry) as chain:
        digest = buy(market, chain, buyer, b"\1" * 32)
        assert chain.grant(digest, buyer.address).jobs_paid == 2
        request = Request(digest, buyer.address, 0, b"\2" * 32, b"\3" * 32)
        chain.send("Market", "openJob", (digest, 0, request.algorithm, request.spec), buyer)
        market.chain.send("Market", "reject", (request.to_tuple(), bytes(32)), market.node)
        assert chain.job(request.job_id).state is State.rejected
        _, units = settlement.withdraw(chain, buyer, buyer.address)
    assert units == 2_000_000
    assert market.chain.ether(buyer.address) == 0


def test_a_contract_that_refuses_says_why_before_anything_is_asked_of_the_sponsor(
    market: RunningMarket,
) -> None:
    buyer = poor(market, "sponsored in vain")

    def carry(request: ForwardRequest, signature: bytes) -> bytes:
        raise AssertionError("asked")

    with carried_by(market, carry) as chain, pytest.raises(RefusedError, match="nothing"):
        chain.send("Market", "withdraw", (buyer.address,), buyer)


def test_an_account_that_can_pay_pays_itself(market: RunningMarket) -> None:
    def carry(request: ForwardRequest, signature: bytes) -> bytes:
        raise AssertionError("asked")

    with carried_by(market, carry) as chain:
        digest = buy(market, chain, market.buyer, b"\4" * 32)
    assert market.chain.grant(digest, market.buyer.address).jobs_paid == 2


def test_a_sponsor_that_names_another_transaction_is_not_believed(market: RunningMarket) -> None:
    buyer = poor(market, "sponsored by a liar")
    other = market.chain.send("TestEuro", "mint", (buyer.address, 1), market.deployer)

    def carry(request: ForwardRequest, signature: bytes) -> bytes:
        return bytes.fromhex(other.transaction[2:])

    with carried_by(market, carry) as chain, pytest.raises(IntegrityError, match="did not carry"):
        buy(market, chain, buyer, b"\5" * 32)


def test_a_sponsor_refuses_what_it_does_not_carry(market: RunningMarket) -> None:
    account, stranger = poor(market, "asks for much"), account_named("a stranger")
    sponsor, now = sponsor_of(market), market.chain.block_time()
    deployment = market.chain.deployment
    mint = encode_call("TestEuro", "mint", (account.address, 1))
    announce = encode_call("Market", "announceOffer", (1, bytes(32), bytes(32)))
    asked: list[tuple[dict[str, Any], type[SteelyardError], str]] = [
        ({"to": deployment.token, "data": mint}, RefusedError, "buyer's own calls"),
        ({"data": announce}, RefusedError, "buyer's own calls"),
        ({"value": 1}, RefusedError, "buyer's own calls"),
        ({"gas": 1_000_001}, InputError, "too large"),
        ({"deadline": now + 3_000}, InputError, "deadline"),
        ({"deadline": now - 1}, InputError, "deadline"),
        ({"nonce": 7}, RefusedError, "nonce"),
        ({}, RefusedError, "nothing"),  # the Market's own reason
    ]
    before = market.chain.ether(market.deployer.address)
    for changes, kind, words in asked:
        with pytest.raises(kind, match=words):
            sponsor.carry(*withdrawal(market, account, **changes))
    request, signature = withdrawal(market, account)
    with pytest.raises(InputError, match="someone else"):
        sponsor.carry(replace(request, caller=stranger.address), signature)
    assert market.chain.ether(market.deployer.address) == before


def test_a_days_calls_are_counted_and_refused_ones_are_not(market: RunningMarket) -> None:
    buyer = poor(market, "asks often")
    sponsor = sponsor_of(market, of_one=1)
    with pytest.raises(RefusedError, match="nothing"):
        sponsor.carry(*withdrawal(market, buyer))
    with carried_by(market, sponsor.carry) as chain:
        digest = buy(market, chain, buyer, b"\6" * 32)
        with pytest.raises(RefusedError, match="in a day"):
            chain.send("Market", "openJob", (digest, 0, bytes(32), bytes(32)), buyer)


def test_a_sponsor_of_a_role_serves_accredited_accounts_alone(market: RunningMarket) -> None:
    sponsor = sponsor_of(market, role=b"startup".ljust(32, b"\0"))
    with pytest.raises(RefusedError, match="accredited"):
        sponsor.carry(*withdrawal(market, poor(market, "without a role")))


def test_a_hub_carries_a_buyers_call_and_passes_its_refusals_on(tmp_path: Path) -> None:
    with running_town(tmp_path / "blocks") as town:
        market = town.market
        sponsor = sponsor_of(market, of_one=1)
        with running_hub(town, tmp_path, sponsor=sponsor) as url:
            client = HubClient(url, 20.0)
            buyer = poor(market, "sponsored over HTTP")
            with carried_by(market, client.carry) as chain:
                digest = buy(market, chain, buyer, b"\7" * 32)
                assert chain.grant(digest, buyer.address).jobs_paid == 2
                with pytest.raises(RefusedError, match=r"the hub says: .*in a day"):
                    chain.send("Market", "openJob", (digest, 0, bytes(32), bytes(32)), buyer)
        with (
            running_hub(town, tmp_path / "another") as url,
            pytest.raises(RefusedError, match="pays nobody's gas"),
        ):
            HubClient(url, 20.0).carry(*withdrawal(market, buyer))
