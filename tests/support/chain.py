"""A real development chain with the market on it, and accounts that can pay: for every folder of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32
from eth_utils.crypto import keccak

from marketplace import bonds
from marketplace.chain.client import ETHER, Chain
from marketplace.chain.deploy import Powers, deploy
from marketplace.chain.embedded import EURO, EmbeddedChain, fund
from marketplace.core.eip712 import Struct
from marketplace.core.events import AssetPublished
from marketplace.core.job import Receipt, Request
from marketplace.core.limits import Limits
from marketplace.core.offer import Offer


@dataclass(frozen=True)
class RunningMarket:
    """What a test needs of a chain. deployer governs, pauses and trusts issuers too."""

    embedded: EmbeddedChain
    chain: Chain
    deployer: LocalAccount
    provider: LocalAccount
    node: LocalAccount
    buyer: LocalAccount

    def account(self, name: str, *, euros: int = 0) -> LocalAccount:
        """An account of its own for a test, with ether and perhaps euros."""
        account = account_named(name)
        fund(self.chain, account.address, euros)
        return account

    def sign(self, struct: Struct, account: LocalAccount) -> bytes:
        return bytes(account.unsafe_sign_hash(Hash32(struct.digest(self.chain.domain))).signature)

    def publish(self, salt: bytes, metadata: bytes = bytes(31) + b"\1") -> int:
        """A dataset of the provider, whose node and bond are set; returns its token id."""
        self.chain.send("ParticipantRegistry", "setNode", (self.node.address, b"\7" * 32, 0), self.provider)
        self.pledge(self.provider)
        sent = self.chain.send("AssetRegistry", "publish", (1, salt, metadata), self.provider)
        return next(event.asset_id for event in sent.events if isinstance(event, AssetPublished))

    def pledge(self, provider: LocalAccount) -> None:
        """Fills the provider's bond up."""
        if missing := bonds.missing(self.chain, provider.address):
            fund(self.chain, provider.address, -(-missing // EURO))
            bonds.deposit(self.chain, provider, missing)

    def offer(self, asset: int, **changes: Any) -> Offer:
        """An offer of the provider that stands for a day: ten uses at 2 euros, a failure fee of 10 %."""
        fields: dict[str, Any] = {
            "provider": self.provider.address,
            "price": 2_000_000,
            "max_uses": 10,
            "valid_until": self.chain.block_time() + 86_400,
            "failure_fee_bps": 1_000,
        }
        return Offer(asset, **(fields | changes))

    def buy(self, offer: Offer, uses: int = 1) -> bytes:
        """Buys with a permit; returns the offer's digest."""
        permit = self.chain.permit(self.buyer, uses * offer.price, self.chain.block_time() + 600)
        signature = self.sign(offer, self.provider)
        self.chain.send("Market", "buyWithPermit", (offer.to_tuple(), signature, uses, permit), self.buyer)
        return offer.digest(self.chain.domain)

    def open(self, offer_digest: bytes, index: int = 0) -> Request:
        request = Request(offer_digest, self.buyer.address, index, b"\2" * 32, b"\3" * 32)
        call = (offer_digest, index, request.algorithm, request.spec)
        self.chain.send("Market", "openJob", call, self.buyer)
        return request

    def receipt(self, job_id: bytes, wrapped_key: bytes) -> Receipt:
        now = self.chain.block_time()
        return Receipt(job_id, b"\4" * 32, b"\5" * 32, keccak(wrapped_key), b"\6" * 32, 3, now, now)


def account_named(name: str) -> LocalAccount:
    """The same account for the same name."""
    account: LocalAccount = Account.from_key(keccak(text=f"a test's {name}"))
    return account


def limits_of(*, window: int = 3, job_time: int = 600, dispute_time: int = 600) -> Limits:
    """Times in seconds; a bond of 100 euros, a penalty of 1, a stake of 10, a judge's fee of 4."""
    return Limits(window, job_time, dispute_time, 100 * EURO, EURO, 10 * EURO, 4 * EURO)


def powers_of(account: LocalAccount) -> Powers:
    """One account that governs, pauses and trusts issuers, all without a delay."""
    return Powers(account.address, account.address, account.address, 0)


@contextmanager
def running_market(
    *, window: int = 3, job_time: int = 600, dispute_time: int = 600, euros: int = 1_000
) -> Iterator[RunningMarket]:
    """A fresh chain with everything deployed. window, job_time, dispute_time: seconds. euros: what the buyer holds."""
    names = ("deployer", "provider", "node", "buyer")
    deployer, provider, node, buyer = (account_named(name) for name in names)
    with EmbeddedChain() as embedded:
        for account in (deployer, provider, node, buyer):
            embedded.faucet(account.address, 100 * ETHER)
        limits = limits_of(window=window, job_time=job_time, dispute_time=dispute_time)
        deployment = deploy(embedded.url, deployer, limits=limits, powers=powers_of(deployer))
        with Chain(embedded.url, deployment, confirmations=1, timeout=20) as chain:
            fund(chain, buyer.address, euros)
            yield RunningMarket(embedded, chain, deployer, provider, node, buyer)
