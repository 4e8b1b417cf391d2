"""Calls that a sponsor sends for an account that holds no coin for gas. Both sides: asking, and carrying.

The account signs one call with one nonce and a deadline; the forwarder on chain lets nobody change it. What a sponsor
says is not believed: the transaction that it names must have carried exactly this request, and be confirmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from eth_account.signers.local import LocalAccount
from eth_typing import Hash32
from eth_utils.crypto import keccak

from marketplace.chain.blocks import TransactionReceipt, read_receipt, stands
from marketplace.chain.contracts import ContractName, selector
from marketplace.chain.deployment import Deployment
from marketplace.chain.rpc import Rpc
from marketplace.core.forward import ForwardRequest, forwarder_domain
from marketplace.errors import IntegrityError, RefusedError, UnavailableError

Carry = Callable[[ForwardRequest, bytes], bytes]
"""Asks a sponsor to send a request and its signature (65 bytes); returns the hash of the transaction, 32 bytes.

Raises RefusedError where it will not, UnavailableError where it does not answer.
"""

SPONSORED: tuple[tuple[ContractName, str], ...] = (
    ("Market", "buyWithPermit"),
    ("Market", "claimUnused"),
    ("Market", "claimUnusedEarly"),
    ("Market", "openJob"),
    ("Market", "accept"),
    ("Market", "dispute"),
    ("Market", "expire"),
    ("Market", "withdraw"),
    ("ContributionCredits", "registerModel"),
)
"""What a buyer does. All else is a provider's or a judge's, who have gas."""

SECONDS = 600
"""How long a request may be carried."""

_CARRIED = keccak(text="ExecutedForwardRequest(address,uint256,bool)")
_PAUSE = 0.1


class Call(NamedTuple):
    """A call of one of our contracts."""

    contract: ContractName
    function: str


def called(deployment: Deployment, request: ForwardRequest) -> Call | None:
    """Which of `SPONSORED` a request is, if any."""
    for contract, function in SPONSORED:
        begins = request.data[:4] == selector(contract, function)
        if begins and request.to == deployment.addresses[contract]:
            return Call(contract, function)
    return None


class Forwarding:
    """Asks one sponsor to carry calls, and sees that it did. Safe to share between threads."""

    def __init__(
        self, rpc: Rpc, deployment: Deployment, carry: Carry, *, confirmations: int, patience: float
    ) -> None:
        """patience: seconds until a transaction that is not confirmed is given up on."""
        self._rpc, self._deployment, self._carry = rpc, deployment, carry
        self._confirmations, self._patience = confirmations, patience

    def send(
        self, what: str, account: LocalAccount, to: str, call_data: bytes, *, gas: int, nonce: int, now: int
    ) -> TransactionReceipt:
        """Signs the call, has it carried, and waits until it is confirmed.

        gas: allowed for the call. nonce: the account's at the forwarder. now: Unix seconds of the chain.
        Raises what the sponsor answers, IntegrityError where it names another transaction, UnavailableError where
        nothing is confirmed in time.
        """
        request = ForwardRequest(account.address, to, 0, gas, nonce, now + SECONDS, call_data)
        domain = forwarder_domain(self._deployment.chain_id, self._deployment.forwarder)
        signed = account.unsafe_sign_hash(Hash32(request.digest(domain)))
        receipt = self._await(what, self._carry(request, bytes(signed.signature)))
        if not receipt.succeeded:
            raise RefusedError(
                f"{what} was carried by the sponsor but failed",
                got=f"transaction 0x{receipt.transaction.hex()}",
                do="Something changed in between: look at the state, then repeat.",
            )
        if not self._carried(receipt, request):
            raise IntegrityError(
                "the sponsor named a transaction that did not carry this request",
                got=f"0x{receipt.transaction.hex()}",
                do="Use another sponsor; this one can still send the request for ten minutes.",
            )
        return receipt

    def _carried(self, receipt: TransactionReceipt, request: ForwardRequest) -> bool:
        caller = bytes(12) + bytes.fromhex(request.caller[2:])
        return any(
            log.contract == self._deployment.forwarder
            and list(log.topics) == [_CARRIED, caller]
            and log.data[:32] == request.nonce.to_bytes(32, "big")
            for log in receipt.logs
        )

    def _await(self, what: str, transaction: bytes) -> TransactionReceipt:
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            receipt = read_receipt(self._rpc, transaction)
            if receipt and stands(self._rpc, receipt, self._confirmations):
                return receipt
            time.sleep(_PAUSE)
        raise UnavailableError(
            f"{what} is not confirmed yet",
            got=f"transaction 0x{transaction.hex()} after {self._patience:g} s",
            do="The sponsor may still send it, for ten minutes: look before you repeat the command.",
        )
