"""Sending one transaction until it stands: asked first, signed here, followed through reorganisations.

A call has one nonce, whatever happens to it. What is lost goes out again, byte for byte; what is stuck is replaced
under the same nonce for a higher fee: of all its versions the chain can take one, so a call never has two effects.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from marketplace.chain.blocks import TransactionReceipt, block_number, read_block, read_receipt, stands
from marketplace.chain.fees import Fees
from marketplace.chain.nonces import Nonces
from marketplace.chain.reverts import refusal
from marketplace.chain.rpc import Failure, Rpc, data, quantity
from marketplace.errors import IntegrityError, RefusedError, UnavailableError

PATIENCE = 300.0
"""Seconds until a transaction that is not confirmed is given up on."""

BUMP_SECONDS = 45.0
"""Seconds after which a transaction that is in no block is replaced by one that pays more."""

_SILENCE = 15.0
"""Seconds without an answer after which a transaction that went out is left to itself."""

_GAS_JITTER = 10_000
"""Gas allowed at random on top: two processes that send the same call are to send two transactions, not one twice."""

_MAX_GAS = 1 << 24  # one transaction's, by EIP-7825
_ATTEMPTS = 8
_FIRST_PAUSE, _LAST_PAUSE = 0.02, 1.0
_LOOK_SECONDS = 1.0  # between looks at what holds up a transaction
_DISPLACED_SECONDS = 5.0  # an endpoint of many machines may know of a nonce before it knows of the receipt


@dataclass(frozen=True)
class Version:
    """A signed transaction."""

    hash: bytes
    raw: bytes
    fees: Fees


@dataclass
class Pending:
    """A call on its way under its nonce, and all versions of it that went out. Times are of time.monotonic."""

    what: str
    account: LocalAccount
    call: dict[str, Any]
    gas: int
    nonce: int
    versions: list[Version]
    sent_at: float = field(default_factory=time.monotonic)
    looked_at: float = field(default_factory=time.monotonic)
    displaced_at: float | None = None

    @property
    def newest(self) -> Version:
        return self.versions[-1]

    @property
    def name(self) -> str:
        return f"transaction 0x{self.newest.hash.hex()}"


class Sender:
    """Sends transactions of any account over one endpoint. Safe to share between threads."""

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        *,
        confirmations: int,
        patience: float = PATIENCE,
        bump_seconds: float = BUMP_SECONDS,
    ) -> None:
        """confirmations: blocks that must follow the transaction's. patience, bump_seconds: > 0."""
        self._rpc = rpc
        self._chain_id = chain_id
        self._confirmations = confirmations
        self._patience = patience
        self._bump_seconds = bump_seconds
        self._nonces = Nonces(rpc, stuck_seconds=bump_seconds, patience=patience)
        self._locks: dict[str, threading.Lock] = {}

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
        with self._locks.setdefault(account.address, threading.Lock()):
            pending = self._submit(what, account, call)
        try:
            receipt = self._await(pending)
        finally:
            self._nonces.release(account.address, pending.nonce)
        if not receipt.succeeded:
            raise self._explain(pending, receipt)
        return receipt

    # Out

    def _submit(self, what: str, account: LocalAccount, call: dict[str, Any]) -> Pending:
        """The call on its way. Asks the contract again whenever another transaction of the account came between."""
        message = ""
        for attempt in range(_ATTEMPTS):
            nonce, of_another = self._nonces.take(account.address)
            try:
                gas = self.estimate(what, call) + secrets.randbelow(_GAS_JITTER)
                version = self._sign(account, call, gas, nonce, Fees.ask(self._rpc))
                pending = Pending(what, account, call, gas, nonce, [version])
                message = self._outbid(pending) if of_another else self._offer(pending)
            except BaseException:
                self._nonces.release(account.address, nonce)
                raise
            if not message:
                return pending
            self._nonces.release(account.address, nonce)
            if "insufficient funds" in message:
                raise _poor(what, account.address)
            if "nonce" not in message and "underpriced" not in message:
                break
            time.sleep(_FIRST_PAUSE * 2**attempt)  # another process of this account was faster
        raise UnavailableError(f"the RPC endpoint {self._rpc.host} did not take {what}", got=message)

    def estimate(self, what: str, call: dict[str, Any]) -> int:
        """Gas to allow for a call (`from`, `to`, `data`, `value`); a revert is shown before money is spent.

        Raises RefusedError with the contract's reason, UnavailableError where the endpoint cannot try it.
        """
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

    def _offer(self, pending: Pending) -> str:
        """Sends the newest version; why it was not taken, or nothing: it was, or may have been."""
        version = pending.newest
        try:
            answer = self._rpc.ask("eth_sendRawTransaction", "0x" + version.raw.hex())
        except UnavailableError:
            return ""  # it may be there for all we know, and is looked for
        if not isinstance(answer, Failure):
            if data(answer, "transaction hash", 32) != version.hash:
                raise IntegrityError("the RPC endpoint named another transaction than ours", got=answer)
            return ""
        message = answer.message.lower() or f"error {answer.code}"
        # An earlier try may have arrived after all, whatever the endpoint says of this one.
        known = ("already" in message and "nonce" not in message) or self._is_known(version)
        return "" if known else message

    def _outbid(self, pending: Pending) -> str:
        """As `_offer`, paying more until it takes the place of a stuck transaction, whose fee nobody knows."""
        while "underpriced" in (message := self._offer(pending)):
            fees = pending.newest.fees.doubled()
            if not fees.bearable:
                break
            self._add_version(pending, fees)
        return message

    def _is_known(self, version: Version) -> bool:
        return self._rpc.request("eth_getTransactionByHash", "0x" + version.hash.hex()) is not None

    def _sign(self, account: LocalAccount, call: dict[str, Any], gas: int, nonce: int, fees: Fees) -> Version:
        filled = {
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": fees.most,
            "maxPriorityFeePerGas": fees.tip,
            "value": int(call["value"], 16),
            "data": call["data"],
            "to": to_checksum_address(call["to"]) if "to" in call else b"",
        }
        signed = account.sign_transaction(filled)
        return Version(bytes(signed.hash), bytes(signed.raw_transaction), fees)

    def _add_version(self, pending: Pending, fees: Fees) -> None:
        """The same call under the same nonce. The others stay: even one that was refused may have got through."""
        version = self._sign(pending.account, pending.call, pending.gas, pending.nonce, fees)
        pending.versions.append(version)
        pending.sent_at = time.monotonic()

    # Until it stands

    def _await(self, pending: Pending) -> TransactionReceipt:
        started = answered = time.monotonic()
        pause = _FIRST_PAUSE
        while (now := time.monotonic()) < started + self._patience:
            try:
                receipt = self._look(pending)
                answered = now
            except UnavailableError:
                if now - answered > min(_SILENCE, self._patience / 2):
                    raise
                receipt = None
            if receipt:
                return receipt
            time.sleep(pause)
            pause = min(pause * 1.3, _LAST_PAUSE)
        raise UnavailableError(
            f"{pending.what} is not confirmed yet",
            got=f"{pending.name} after {self._patience:g} s",
            do="It may still be: look it up before you repeat the command.",
        )

    def _look(self, pending: Pending) -> TransactionReceipt | None:
        """The receipt, once it is confirmed; helps a transaction that is in no block."""
        receipt = self._receipt(pending)
        if receipt is None:
            if time.monotonic() - pending.looked_at >= _LOOK_SECONDS:
                self._help(pending)
                pending.looked_at = time.monotonic()
            return None
        pending.displaced_at = None
        return receipt if stands(self._rpc, receipt, self._confirmations) else None

    def _receipt(self, pending: Pending) -> TransactionReceipt | None:
        found = (read_receipt(self._rpc, version.hash) for version in reversed(pending.versions))
        return next((receipt for receipt in found if receipt), None)

    def _help(self, pending: Pending) -> None:
        """Sends what was lost again, and what is stuck for a higher fee."""
        if self._nonces.count(pending.account.address, "latest") > pending.nonce:
            self._check_displaced(pending)
            return
        pending.displaced_at = None
        too_cheap = self._is_stuck(pending)
        if not too_cheap and not self._is_known(pending.newest):
            too_cheap = "underpriced" in self._offer(pending)
        if too_cheap:
            self._replace(pending)

    def _is_stuck(self, pending: Pending) -> bool:
        head = read_block(self._rpc, "latest")
        outbid = head is not None and (head.base_fee or 0) > pending.newest.fees.most
        return outbid or time.monotonic() - pending.sent_at > self._bump_seconds

    def _replace(self, pending: Pending) -> None:
        """Pays more, where that would not be absurd."""
        fees = pending.newest.fees.raised()
        with suppress(
            RefusedError
        ):  # what the endpoint asks for is absurd: it goes up by itself, as far as it may
            fees = fees.at_least(Fees.ask(self._rpc))
        if fees.bearable:
            self._add_version(pending, fees)
            self._offer(pending)

    def _check_displaced(self, pending: Pending) -> None:
        """Raises RefusedError once another transaction has had this nonce for a while, and for good."""
        now = time.monotonic()
        pending.displaced_at = pending.displaced_at or now
        confirmed = max(0, block_number(self._rpc) - self._confirmations)
        for_good = self._nonces.count(pending.account.address, hex(confirmed)) > pending.nonce
        long = now - pending.displaced_at > min(_DISPLACED_SECONDS, self._patience / 2)
        if for_good and long and not any(self._is_known(version) for version in pending.versions):
            raise RefusedError(
                f"{pending.what} was displaced by another transaction of the same account",
                got=f"{pending.name}, nonce {pending.nonce}",
                do="Use one process per account, then repeat the command.",
            )

    def _explain(self, pending: Pending, receipt: TransactionReceipt) -> RefusedError:
        answer = self._rpc.ask("eth_call", pending.call, hex(receipt.block))
        if isinstance(answer, Failure) and answer.data:
            return refusal(pending.what, answer.data)
        return RefusedError(
            f"{pending.what} was mined but failed",
            got=f"transaction 0x{receipt.transaction.hex()}, {receipt.gas_used} gas",
            do="Something changed between asking and mining: look at the state, then repeat.",
        )


def _poor(what: str, sender: str) -> RefusedError:
    return RefusedError(f"{what} costs gas that the account cannot pay", got=sender, do="Send it some ether.")
