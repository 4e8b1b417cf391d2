"""Wrapped keys and sealed messages: the right reader for the right purpose, and nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.canonical import MAX_DOCUMENT, canonical
from marketplace.core.cid import Cid
from marketplace.core.envelope import (
    message_recipients,
    open_message,
    public_key,
    recipient_id,
    seal_message,
    unwrap,
    wrap,
    wrap_info,
)
from marketplace.errors import InputError, IntegrityError, RefusedError, SteelyardError

NODE, BUYER, STRANGER = (X25519PrivateKey.generate().private_bytes_raw() for _ in range(3))
KEY, NONCE = bytes(range(32)), bytes(range(12))
ROOT = Cid.raw(bytes(32))
INFO = wrap_info("buyer", ROOT, "0x01")


def test_a_wrapped_key_opens_for_its_reader_and_purpose() -> None:
    wrapped = wrap(KEY, public_key(BUYER), INFO)
    assert len(wrapped) == 80
    assert unwrap(wrapped, BUYER, INFO) == KEY
    assert wrap(KEY, public_key(BUYER), INFO) != wrapped


@pytest.mark.parametrize(
    "info",
    [b"", wrap_info("node", ROOT, "0x01"), wrap_info("buyer", Cid.of("raw", b""), "0x01"), INFO + b"0"],
)
def test_a_wrapped_key_does_not_open_for_another_purpose(info: bytes) -> None:
    with pytest.raises(IntegrityError):
        unwrap(wrap(KEY, public_key(BUYER), INFO), BUYER, info)


def test_a_wrapped_key_does_not_open_for_another_reader() -> None:
    with pytest.raises(IntegrityError):
        unwrap(wrap(KEY, public_key(BUYER), INFO), STRANGER, INFO)


@settings(deadline=None)
@given(bit=st.integers(0, 639))
def test_any_flipped_bit_of_a_wrapped_key_is_noticed(bit: int) -> None:
    wrapped = bytearray(wrap(KEY, public_key(BUYER), INFO))
    wrapped[bit // 8] ^= 1 << bit % 8
    # X25519 ignores the top bit of a public key, but HPKE derives from the bytes as they stand.
    with pytest.raises(IntegrityError):
        unwrap(bytes(wrapped), BUYER, INFO)


@settings(deadline=None)
@given(wrapped=st.binary(max_size=100) | st.binary(min_size=80, max_size=80))
def test_random_bytes_as_wrapped_key_raise_nothing_but_integrity_errors(wrapped: bytes) -> None:
    with pytest.raises(IntegrityError):
        unwrap(wrapped, BUYER, INFO)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\1" + bytes(31)])
def test_nothing_is_wrapped_to_what_is_no_public_key(public: bytes) -> None:
    with pytest.raises(InputError):
        wrap(KEY, public, INFO)


def test_a_key_of_the_wrong_size_is_never_shown() -> None:
    with pytest.raises(InputError) as sealing:
        wrap(b"topsecret", public_key(BUYER), INFO)
    with pytest.raises(InputError) as opening:
        unwrap(bytes(80), b"topsecret", INFO)
    assert "topsecret" not in f"{sealing.value} {opening.value}"


@pytest.mark.parametrize(("role", "job"), [("owner", "0x01"), ("node", "a\nb")])
def test_a_purpose_has_a_known_role_and_one_line(role: Any, job: str) -> None:
    with pytest.raises(InputError):
        wrap_info(role, ROOT, job)


def message(plaintext: bytes = b"hello") -> bytes:
    return seal_message(plaintext, [public_key(NODE), public_key(BUYER)], key=KEY, nonce=NONCE)


@settings(deadline=None, max_examples=20)
@given(st.binary(max_size=2000))
def test_each_recipient_opens_a_message(plaintext: bytes) -> None:
    block = message(plaintext)
    assert open_message(block, NODE) == open_message(block, BUYER) == plaintext


def test_a_message_names_its_recipients_by_their_keys_digest() -> None:
    assert message_recipients(message()) == (recipient_id(public_key(NODE)), recipient_id(public_key(BUYER)))


def test_nobody_else_opens_a_message() -> None:
    with pytest.raises(RefusedError):
        open_message(message(), STRANGER)


def test_a_message_must_fit_one_block() -> None:
    assert len(message(bytes(195_000))) <= MAX_DOCUMENT
    with pytest.raises(InputError, match="too long"):
        message(bytes(197_000))


@pytest.mark.parametrize("count", [0, 17])
def test_a_message_has_one_to_sixteen_recipients(count: int) -> None:
    recipients = [public_key(bytes([number + 1]) * 32) for number in range(count)]
    with pytest.raises(InputError):
        seal_message(b"", recipients, key=KEY, nonce=NONCE)


def test_a_message_names_a_recipient_once() -> None:
    with pytest.raises(InputError):
        seal_message(b"", [public_key(NODE)] * 2, key=KEY, nonce=NONCE)


@pytest.mark.parametrize("change", [{"key": bytes(31)}, {"nonce": bytes(13)}])
def test_a_message_needs_a_whole_key_and_nonce(change: dict[str, bytes]) -> None:
    with pytest.raises(InputError):
        seal_message(b"", [public_key(NODE)], **({"key": KEY, "nonce": NONCE} | change))


FIELDS: dict[str, Any] = json.loads(message())
NO_FIELD: list[Any] = [None, 2, [], {}, True, "not hex!"]


def flipped(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "ciphertext": lambda value: {"ciphertext": base64.b64encode(bytes(21)).decode()},
    "nonce": lambda value: {"nonce": flipped(value["nonce"])},
    "commitment": lambda value: {"commitment": flipped(value["commitment"])},
    "a recipient dropped": lambda value: {"wraps": value["wraps"][:1]},
    "recipients swapped": lambda value: {"wraps": value["wraps"][::-1]},
    "a recipient renamed": lambda value: {
        "wraps": [
            value["wraps"][0],
            value["wraps"][1] | {"recipient": flipped(value["wraps"][1]["recipient"])},
        ]
    },
    "wraps exchanged": lambda value: {
        "wraps": [
            entry | {"wrap": other["wrap"]}
            for entry, other in zip(value["wraps"], value["wraps"][::-1], strict=True)
        ]
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_message_is_refused(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    with pytest.raises(IntegrityError):
        open_message(canonical(FIELDS | change(FIELDS)), NODE)


def test_readers_whose_wraps_hold_different_keys_are_not_both_served() -> None:
    """A sender who wraps another key for the node cannot make it read another text."""
    other = json.loads(
        seal_message(b"other", [public_key(NODE), public_key(BUYER)], key=bytes(32), nonce=NONCE)
    )
    mixed = FIELDS | {"wraps": [other["wraps"][0], FIELDS["wraps"][1]]}
    assert open_message(canonical(mixed), BUYER) == b"hello"
    with pytest.raises(IntegrityError, match="commits"):
        open_message(canonical(mixed), NODE)


@pytest.mark.parametrize(
    "value",
    [
        *({key: value for key, value in FIELDS.items() if key != name} for name in FIELDS),
        *(FIELDS | {name: value} for name in FIELDS for value in NO_FIELD),
        FIELDS | {"extra": ""},
        FIELDS | {"wraps": FIELDS["wraps"] * 9},
        FIELDS | {"wraps": [{"recipient": 5, "wrap": ""}]},
        FIELDS | {"wraps": [FIELDS["wraps"][0] | {"extra": 1}]},
        FIELDS | {"wraps": ["x"]},
    ],
)
def test_a_block_that_is_no_message_is_refused(value: Any) -> None:
    with pytest.raises(InputError):
        open_message(canonical(value), NODE)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_as_message_raise_nothing_but_our_errors(block: bytes) -> None:
    with pytest.raises(SteelyardError):
        open_message(block, NODE)
