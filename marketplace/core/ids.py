"""Names of assets: token ids and DIDs; their kinds and statuses. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Self

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from marketplace.core.eip712 import parse_address
from marketplace.errors import InputError

_DID = re.compile(r"did:steelyard:([1-9][0-9]{0,18}):(0x[0-9a-fA-F]{40}):([1-9][0-9]{0,77})")
_DIGEST = re.compile(r"0x[0-9a-fA-F]{64}")
_WHERE = {
    "job id": "`steelyard job list` shows yours.",
    "offer's digest": "`steelyard dataset show` names whole digests.",
}


class Kind(IntEnum):
    """The kind of an asset: the top byte of its token id."""

    dataset = 1
    algorithm = 2
    model = 3


class Status(IntEnum):
    """IAssetRegistry.Status: whether uses of an asset can be bought. `retired` is for ever."""

    active = 0
    paused = 1
    retired = 2


def role_id(name: str) -> bytes:
    """What stands on chain for a role that accreditations are about: SHA-256 of its name in UTF-8."""
    return hashlib.sha256(name.encode()).digest()


def asset_id(kind: Kind, owner: str, salt: bytes) -> int:
    """kind << 248 | uint248(keccak256(abi.encode(owner, salt))): known before anything is published."""
    digest = keccak(encode(["address", "bytes32"], [owner, salt]))
    return int(kind) << 248 | int.from_bytes(digest[1:])


def kind_of(token: int) -> Kind:
    """The kind that a token id carries. Raises InputError for any other top byte."""
    try:
        return Kind(token >> 248)
    except ValueError:
        raise InputError("not an asset id", got=token, expected="an id whose top byte is 1, 2 or 3") from None


def parse_digest(text: str, what: Literal["job id", "offer's digest"]) -> bytes:
    """The 32 bytes that a person writes as 0x and 64 hex digits. Raises InputError that says where to find one."""
    if not _DIGEST.fullmatch(text):
        article = "an" if what[0] in "aeiou" else "a"
        raise InputError(
            f"not {article} {what}", got=text[:80], expected="0x and 64 hex digits", do=_WHERE[what]
        )
    return bytes.fromhex(text[2:])


@dataclass(frozen=True)
class Did:
    """`did:steelyard:<chainId>:<registry>:<tokenId>`."""

    chain_id: int
    registry: str
    token: int

    def __str__(self) -> str:
        return f"did:steelyard:{self.chain_id}:{self.registry}:{self.token}"

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _DID.fullmatch(text)
        if not found or int(found[3]) >= 1 << 256:
            raise InputError(
                "not a DID of this market", got=text, expected="did:steelyard:<chain>:<registry>:<id>"
            )
        kind_of(int(found[3]))
        return cls(int(found[1]), parse_address(found[2], where="the DID's registry"), int(found[3]))

    @property
    def folder(self) -> str:
        """Its name as a folder in the sandbox: SHA-256 of the text, in hex."""
        return hashlib.sha256(str(self).encode()).hexdigest()
