"""EIP-712 structs: one description of the fields gives the digest, the ABI tuple and the JSON form.

Pure. Source: EIP-712; hashing by eth-account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.address import is_hex_address, to_checksum_address
from eth_utils.crypto import keccak

from marketplace.errors import InputError, IntegrityError

ZERO_ADDRESS = "0x" + "0" * 40
ZERO_BYTES32 = bytes(32)
_HEX = re.compile(r"0x([0-9a-fA-F]{2})*")
_JSON_SAFE_BITS = 48  # wider integers are decimal strings: RFC 8785 numbers are doubles


@dataclass(frozen=True)
class Domain:
    """Where a signature counts: one chain, one contract."""

    chain_id: int
    contract: str
    name: str = "Steelyard Market"
    version: str = "1"

    def to_typed(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "chainId": self.chain_id,
            "verifyingContract": self.contract,
        }


def parse_value(kind: str, value: object, *, where: str) -> Any:
    """One field's value, checked against its Solidity type.

    Returns int for uintN, bool, a checksummed text for address, 32 bytes for bytes32, bytes, text for string.
    Raises InputError naming the field.
    """
    if kind.startswith("uint"):
        return _parse_uint(int(kind[4:]), value, where)
    if kind == "address":
        return parse_address(value, where=where)
    if kind == "bytes32":
        return _parse_bytes32(value, where)
    if kind == "bytes":
        return _parse_bytes(value, where)
    if (kind == "bool" and isinstance(value, bool)) or (kind == "string" and isinstance(value, str)):
        return value
    raise InputError(f"{where} does not fit", got=repr(value)[:80], expected=kind)


def parse_address(value: object, *, where: str) -> str:
    """A checksummed address from 0x-hex in one case, or in mixed case with its EIP-55 checksum right.

    Raises InputError naming the field: a mistyped address must not become somebody else's.
    """
    if isinstance(value, str) and value.startswith("0x") and is_hex_address(value):
        found = to_checksum_address(value)
        if value == found or value[2:] in (value[2:].lower(), value[2:].upper()):
            return str(found)
    raise InputError(
        f"{where} does not fit",
        got=repr(value)[:80],
        expected="an address, 0x and 40 hex digits, checksum right",
    )


def _parse_uint(bits: int, value: object, where: str) -> int:
    if isinstance(value, str) and len(value) <= 78 and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise InputError(
            f"{where} does not fit", got=repr(value)[:80], expected=f"an integer from 0 to 2^{bits} - 1"
        )
    return value


def _parse_bytes32(value: object, where: str) -> bytes:
    if isinstance(value, bytes | bytearray) and len(value) == 32:
        return bytes(value)
    if isinstance(value, str) and len(value) == 66 and value.startswith("0x"):
        try:
            found = bytes.fromhex(value[2:])
        except ValueError:
            found = b""
        if len(found) == 32:  # fromhex skips spaces
            return found
    raise InputError(
        f"{where} does not fit", got=repr(value)[:80], expected="32 bytes, or 0x and 64 hex digits"
    )


def _parse_bytes(value: object, where: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and _HEX.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise InputError(
        f"{where} does not fit", got=repr(value)[:80], expected="0x and an even number of hex digits"
    )


@dataclass(frozen=True)
class Struct:
    """Base of all signed structs. TYPES: (Solidity name, Solidity type) in the order of the fields."""

    TYPES: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __post_init__(self) -> None:
        for field, (name, kind) in zip(fields(self), self.TYPES, strict=True):
            value = parse_value(kind, getattr(self, field.name), where=f"{type(self).__name__}.{name}")
            object.__setattr__(self, field.name, value)

    @classmethod
    def type_hash(cls) -> bytes:
        """keccak256 of the EIP-712 type text."""
        return keccak(text=f"{cls.__name__}({','.join(f'{kind} {name}' for name, kind in cls.TYPES)})")

    @classmethod
    def from_tuple(cls, values: tuple[Any, ...]) -> Self:
        """From the ABI tuple."""
        if len(values) != len(cls.TYPES):
            raise InputError(f"{cls.__name__} has the wrong length", got=len(values), expected=len(cls.TYPES))
        return cls(*values)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """From the JSON form; refuses missing and unknown fields."""
        if not isinstance(value, Mapping):
            raise InputError(
                f"{cls.__name__} is not an object", got=type(value).__name__, expected="an object"
            )
        names = [name for name, _ in cls.TYPES]
        if set(value) != set(names):
            odd = sorted(set(map(str, value)) ^ set(names))
            raise InputError(
                f"{cls.__name__} has other fields", got=", ".join(odd), expected=", ".join(names)
            )
        return cls(*(value[name] for name in names))

    def to_tuple(self) -> tuple[Any, ...]:
        """The ABI tuple, in the order of TYPES."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def to_json(self) -> dict[str, Any]:
        """The JSON form: wide integers as decimal strings, bytes32 as 0x-hex."""
        return {
            name: _to_json(kind, value)
            for (name, kind), value in zip(self.TYPES, self.to_tuple(), strict=True)
        }

    def digest(self, domain: Domain) -> bytes:
        """The EIP-712 digest that a wallet signs, 32 bytes."""
        message = self._message(domain)
        return keccak(b"\x19" + message.version + message.header + message.body)

    def _message(self, domain: Domain) -> SignableMessage:
        types = {type(self).__name__: [{"name": name, "type": kind} for name, kind in self.TYPES]}
        values = dict(zip((name for name, _ in self.TYPES), self.to_tuple(), strict=True))
        return encode_typed_data(domain.to_typed(), types, values)

    def signer(self, domain: Domain, signature: bytes) -> str:
        """The checksummed address that signed. Raises IntegrityError where the signature is malformed."""
        return recover(self.digest(domain), signature)


Accepts = Callable[[str, bytes, bytes], bool]
"""Whether the contract at an address (the first) takes a signature over a digest as its own (ERC-1271)."""


def require_signer(digest: bytes, signature: bytes, signer: str, accepts: Accepts, *, what: str) -> None:
    """Raises IntegrityError unless `signer` signed: its key, or, where it is a contract, by its own word."""
    try:
        got = recover(digest, signature)
    except IntegrityError:
        if accepts(signer, digest, signature):
            return
        raise
    if got != signer and not accepts(signer, digest, signature):
        raise IntegrityError(f"the {what} is signed by someone else", got=got, expected=signer)


def recover(digest: bytes, signature: bytes) -> str:
    """The address whose key signed a 32-byte digest; refuses malleable (high s) and odd signatures."""
    half_order = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    if len(signature) != 65 or signature[64] not in (27, 28) or int.from_bytes(signature[32:64]) > half_order:
        raise IntegrityError(
            "a signature is malformed", got=f"{len(signature)} bytes", expected="65 bytes, low s"
        )
    try:
        return str(Account._recover_hash(digest, signature=signature))
    except Exception as error:  # eth-keys raises several unrelated classes for bad points
        raise IntegrityError("a signature does not recover to any address") from error


def _to_json(kind: str, value: Any) -> Any:
    if kind in ("bytes32", "bytes"):
        return "0x" + value.hex()
    if kind.startswith("uint") and int(kind[4:]) > _JSON_SAFE_BITS:
        return str(value)
    return value
