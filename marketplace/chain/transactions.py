"""Sending one transaction until it stands: asked first, signed here, followed through reorganisations."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from marketplace.chain.blocks import TransactionReceipt, block_number, read_block, read_receipt
from marketplace.chain.reverts import refusal
from marketplace.chain.rpc import Failure, Rpc, data, quantity
from marketplace.errors import IntegrityError, RefusedError, UnavailableError

PATIENCE = 300.0
"""Seconds until a transaction that is not confirmed is given up on."""

_GWEI = 10**9
_MAX_FEE = 5_000 * _GWEI  # wei per gas: an endpoint that asks for more is wrong or robs us
_MAX_TIP = 500 * _GWEI
_MAX_GAS = 1 << 24  # one transaction's, by EIP-7825
_ATTEMPTS = 5
_FIRST_PAUSE, _LAST_PAUSE = 0.02, 1.0


@dataclass(frozen=True)
class Signed:
    """A signed transaction and what it says, so that it can be sent again or asked about."""

    hash: bytes
    raw: bytes
    call: dict[str, Any]
    nonce: int
    sender: str


class Sender:
    """Sends transactions of any account over one endpoint. Safe to share between threads."""

    def __init__(self, rpc: Rpc, chain_id: int, *, confirmations: int, patience: float = PATIENCE) -> None:
        """confirmations: blocks that must follow the transaction's. patience: seconds, > 0."""
        self._rpc = rpc
        self._chain_id = chain_id
        self._confirmations = confirmations
        self._patience = patience
        self._lock = threading.Lock()

    def send(
        self, what: str, account: LocalAccount, to: str | None, call_data: bytes, *, value: int = 0
    ) -> TransactionReceipt:
        """Sends and waits until the transaction's block has its confirmations and is still there.

        what: names the call in errors. to: None deploys `call_data`. value: wei.
        Raises RefusedError where the contract says no (before anything is spent, unless another transaction came
        between), UnavailableError where the transaction is not confirmed in time.
        """
        call: dict[str, Any] = {"from": account.address, "data": "0x" + call_data.hex(), "value": hex(value)}
        if to is not None:
            call["to"] = to
        gas = self._estimate(what, call)
        with self._lock:
            signed = self._submit(what, account, call, gas)
        receipt = self._await(what, signed)
        if not receipt.succeeded:
            raise self._explain(what, signed, receipt)
        return receipt

    def _estimate(self, what: str, call: dict[str, Any]) -> int:
        """Gas to allow; on the way it shows a revert before money is spent."""
        answer = self._rpc.ask("eth_estimateGas", call, "pending")
        if isinstance(answer, Failure):
            if "insufficient funds" in answer.message.lower():
                raise _poor(what, call["from"])
            if answer.reverted:
                raise refusal(what, answer.data)
            raise UnavailableError(
                f"the RPC endpoint {self._rpc.host} could not try {what}", got=answer.message
            )
        gas = quantity(answer, "estimate of gas")
        allowed = gas + gas // 4 + 20_000  # what other transactions change meanwhile
        if allowed > _MAX_GAS:
            raise RefusedError(f"{what} needs more gas than a block gives", got=gas, expected=f"< {_MAX_GAS}")
        return allowed

    def _submit(self, what: str, account: LocalAccount, call: dict[str, Any], gas: int) -> Signed:
        for attempt in range(_ATTEMPTS):
            signed = self._sign(account, call, gas)
            answer = self._rpc.ask("eth_sendRawTransaction", "0x" + signed.raw.hex())
            if not isinstance(answer, Failure):
                if data(answer, "transaction hash", 32) != signed.hash:
                    raise IntegrityError("the RPC endpoint named another transaction than ours", got=answer)
                return signed
            message = answer.message.lower()
            if (
                "already" in message and "nonce" not in message
            ):  # known or imported: an earlier try arrived after all
                return signed
            if "insufficient funds" in message:
                raise _poor(what, account.address)
            if "nonce" not in message and "underpriced" not in message:
                break
            time.sleep(_FIRST_PAUSE * 2**attempt)  # another process of this account was faster
        raise UnavailableError(f"the RPC endpoint {self._rpc.host} did not take {what}", got=answer.message)

    def _sign(self, account: LocalAccount, call: dict[str, Any], gas: int) -> Signed:
        nonce = self._nonce(account.address, "pending")
        fee, tip = self._fees()
        filled = {
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
            "value": int(call["value"], 16),
            "data": call["data"],
            "to": to_checksum_address(call["to"]) if "to" in call else b"",
        }
        signed = account.sign_transaction(filled)
        return Signed(bytes(signed.hash), bytes(signed.raw_transaction), call, nonce, account.address)

    def _nonce(self, sender: str, block: str) -> int:
        return quantity(self._rpc.request("eth_getTransactionCount", sender, block), "count of transactions")

    def _fees(self) -> tuple[int, int]:
        """The most to pay per gas, and the tip in it: twice the base fee lasts six full blocks."""
        answer = self._rpc.ask("eth_maxPriorityFeePerGas")
        tip = _GWEI if isinstance(answer, Failure) else quantity(answer, "priority fee")
        head = read_block(self._rpc, "latest")
        if head is None or head.base_fee is None:
            raise RefusedError(
                "this chain has no EIP-1559 fees", do="Use a chain that has the London upgrade."
            )
        fee = 2 * head.base_fee + tip
        if tip > _MAX_TIP or fee > _MAX_FEE:
            raise RefusedError(
                "the RPC endpoint asks for an absurd fee",
                got=f"{fee // _GWEI} gwei per gas",
                expected=f"at most {_MAX_FEE // _GWEI}",
                do="Wait, or use another endpoint.",
            )
        return fee, tip

    def _await(self, what: str, signed: Signed) -> TransactionReceipt:
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while time.monotonic() < deadline:
            receipt = read_receipt(self._rpc, signed.hash)
            if receipt is None:
                self._repeat_if_lost(what, signed)
            elif block_number(self._rpc) >= receipt.block + self._confirmations and self._stands(receipt):
                return receipt
            time.sleep(pause)
            pause = min(pause * 1.3, _LAST_PAUSE)
        raise UnavailableError(
            f"{what} is not confirmed yet",
            got=f"transaction 0x{signed.hash.hex()} after {self._patience:g} s",
            do="It may still be: look it up before you repeat the command.",
        )

    def _stands(self, receipt: TransactionReceipt) -> bool:
        block = read_block(self._rpc, receipt.block)
        return block is not None and block.hash == receipt.block_hash

    def _repeat_if_lost(self, what: str, signed: Signed) -> None:
        """A reorganisation may drop a transaction: the same bytes go out again, so it can be mined only once."""
        if self._rpc.request("eth_getTransactionByHash", "0x" + signed.hash.hex()) is not None:
            return
        if self._nonce(signed.sender, "latest") <= signed.nonce:
            self._rpc.ask("eth_sendRawTransaction", "0x" + signed.raw.hex())
        elif read_receipt(self._rpc, signed.hash) is None:
            raise RefusedError(
                f"{what} was displaced by another transaction of the same account",
                got=f"transaction 0x{signed.hash.hex()}, nonce {signed.nonce}",
                do="Use one process per account, then repeat the command.",
            )

    def _explain(self, what: str, signed: Signed, receipt: TransactionReceipt) -> RefusedError:
        answer = self._rpc.ask("eth_call", signed.call, hex(receipt.block))
        if isinstance(answer, Failure) and answer.data:
            return refusal(what, answer.data)
        return RefusedError(
            f"{what} was mined but failed",
            got=f"transaction 0x{signed.hash.hex()}, {receipt.gas_used} gas",
            do="Something changed between asking and mining: look at the state, then repeat.",
        )


def _poor(what: str, sender: str) -> RefusedError:
    return RefusedError(f"{what} costs gas that the account cannot pay", got=sender, do="Send it some ether.")
