"""One chain with our contracts on it: read, send, search."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from eth_account.signers.local import LocalAccount

from marketplace.chain.blocks import Block, TransactionReceipt, block_number, read_block, read_receipt
from marketplace.chain.contracts import ContractName, decode_result, encode_call
from marketplace.chain.deployment import Deployment, require_same_chain
from marketplace.chain.events import ALL_EVENTS, Decoder
from marketplace.chain.fees import Fees
from marketplace.chain.forwarded import SPONSORED, Carry, Forwarding
from marketplace.chain.permit import Permit, SignedPermit, sign_permit
from marketplace.chain.reverts import parse_revert, refusal
from marketplace.chain.rpc import Failure, Rpc, data, quantity
from marketplace.chain.search import Query, search
from marketplace.chain.signers import accepts
from marketplace.chain.transactions import PATIENCE, Sender
from marketplace.core.bond import Bond
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, Domain
from marketplace.core.events import Event
from marketplace.core.ids import Status
from marketplace.core.job import Dispute, Grant, Job
from marketplace.errors import NotFoundError, UnavailableError

E = TypeVar("E", bound=Event)

ETHER = 10**18
"""Wei in an ether."""


@dataclass(frozen=True)
class Sent:
    """A confirmed transaction. transaction: 0x-hex. seconds: from asking to its confirmation."""

    transaction: str
    gas_used: int
    block: int
    seconds: float
    events: tuple[Event, ...]


class Chain:
    """The market of one deployment over one RPC endpoint. Safe to share between threads.

    Contracts are named as in Solidity; the token is "TestEuro" whatever it is. Structs go in as tuples.
    Every call may raise UnavailableError (no answer), IntegrityError (an answer that does not parse) and
    RefusedError (a contract said no; the error says why).
    """

    def __init__(
        self,
        rpc_url: str,
        deployment: Deployment,
        *,
        confirmations: int,
        timeout: float,
        patience: float = PATIENCE,
        carry: Carry | None = None,
    ) -> None:
        """confirmations: blocks that must follow. timeout: seconds for an answer. patience: for a transaction.

        carry: asks a sponsor to send what an account without coin for gas has signed; None: nobody does.

        Raises RefusedError where the endpoint serves another chain than the deployment is of.
        """
        self.deployment = deployment
        self.confirmations = confirmations
        self.rpc = Rpc(rpc_url, timeout=timeout)
        self.domain = Domain(deployment.chain_id, deployment.market)
        self._sender = Sender(self.rpc, deployment.chain_id, confirmations=confirmations, patience=patience)
        self._forwarding = carry and Forwarding(
            self.rpc, deployment, carry, confirmations=confirmations, patience=patience
        )
        self._decoder = Decoder(deployment.addresses)
        try:
            require_same_chain(self.rpc, deployment)
        except BaseException:
            self.rpc.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.rpc.close()

    # Blocks

    def head(self) -> int:
        """The number of the newest block."""
        return block_number(self.rpc)

    def confirmed_head(self) -> int:
        """The number of the newest block that has its confirmations; 0 on a chain that is shorter."""
        return max(0, self.head() - self.confirmations)

    def block(self, number: int) -> Block:
        """A block's head. Raises NotFoundError for one that is not there yet."""
        found = read_block(self.rpc, number)
        if found is None:
            raise NotFoundError("there is no such block yet", got=number)
        return found

    def block_time(self, number: int | None = None) -> int:
        """Unix seconds of a block; without a number of the block that a transaction sent now would be in."""
        if number is not None:
            return self.block(number).time
        answer = self.rpc.ask("eth_getBlockByNumber", "pending", False)
        if isinstance(answer, dict):
            return quantity(answer.get("timestamp"), "block time")
        return self.block(self.head()).time  # an endpoint that builds no pending block

    def receipt(self, transaction: bytes) -> TransactionReceipt:
        """What a mined transaction did. transaction: 32 bytes. Raises NotFoundError while it is in no block."""
        found = read_receipt(self.rpc, transaction)
        if found is None:
            raise NotFoundError("the transaction is in no block", got="0x" + transaction.hex())
        return found

    # Calls

    def call(
        self, contract: ContractName, function: str, *arguments: object, block: int | None = None
    ) -> Any:
        """What a view returns, at a block or now: one value, or a tuple. Raises InputError for wrong arguments."""
        answer = self._view(contract, function, arguments, block)
        if isinstance(answer, Failure):
            raise refusal(f"{contract}.{function}", answer.data)
        return answer

    def _view(
        self, contract: ContractName, function: str, arguments: Sequence[object], block: int | None
    ) -> Any:
        call = {
            "to": self.deployment.addresses[contract],
            "data": "0x" + encode_call(contract, function, arguments).hex(),
        }
        answer = self.rpc.ask("eth_call", call, "latest" if block is None else hex(block))
        if not isinstance(answer, Failure):
            return decode_result(contract, function, data(answer, f"answer to {contract}.{function}"))
        if not answer.reverted:
            raise UnavailableError(
                f"the RPC endpoint {self.rpc.host} could not read {contract}", got=answer.message
            )
        return answer

    def send(
        self,
        contract: ContractName,
        function: str,
        arguments: Sequence[object],
        account: LocalAccount,
        *,
        value: int = 0,
    ) -> Sent:
        """Sends a transaction and waits until it is confirmed. value: wei.

        Raises RefusedError where the contract says no: before anything is spent, unless something came between.
        """
        started = time.monotonic()
        what = f"{contract}.{function}"
        call_data = encode_call(contract, function, arguments)
        to = self.deployment.addresses[contract]
        receipt = None
        if self._forwarding and (contract, function) in SPONSORED:
            receipt = self._send_carried(self._forwarding, what, account, to, call_data)
        if receipt is None:
            receipt = self._sender.send(what, account, to, call_data, value=value)
        events = tuple(event for log in receipt.logs if (event := self._decoder.decode(log)) is not None)
        hash_text = "0x" + receipt.transaction.hex()
        return Sent(hash_text, receipt.gas_used, receipt.block, time.monotonic() - started, events)

    def _send_carried(
        self, forwarding: Forwarding, what: str, account: LocalAccount, to: str, call_data: bytes
    ) -> TransactionReceipt | None:
        """Has a sponsor send the call where the account cannot pay for it; None where it can."""
        gas = self.estimate(what, account.address, to, call_data)
        if gas * Fees.ask(self.rpc).most <= self.ether(account.address):
            return None
        nonce = int(self.call("Forwarder", "nonces", account.address))
        now = self.block_time()
        return forwarding.send(what, account, to, call_data, gas=gas, nonce=nonce, now=now)

    def estimate(self, what: str, caller: str, to: str, call_data: bytes) -> int:
        """Gas to allow for a call. Raises RefusedError with the contract's reason where it would fail."""
        return self._sender.estimate(what, {"from": caller, "to": to, "data": "0x" + call_data.hex()})

    def pay(self, account: LocalAccount, to: str, wei: int) -> None:
        """Sends native coin, for gas. Raises RefusedError where the account holds too little."""
        self._sender.send("a payment of gas", account, to, b"", value=wei)

    def accepts(self, signer: str, digest: bytes, signature: bytes, block: int | None = None) -> bool:
        """Whether the contract at `signer` takes the signature as its own (ERC-1271); False for an account."""
        return accepts(self.rpc, signer, digest, signature, block)

    # Events

    @overload
    def logs(
        self, first: int | None = ..., last: int | None = ..., *, types: Sequence[type[E]], **where: object
    ) -> list[E]: ...

    @overload
    def logs(
        self, first: int | None = ..., last: int | None = ..., *, types: None = ..., **where: object
    ) -> list[Event]: ...

    def logs(
        self,
        first: int | None = None,
        last: int | None = None,
        *,
        types: Sequence[type[Event]] | None = None,
        **where: object,
    ) -> list[Any]:
        """Events in the order of the chain.

        first, last: blocks, inclusive; from the deployment's first to the last confirmed one. where: values of
        indexed fields by the field's name in `core.events`, as `buyer=...`; every type must have it at one place.
        """
        query = Query.of(self._decoder, ALL_EVENTS if types is None else types, where)
        start = self.deployment.first_block if first is None else first
        end = self.confirmed_head() if last is None else last
        return list(search(self.rpc, query, start, end))

    # Typed readers; block: a number, or None for now

    def grant(self, offer_digest: bytes, buyer: str, *, block: int | None = None) -> Grant:
        """What storage holds; all zero where nothing was bought."""
        return Grant.from_tuple(self.call("Market", "grantOf", offer_digest, buyer, block=block))

    def job(self, job_id: bytes, *, block: int | None = None) -> Job:
        """What storage holds; state none where it was never opened."""
        return Job.from_tuple(self.call("Market", "jobOf", job_id, block=block))

    def bond(self, provider: str, *, block: int | None = None) -> Bond:
        """What the provider pledges; all zero where it never did."""
        return Bond.from_tuple(self.call("Market", "bondOf", provider, block=block))

    def dispute(self, job_id: bytes, *, block: int | None = None) -> Dispute:
        """What is known of a job's dispute; all zero where there was none."""
        return Dispute.from_tuple(self.call("Market", "disputeOf", job_id, block=block))

    def balance(self, account: str, *, block: int | None = None) -> int:
        """Token units that the Market owes to the account."""
        return int(self.call("Market", "balanceOf", account, block=block))

    def token_balance(self, account: str, *, block: int | None = None) -> int:
        """Token units that the account holds."""
        return int(self.call("TestEuro", "balanceOf", account, block=block))

    def ether(self, account: str) -> int:
        """Wei that the account holds, for gas."""
        return quantity(self.rpc.request("eth_getBalance", account, "latest"), "balance")

    def owner_of(self, asset: int, *, block: int | None = None) -> str:
        """Raises NotFoundError for an asset that was never published."""
        return str(self._asset_view("ownerOf", asset, block))

    def metadata(self, asset: int, *, block: int | None = None) -> bytes:
        """SHA-256 of the asset's listing. Raises NotFoundError for an asset that was never published."""
        return bytes(self._asset_view("metadataOf", asset, block))

    def _asset_view(self, function: str, asset: int, block: int | None) -> Any:
        answer = self._view("AssetRegistry", function, (asset,), block)
        if not isinstance(answer, Failure):
            return answer
        if parse_revert(answer.data).name == "ERC721NonexistentToken":
            raise NotFoundError(
                "there is no such asset", got=asset, do="Check its id, and that its listing is confirmed."
            )
        raise refusal(f"AssetRegistry.{function}", answer.data)

    def status(self, asset: int, *, block: int | None = None) -> Status:
        """Whether uses of an asset can be bought."""
        return Status(self.call("AssetRegistry", "statusOf", asset, block=block))

    def epoch(self, asset: int, *, block: int | None = None) -> int:
        """The epoch that an offer must be of; 0 at first."""
        return int(self.call("Market", "epochOf", asset, block=block))

    def node_of(self, provider: str, *, block: int | None = None) -> str:
        """The node's address. Raises NotFoundError where the provider has set none."""
        node = str(self.call("ParticipantRegistry", "nodeOf", provider, block=block))
        if node == ZERO_ADDRESS:
            raise NotFoundError(
                "this provider has no node", got=provider, do="It runs `steelyard node init` first."
            )
        return node

    def sealing_key_of(self, provider: str, *, block: int | None = None) -> bytes:
        """The X25519 public key, 32 bytes. Raises NotFoundError where the provider has set none."""
        key = bytes(self.call("ParticipantRegistry", "sealingKeyOf", provider, block=block))
        if key == ZERO_BYTES32:
            raise NotFoundError(
                "this provider has no sealing key", got=provider, do="It runs `steelyard node init` first."
            )
        return key

    def isolation_of(self, provider: str, *, block: int | None = None) -> int:
        """What the provider says that its node's sandbox reaches, in bits."""
        return int(self.call("ParticipantRegistry", "isolationOf", provider, block=block))

    def is_accredited(self, account: str, role: bytes, *, block: int | None = None) -> bool:
        """Whether a trusted issuer vouches for the account in the role."""
        return bool(self.call("ParticipantRegistry", "isAccredited", account, role, block=block))

    def units(self, model: int, account: str, *, block: int | None = None) -> int:
        """Credit that the account holds in a model, of `total_units`."""
        return int(self.call("ContributionCredits", "unitsOf", model, account, block=block))

    def total_units(self, model: int, *, block: int | None = None) -> int:
        """All credit in a model; 0 for one that was not registered."""
        return int(self.call("ContributionCredits", "totalUnits", model, block=block))

    def permit(self, account: LocalAccount, value: int, deadline: int) -> SignedPermit:
        """Lets the Market take `value` token units of the account until `deadline` (Unix seconds)."""
        nonce = self.call("TestEuro", "nonces", account.address)
        _, name, version, *_ = self.call("TestEuro", "eip712Domain")
        domain = Domain(self.deployment.chain_id, self.deployment.token, name, version)
        permit = Permit(account.address, self.deployment.market, value, nonce, deadline)
        return sign_permit(permit, domain, account)
