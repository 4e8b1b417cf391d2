"""What parties sign: the provider's offer, approvals and releases; and the documents that carry them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from eth_utils.crypto import keccak

from marketplace.core.canonical import canonical, parse_json
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, Accepts, Domain, Struct, require_signer
from marketplace.errors import InputError


@dataclass(frozen=True)
class Offer(Struct):
    """A provider's standing offer for one asset, signed by the asset's owner.

    price, royalty_floor: units of the Market's token (6 decimals); price is per use.
    valid_until: Unix seconds. term_days: days from the purchase, today included.
    """

    asset_id: int
    provider: str
    buyer: str = ZERO_ADDRESS
    price: int = 0
    max_uses: int = 1
    term_days: int = 1
    valid_until: int = 0
    epoch: int = 0
    arbiter: str = ZERO_ADDRESS
    verifier: str = ZERO_ADDRESS
    failure_fee_bps: int = 0
    royalty_bps: int = 0
    royalty_floor: int = 0
    max_contributors: int = 0
    min_credit_bps: int = 0
    required_role: bytes = ZERO_BYTES32
    terms_digest: bytes = ZERO_BYTES32
    budget_cost: bytes = ZERO_BYTES32
    salt: bytes = ZERO_BYTES32

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("assetId", "uint256"),
        ("provider", "address"),
        ("buyer", "address"),
        ("price", "uint48"),
        ("maxUses", "uint16"),
        ("termDays", "uint16"),
        ("validUntil", "uint40"),
        ("epoch", "uint32"),
        ("arbiter", "address"),
        ("verifier", "address"),
        ("failureFeeBps", "uint16"),
        ("royaltyBps", "uint16"),
        ("royaltyFloor", "uint48"),
        ("maxContributors", "uint16"),
        ("minCreditBps", "uint16"),
        ("requiredRole", "bytes32"),
        ("termsDigest", "bytes32"),
        ("budgetCost", "bytes32"),
        ("salt", "bytes32"),
    )

    def fee_down(self) -> int:
        """What the provider keeps when the algorithm fails, rounded down."""
        return self.price * self.failure_fee_bps // 10_000


@dataclass(frozen=True)
class Approval(Struct):
    """The owner lets one algorithm of one buyer run, until valid_until (Unix seconds).

    review_output: the output is held until the owner signs its Release.
    """

    asset_id: int
    buyer: str
    algorithm: bytes
    review_output: bool
    valid_until: int

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("assetId", "uint256"),
        ("buyer", "address"),
        ("algorithm", "bytes32"),
        ("reviewOutput", "bool"),
        ("validUntil", "uint40"),
    )


@dataclass(frozen=True)
class Release(Struct):
    """The owner has seen an output and lets it go: the digest is that of the sealed output's header."""

    job_id: bytes
    output_digest: bytes

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (("jobId", "bytes32"), ("outputDigest", "bytes32"))


@dataclass(frozen=True)
class Wrap(Struct):
    """The owner wrapped a dataset's key for its node. header: SHA-256 of the sealed data's header block."""

    asset_id: int
    header: bytes
    key_digest: bytes

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("assetId", "uint256"),
        ("header", "bytes32"),
        ("keyDigest", "bytes32"),
    )

    @classmethod
    def of(cls, asset_id: int, header: bytes, wrapped_key: bytes) -> Self:
        return cls(asset_id, header, keccak(wrapped_key))


_SIGNATURE = re.compile(r"0x(?:[0-9a-f]{2}){1,4096}")
_SIGNED: dict[str, type[Struct]] = {"Offer": Offer, "Approval": Approval, "Release": Release}


@dataclass(frozen=True)
class Signed:
    """A struct and its signature, as one block of canonical JSON in the shared store."""

    struct: Struct
    signature: bytes

    def to_bytes(self) -> bytes:
        return canonical(
            {
                "type": type(self.struct).__name__,
                "value": self.struct.to_json(),
                "signature": "0x" + self.signature.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InputError for anything but a known struct with a signature in hex."""
        value = parse_json(data, what="a signed document")
        if not isinstance(value, dict) or set(value) != {"type", "value", "signature"}:
            raise InputError("a signed document has other fields", expected="type, value, signature")
        kind, signature = value["type"], value["signature"]
        if not isinstance(kind, str) or kind not in _SIGNED:
            raise InputError("a signed document of an unknown type", got=kind, expected=", ".join(_SIGNED))
        if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
            raise InputError(
                "a signature does not parse",
                got=str(signature)[:20],
                expected="0x and 130 hex digits, or what a contract takes, up to 8192",
            )
        return cls(_SIGNED[kind].from_json(value["value"]), bytes.fromhex(signature[2:]))

    def expect(self, domain: Domain, signer: str, accepts: Accepts) -> None:
        """Raises IntegrityError unless `signer` (checksummed) signed it for this domain."""
        what = type(self.struct).__name__
        require_signer(self.struct.digest(domain), self.signature, signer, accepts, what=what)
