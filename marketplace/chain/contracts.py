"""The compiled contracts: their ABI and code, how calls are written and results read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, cast, get_args

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_typing import ABIElement
from eth_utils.abi import abi_to_signature, collapse_if_tuple
from eth_utils.address import is_checksum_address, to_checksum_address
from eth_utils.crypto import keccak

from marketplace.errors import InputError, IntegrityError

ContractName = Literal[
    "TestEuro",
    "Forwarder",
    "Authority",
    "ParticipantRegistry",
    "AssetRegistry",
    "Market",
    "ContributionCredits",
]
CONTRACTS: tuple[ContractName, ...] = get_args(ContractName)


@dataclass(frozen=True)
class Artifact:
    """One compiled contract. immutables: (start, length) of the bytes that a constructor fills in."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    deployed: bytes
    immutables: tuple[tuple[int, int], ...]

    def code_hash(self, code: bytes) -> bytes:
        """keccak256 of deployed code, 32 bytes; where it is this contract's, with immutables set to zero."""
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(len(masked[start : start + length]))
        return bytes(keccak(self.deployed if masked == self.deployed else code))

    def entry(self, kind: str, name: str) -> dict[str, Any]:
        """The ABI entry of a function or an event. Raises InputError where there is none."""
        for entry in self.abi:
            if entry["type"] == kind and entry.get("name") == name:
                return entry
        raise InputError(f"{self.name} has no {kind} of that name", got=name)


@cache
def artifact(name: ContractName) -> Artifact:
    """The artifact that `scripts/compile` wrote. Raises InputError for an unknown name."""
    if name not in CONTRACTS:
        raise InputError("there is no contract of that name", got=name, expected=", ".join(CONTRACTS))
    file = resources.files("marketplace.chain").joinpath("artifacts", f"{name}.json")
    found = json.loads(file.read_text(encoding="utf-8"))
    return Artifact(
        name,
        tuple(found["abi"]),
        bytes.fromhex(found["bytecode"][2:]),
        bytes.fromhex(found["deployedBytecode"][2:]),
        tuple((place["start"], place["length"]) for place in found["immutableReferences"]),
    )


@cache
def selector(name: ContractName, function: str) -> bytes:
    """The four bytes that call data begins with. Raises InputError."""
    entry = artifact(name).entry("function", function)
    return bytes(keccak(text=abi_to_signature(cast(ABIElement, entry)))[:4])


def encode_call(name: ContractName, function: str, arguments: Sequence[object]) -> bytes:
    """Call data. arguments: ints, checksummed addresses, bytes, tuples for structs. Raises InputError."""
    entry = artifact(name).entry("function", function)
    return selector(name, function) + _encode(f"{name}.{function}", entry["inputs"], arguments)


def _encode(what: str, inputs: Sequence[dict[str, Any]], arguments: Sequence[object]) -> bytes:
    try:
        for component, value in zip(inputs, arguments, strict=True):
            _require_exact(component["type"], component, value)
        return encode([collapse_if_tuple(component) for component in inputs], list(arguments))
    except (EncodingError, TypeError, ValueError, OverflowError) as error:
        raise _does_not_fit(what, arguments, error) from None


def _require_exact(kind: str, component: dict[str, Any], value: Any) -> None:
    """What the codec would let pass: addresses without a checksum, short bytes that it pads. Raises ValueError."""
    if kind.endswith("[]"):
        for item in value:
            _require_exact(kind[:-2], component, item)
    elif kind == "tuple":
        for part, field in zip(component["components"], value, strict=True):
            _require_exact(part["type"], part, field)
    elif kind == "address" and not is_checksum_address(value):
        raise ValueError(f"{value!r} is not a checksummed address")
    elif kind == "bytes32" and not (isinstance(value, bytes) and len(value) == 32):
        raise ValueError("32 bytes are needed")


def _does_not_fit(what: str, arguments: Sequence[object], error: Exception) -> InputError:
    kinds = ", ".join(type(argument).__name__ for argument in arguments)
    reason = " ".join(str(error).split())
    return InputError(f"these arguments do not fit {what}", got=f"({kinds}): {reason}")


def decode_result(name: ContractName, function: str, data: bytes) -> Any:
    """What a view returned: one value, or a tuple of several; structs as tuples. Raises IntegrityError."""
    outputs = artifact(name).entry("function", function)["outputs"]
    values = decode_values(outputs, data, what=f"{name}.{function}")
    return values[0] if len(values) == 1 else values


def decode_values(components: Sequence[dict[str, Any]], data: bytes, *, what: str) -> tuple[Any, ...]:
    """ABI values with checksummed addresses. Raises IntegrityError where `data` is not their encoding."""
    try:
        values = decode([collapse_if_tuple(component) for component in components], data)
    except (DecodingError, OverflowError, UnicodeError) as error:
        raise IntegrityError(
            f"the RPC endpoint's answer for {what} does not parse",
            got=f"{len(data)} bytes: {error}",
            do="Check that the deployment file is of this chain; else use another endpoint.",
        ) from None
    return tuple(clean(component, value) for component, value in zip(components, values, strict=True))


def clean(component: dict[str, Any], value: Any) -> Any:
    """A decoded value as we keep it: addresses checksummed, structs as tuples."""
    if component["type"] == "address":
        return to_checksum_address(value)
    if component["type"] == "tuple":
        return tuple(clean(part, field) for part, field in zip(component["components"], value, strict=True))
    return value
