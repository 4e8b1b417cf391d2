"""Putting the contracts on a chain. The one module that needs web3, so that every other command starts without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.types import Nonce
from web3.utils.address import get_create_address

from marketplace.chain.blocks import block_number
from marketplace.chain.contracts import ContractName, artifact
from marketplace.chain.deployment import Deployment, code_hash, genesis
from marketplace.chain.rpc import Rpc, quantity
from marketplace.chain.transactions import Sender
from marketplace.core.limits import Limits
from marketplace.errors import InputError, IntegrityError


class Powers(NamedTuple):
    """Whom Authority.sol obeys: checksummed addresses. delay: seconds that governor and registrar announce ahead."""

    governor: str
    pauser: str
    registrar: str
    delay: int


def deploy(
    url: str,
    account: LocalAccount,
    *,
    limits: Limits,
    powers: Powers,
    token: str | None = None,
    confirmations: int = 1,
    timeout: float = 20.0,
) -> Deployment:
    """Deploys the market; `account` pays the gas and has no power over it afterwards.

    limits: times of 1 second to 365 days. token: the address of a 6-decimals ERC-20 with permit; None deploys test
    euros, on development chains only.
    Raises RefusedError where a constructor or the chain says no, UnavailableError where the endpoint does.
    """
    with Rpc(url, timeout=timeout) as rpc:
        chain_id = quantity(rpc.request("eth_chainId"), "chain id")
        first_block = block_number(rpc) + 1
        sender = Sender(rpc, chain_id, confirmations=0)

        def create(name: ContractName, *arguments: object, at: str | None = None) -> str:
            receipt = sender.send(f"deploying {name}", account, None, encode_constructor(name, arguments))
            if receipt.contract is None:
                raise IntegrityError("the RPC endpoint's receipt names no contract", got=name)
            if at not in (None, receipt.contract):
                raise IntegrityError(
                    f"{name} stands elsewhere than the others were told: the deployer sent something in between",
                    got=receipt.contract,
                    expected=at,
                    do="Deploy again, from an account that does nothing else.",
                )
            return receipt.contract

        coin, forwarder = token or create("TestEuro"), create("Forwarder")
        nonce = quantity(
            rpc.request("eth_getTransactionCount", account.address, "latest"), "count of transactions"
        )
        authority, participants, registry, market, credits = (
            created_address(account.address, nonce + place) for place in range(5)
        )
        create("Authority", *powers, market, registry, participants, at=authority)
        create("ParticipantRegistry", authority, at=participants)
        create("AssetRegistry", credits, authority, at=registry)
        create("Market", coin, registry, participants, authority, forwarder, limits.to_tuple(), at=market)
        # The last one confirmed, those before it are too: their nonces are lower.
        sender = Sender(rpc, chain_id, confirmations=confirmations)
        addresses: dict[ContractName, str] = {
            "TestEuro": coin,
            "Forwarder": forwarder,
            "Authority": authority,
            "ParticipantRegistry": participants,
            "AssetRegistry": registry,
            "Market": market,
            "ContributionCredits": create("ContributionCredits", market, registry, forwarder, at=credits),
        }
        hashes = {name: code_hash(rpc, name, address) for name, address in addresses.items()}
        return Deployment(chain_id, genesis(rpc), first_block, limits, addresses, hashes)


def created_address(deployer: str, nonce: int) -> str:
    """The address that CREATE gives to the deployer's transaction of that nonce, checksummed."""
    return str(get_create_address(to_checksum_address(deployer), Nonce(nonce)))


def encode_constructor(name: ContractName, arguments: Sequence[object]) -> bytes:
    """The data of a transaction that deploys the contract. Raises InputError."""
    found = artifact(name)
    contract = Web3().eth.contract(abi=list(found.abi), bytecode=found.bytecode)
    try:
        text = contract.constructor(*arguments).data_in_transaction
    except Exception as error:  # web3's checks raise many unrelated classes, AttributeError among them
        reason = " ".join(str(error).split())
        raise InputError(f"these arguments do not fit {name}", got=reason) from None
    return bytes.fromhex(text[2:])
