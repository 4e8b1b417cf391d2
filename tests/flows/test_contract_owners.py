"""An owner that is a contract (ERC-1271): its offer is found, bought and audited; without its word it is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from marketplace import purchase
from marketplace.catalogue import search
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.catalogue.search import Standing
from marketplace.chain.contracts import encode_call
from marketplace.core.offer import Signed
from marketplace.errors import RefusedError
from marketplace.lookup import usable_offer
from marketplace.storage import put_block
from marketplace.verify import verify
from tests.flows.conftest import Stall
from tests.support.buyers import new_buyer

WALLET = "0x00000000000000000000000000000000000012A1"
YES = "0x" + "7f" + "1626ba7e" + "00" * 28 + "5f5260205ff3"
"""Code that answers every call with ERC-1271's magic value: PUSH32 magic, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN."""
NO = "0x5f5f5260205ff3"
SIGNATURE = b"whatever the contract takes, of any length" * 3


def send(stall: Stall, contract: str, function: str, *arguments: object) -> None:
    """A call in the wallet's own name."""
    chain = stall.town.market.chain
    addresses = chain.deployment.addresses
    call = {
        "from": WALLET,
        "to": addresses[contract],  # type: ignore[index]
        "data": "0x" + encode_call(contract, function, arguments).hex(),  # type: ignore[arg-type]
        "gas": hex(1_000_000),
    }
    before = chain.head()
    chain.rpc.request("eth_sendTransaction", call)
    stall.town.market.embedded.mine(2)
    assert chain.head() > before


@pytest.fixture
def wallet(stall: Stall) -> str:
    """A contract with ether, a bond and a dataset."""
    market, owner = stall.town.market, stall.works.owner
    rpc = market.embedded.rpc
    rpc.request("anvil_setCode", WALLET, YES)
    rpc.request("anvil_impersonateAccount", WALLET)
    market.embedded.faucet(WALLET)
    bond = market.chain.deployment.limits.min_bond
    market.chain.send("TestEuro", "mint", (WALLET, bond), owner)
    send(stall, "TestEuro", "approve", market.chain.deployment.market, bond)
    send(stall, "Market", "depositBond", bond)
    transfer = (owner.address, WALLET, stall.dataset.token)
    market.chain.send("AssetRegistry", "transferFrom", transfer, owner)
    return WALLET


def standing(stall: Stall, folder: Path, digest: bytes) -> Standing | None:
    """What a hub that begins now says of an offer."""
    database = Database(folder / "hub.db")
    try:
        Indexer(stall.town.market.chain, stall.town.store, database).run_once()
        with database.read() as connection:
            view = search.offer(connection, digest, now=stall.town.market.chain.block_time())
            return view and view.standing
    finally:
        database.close()


def test_an_offer_of_a_contract_is_found_bought_and_audited(
    stall: Stall, wallet: str, tmp_path: Path
) -> None:
    chain, store = stall.town.market.chain, stall.town.store
    offer = replace(stall.dataset.offer, provider=wallet, salt=b"a contract's".ljust(32, b"\0"))
    digest = offer.digest(chain.domain)
    document = put_block(store, Signed(offer, SIGNATURE).to_bytes())
    send(stall, "Market", "announceOffer", offer.asset_id, digest, document.digest)

    buyer = new_buyer(stall.town, "of a contract")
    found = usable_offer(chain, store, offer.asset_id, buyer.account.address, chain.block_time())
    assert (found.digest, found.signature) == (digest, SIGNATURE)
    purchase.buy(chain, buyer.account, found, 1, pay="permit")
    report = verify(chain, store, offer.asset_id)
    assert report.ok, report.failures()
    signed = [check for check in report.checks if check.name == "offer signature"]
    assert wallet in [check.got for check in signed]
    assert standing(stall, tmp_path / "before", digest) is Standing.open

    stall.town.market.embedded.rpc.request("anvil_setCode", wallet, NO)
    stall.town.market.embedded.mine(2)
    with pytest.raises(RefusedError, match="no offer"):
        usable_offer(chain, store, offer.asset_id, buyer.account.address, chain.block_time())
    assert standing(stall, tmp_path / "after", digest) is not Standing.open
    assert chain.accepts(wallet, digest, SIGNATURE) is False
    assert chain.accepts(buyer.account.address, digest, SIGNATURE) is False
