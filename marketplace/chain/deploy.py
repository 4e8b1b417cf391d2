"""Putting the contracts on a chain. The one module that needs web3, so that every other command starts without it."""

from __future__ import annotations

from collections.abc import Sequence

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
from marketplace.errors import InputError, IntegrityError


def deploy(
    url: str,
    account: LocalAccount,
    *,
    window: int,
    job_time: int,
    pauser: str,
    token: str | None = None,
    confirmations: int = 1,
    timeout: float = 20.0,
) -> Deployment:
    """Deploys the market; `account` pays the gas and has no power over it afterwards.

    window, job_time: seconds, 1 to 365 days. pauser: a checksummed address. token: the address of a 6-decimals ERC-20
    with permit; None deploys test euros, on development chains only.
    Raises RefusedError where a constructor or the chain says no, UnavailableError where the endpoint does.
    """
    with Rpc(url, timeout=timeout) as rpc:
        chain_id = quantity(rpc.request("eth_chainId"), "chain id")
        first_block = block_number(rpc) + 1
        sender = Sender(rpc, chain_id, confirmations=0)

        def create(name: ContractName, *arguments: object) -> str:
            receipt = sender.send(f"deploying {name}", account, None, encode_constructor(name, arguments))
            if receipt.contract is None:
                raise IntegrityError("the RPC endpoint's receipt names no contract", got=name)
            return receipt.contract

        coin = token or create("TestEuro")
        nonce = quantity(
            rpc.request("eth_getTransactionCount", account.address, "latest"), "count of transactions"
        )
        participants = create("ParticipantRegistry")
        registry = create("AssetRegistry", created_address(account.address, nonce + 3), pauser)
        market = create("Market", coin, registry, participants, pauser, window, job_time)
        # The last one confirmed, those before it are too: their nonces are lower.
        sender = Sender(rpc, chain_id, confirmations=confirmations)
        addresses: dict[ContractName, str] = {
            "TestEuro": coin,
            "ParticipantRegistry": participants,
            "AssetRegistry": registry,
            "Market": market,
            "ContributionCredits": create("ContributionCredits", market, registry),
        }
        hashes = {name: code_hash(rpc, name, address) for name, address in addresses.items()}
        return Deployment(chain_id, genesis(rpc), first_block, window, job_time, addresses, hashes)


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
