"""Canonical JSON: one value, one sequence of bytes, so that a digest names a document for everyone.

Pure. Writing follows RFC 8785; reading is strict I-JSON (RFC 7493): what two parsers could understand
differently (duplicate keys, NaN, integers beyond 2**53 - 1, lone surrogates) is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import rfc8785

from marketplace.errors import InputError

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"

MAX_DOCUMENT = 262_144
"""Bytes of a document that is one block of the shared store."""

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def canonical(value: object) -> bytes:
    """The bytes of `value` by RFC 8785.

    value: dicts with text keys, lists, tuples, text, bool, None, finite floats, integers up to 2**53 - 1.
    Raises InputError if `value` holds anything else.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise InputError(
            "this value has no canonical JSON form",
            got=error,
            expected="JSON values, finite floats, integers within 2**53 - 1",
            do="Write larger integers as text.",
        ) from error


def parse_json(data: bytes, *, what: str, limit: int = MAX_DOCUMENT) -> JsonValue:
    """The value that `data` holds.

    what: names the document in errors, as "the offer". limit: most bytes accepted.
    Raises InputError if it is longer than `limit`, not UTF-8, not JSON, nested deeper than MAX_DEPTH, or holds
    duplicate keys, NaN, infinities, lone surrogates, or integers beyond 2**53 - 1 that are no float's exact digits.
    """
    if len(data) > limit:
        raise InputError(f"{what} is too long", got=f"{len(data)} bytes", expected=f"at most {limit} bytes")
    try:
        text = data.decode("utf-8")
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_integer,
        )
        _check_depth(value)
        # Escapes such as "\ud800" give text that has no UTF-8 form.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise InputError(
            f"{what} is not UTF-8", got=error.reason if hasattr(error, "reason") else error
        ) from error
    except RecursionError as error:
        raise InputError(f"{what} is nested too deeply", expected=f"at most {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise InputError(f"{what} is not valid JSON", got=error) from error
    return value


def parse_canonical(data: bytes, *, what: str, limit: int = MAX_DOCUMENT) -> JsonValue:
    """As `parse_json`, and `data` must be the value's canonical bytes, so that one document has one digest."""
    value = parse_json(data, what=what, limit=limit)
    if canonical(value) != data:
        raise InputError(f"{what} is not in canonical form", expected="RFC 8785: sorted keys, no spaces")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"key {name[:80]!r} stands twice")
        result[name] = value
    return result


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _integer(text: str) -> int | float:
    # The length first: Python's own limit on digits raises much later.
    if len(text) <= 17 and abs(int(text)) <= MAX_INTEGER:
        return int(text)
    # RFC 8785 writes floats below 1e21 without a point: only those exact digits are a number here, and no integer.
    value = float(text[:23])
    if len(text) <= 22 and rfc8785.dumps(value) == text.encode("ascii"):
        return value
    raise ValueError(f"the integer {text[:40]} is beyond 2**53 - 1")


def _check_depth(value: JsonValue) -> None:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in _containers(parent.values() if isinstance(parent, dict) else parent)
        ]
    if level:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _containers(values: Iterable[JsonValue]) -> list[dict[str, JsonValue] | list[JsonValue]]:
    return [value for value in values if isinstance(value, dict | list)]


def exact_fields(value: JsonValue, types: Mapping[str, type], *, what: str) -> dict[str, Any]:
    """`value` as an object that has exactly the keys of `types`, each of exactly that type (a bool is no int).

    Raises InputError naming the first field that is unknown, missing or of another type.
    """
    if not isinstance(value, dict):
        raise InputError(f"{what} is not an object", got=type(value).__name__, expected=sorted(types))
    unknown, missing = sorted(value.keys() - types.keys()), sorted(types.keys() - value.keys())
    if unknown or missing:
        raise InputError(
            f"{what} has the wrong fields",
            got=f"unknown {unknown[:5]}, missing {missing}",
            expected=sorted(types),
        )
    for name, wanted in types.items():
        if type(value[name]) is not wanted:
            raise InputError(
                f"{what} has a field of the wrong type",
                got=f"{name}: {type(value[name]).__name__}",
                expected=wanted.__name__,
            )
    return value


def hex_bytes(text: str, length: int, *, what: str) -> bytes:
    """The `length` bytes that `text` writes in lower-case hex. Raises InputError for any other text."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != length or data.hex() != text:
        raise InputError(
            f"{what} is not hex", got=text[:80], expected=f"{length} bytes, {2 * length} lower-case digits"
        )
    return data
