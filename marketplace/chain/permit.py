"""ERC-2612: an allowance as a signature, so that buying takes one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from marketplace.core.eip712 import Domain, Struct


@dataclass(frozen=True)
class Permit(Struct):
    """What the owner of the money signs. value: token units. deadline: Unix seconds."""

    owner: str
    spender: str
    value: int
    nonce: int
    deadline: int

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("owner", "address"),
        ("spender", "address"),
        ("value", "uint256"),
        ("nonce", "uint256"),
        ("deadline", "uint256"),
    )


class SignedPermit(NamedTuple):
    """IMarket.Permit, ready for `buyWithPermit`."""

    value: int
    deadline: int
    v: int
    r: bytes
    s: bytes


def sign_permit(permit: Permit, domain: Domain, account: LocalAccount) -> SignedPermit:
    """domain: the token's own, not the Market's."""
    signed = account.unsafe_sign_hash(Hash32(permit.digest(domain)))
    return SignedPermit(
        permit.value, permit.deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    )
