"""A call that its caller signs and somebody else sends, and pays the gas of. Pure.

Source: ERC-2771; OpenZeppelin's ERC2771Forwarder, whose EIP-712 type this is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from marketplace.core.eip712 import Domain, Struct

MAX_DATA = 8_192
"""Bytes of a call's data; the longest of ours, a dispute with its offer, has about 1,000."""


@dataclass(frozen=True)
class ForwardRequest(Struct):
    """One call. caller: who signs, and who the contract will say has called. to: the contract.

    value: wei, gas: for the call itself, nonce: the caller's at the forwarder, deadline: Unix seconds.
    """

    caller: str
    to: str
    value: int
    gas: int
    nonce: int
    deadline: int
    data: bytes

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("from", "address"),
        ("to", "address"),
        ("value", "uint256"),
        ("gas", "uint256"),
        ("nonce", "uint256"),
        ("deadline", "uint48"),
        ("data", "bytes"),
    )


def forwarder_domain(chain_id: int, forwarder: str) -> Domain:
    """Where a request's signature counts."""
    return Domain(chain_id, forwarder, "Steelyard Forwarder")
