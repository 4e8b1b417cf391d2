"""A hub's operator pays buyers' gas: what is carried for whom, and what is refused.

Covered: only a buyer's own calls to Market and ContributionCredits; each tried first, so that a refusal costs nothing;
gas, deadline and number of calls bounded; the wallet named for it is all that can be spent.
Not covered: a buyer with many accounts and a dataset of its own can use the day's calls up, at no gain; name a role,
and only accounts that a trusted issuer accredited are served.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from eth_account.signers.local import LocalAccount

from marketplace.chain.client import Chain
from marketplace.chain.forwarded import SECONDS, SPONSORED, Call, called
from marketplace.core.forward import MAX_DATA, ForwardRequest, forwarder_domain
from marketplace.errors import InputError, RefusedError

MAX_GAS = 1_000_000
"""Of one call; the dearest of ours needs about 200,000."""

_DAY = 86_400


@dataclass(frozen=True)
class Allowance:
    """How much is given away in a day: calls of one account, and of all. role: 32 bytes, or None for everyone."""

    of_one: int = 50
    of_all: int = 1_000
    role: bytes | None = None


@dataclass
class _Day:
    """What was carried on one day since 1970-01-01 (UTC)."""

    number: int
    calls: Counter[str] = field(default_factory=Counter)


class Sponsor:
    """Carries requests with the gas of one account. Safe to share between threads."""

    def __init__(
        self,
        chain: Chain,
        account: LocalAccount,
        allowance: Allowance | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """clock: Unix seconds, for the day that calls are counted in."""
        self._chain, self._account, self._clock = chain, account, clock
        self._allowance = allowance or Allowance()
        self._day = _Day(0)
        self._lock = threading.Lock()

    def carry(self, request: ForwardRequest, signature: bytes) -> bytes:
        """Sends a request; the hash of its confirmed transaction, 32 bytes.

        Raises InputError for a request that nobody could carry, RefusedError with the reason of the contract or of
        this sponsor, UnavailableError where the chain does not answer; then the request may still be carried.
        """
        call = self._call_of(request, signature)
        self._require_role(request.caller)
        with self._counted(request.caller):
            what = f"{call.contract}.{call.function}"
            self._chain.estimate(what, request.caller, request.to, request.data)  # for the contract's reason
            sent = self._chain.send("Forwarder", "execute", (_signed(request, signature),), self._account)
        return bytes.fromhex(sent.transaction[2:])

    def _call_of(self, request: ForwardRequest, signature: bytes) -> Call:
        deployment = self._chain.deployment
        call = called(deployment, request)
        if call is None or request.value != 0:
            raise RefusedError(
                "only a buyer's own calls are sponsored",
                expected=", ".join(f"{contract}.{function}" for contract, function in SPONSORED),
            )
        _require_bounds(request, self._chain.block_time())
        domain = forwarder_domain(deployment.chain_id, deployment.forwarder)
        if (signer := request.signer(domain, signature)) != request.caller:
            raise InputError("the request is signed by someone else", got=signer, expected=request.caller)
        nonce = int(self._chain.call("Forwarder", "nonces", request.caller))
        if request.nonce != nonce:
            raise RefusedError(
                "the request's nonce is not the account's next", got=request.nonce, expected=nonce,
                do="It may have been carried already: look before you repeat it.",
            )  # fmt: skip
        return call

    def _require_role(self, account: str) -> None:
        role = self._allowance.role
        if role is not None and not self._chain.is_accredited(account, role):
            raise RefusedError(
                "this sponsor serves accredited accounts alone", got=account, do="Pay the gas yourself."
            )

    @contextmanager
    def _counted(self, account: str) -> Iterator[None]:
        """A place among the day's calls; given back where nothing was sent."""
        with self._lock:
            today = int(self._clock()) // _DAY
            if self._day.number != today:
                self._day = _Day(today)
            calls = self._day.calls
            if calls[account] >= self._allowance.of_one or calls.total() >= self._allowance.of_all:
                raise RefusedError(
                    "this sponsor has given away what it gives in a day",
                    got=f"{calls[account]} calls of {account}",
                    expected=f"at most {self._allowance.of_one} of one account, {self._allowance.of_all} of all",
                    do="Try again tomorrow, or pay the gas yourself.",
                )
            calls[account] += 1
        try:
            yield
        except RefusedError:
            with self._lock:
                calls[account] -= 1
            raise


def _require_bounds(request: ForwardRequest, now: int) -> None:
    """now: Unix seconds of the chain."""
    if len(request.data) > MAX_DATA or request.gas > MAX_GAS:
        raise InputError(
            "the request is too large",
            got=f"{len(request.data)} bytes, {request.gas} gas",
            expected=f"at most {MAX_DATA} bytes and {MAX_GAS} gas",
        )
    if not now <= request.deadline <= now + 2 * SECONDS:
        raise InputError(
            "the request's deadline does not fit",
            got=request.deadline,
            expected=f"from {now} to {now + 2 * SECONDS}, in Unix seconds of the chain",
        )


def _signed(request: ForwardRequest, signature: bytes) -> tuple[object, ...]:
    """ERC2771Forwarder.ForwardRequestData: the nonce is left out, the contract knows it."""
    caller, to, value, gas, _, deadline, data = request.to_tuple()
    return caller, to, value, gas, deadline, data, signature
