"""Keys and short messages sealed to X25519 public keys by HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM).

Pure but for HPKE's own ephemeral key, which only the library can draw. A wrapped key is bound to its purpose by
`info`; a message is bound to its list of readers and commits to its key, so that all readers read the same text.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from marketplace.core.canonical import (
    MAX_DOCUMENT,
    JsonValue,
    canonical,
    exact_fields,
    hex_bytes,
    parse_canonical,
    sha256,
)
from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError, RefusedError

KEY_BYTES = 32
NONCE_BYTES = 12
WRAP_BYTES = 80
MAX_RECIPIENTS = 16

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_VERSION = 1
_MESSAGE = b"steelyard message 1"
_FIELDS = {"version": int, "wraps": list, "nonce": str, "commitment": str, "ciphertext": str}


def wrap(key: bytes, recipient: bytes, info: bytes) -> bytes:
    """`key` (32 bytes) sealed to the X25519 public key `recipient` (32 bytes), for the purpose `info`: 80 bytes.

    Raises InputError if `recipient` is no usable public key.
    """
    check_size(key, KEY_BYTES, "a key")
    check_size(recipient, KEY_BYTES, "a public sealing key")
    try:
        return _SUITE.encrypt(key, X25519PublicKey.from_public_bytes(recipient), info)
    except ValueError as error:
        raise InputError(
            "nothing can be sealed to this public key", got=recipient.hex(), expected="an X25519 public key"
        ) from error


def unwrap(wrapped: bytes, private: bytes, info: bytes) -> bytes:
    """The key in `wrapped`. Raises IntegrityError if it was sealed to another key, for another purpose, or changed."""
    check_size(private, KEY_BYTES, "a private sealing key")
    try:
        key = _SUITE.decrypt(wrapped, X25519PrivateKey.from_private_bytes(private), info)
    except (InvalidTag, ValueError):
        key = b""
    if len(key) != KEY_BYTES or len(wrapped) != WRAP_BYTES:
        raise IntegrityError(
            "a wrapped key does not open",
            got=f"{len(wrapped)} bytes",
            expected=f"{WRAP_BYTES} bytes, sealed to this key for this purpose",
        ) from None
    return key


def wrap_info(role: Literal["node", "buyer"], root: Cid, job: str) -> bytes:
    """The purpose of a wrapped key: who may open which sealed body, for which job (empty: for none in particular)."""
    if role not in ("node", "buyer") or "\n" in job:
        raise InputError(
            "not a purpose of a wrapped key", got=f"{role!r}, job {job!r}", expected="node or buyer"
        )
    return f"steelyard wrap 1\n{role}\n{root}\n{job}".encode()


def seal_message(plaintext: bytes, recipients: Sequence[bytes], *, key: bytes, nonce: bytes) -> bytes:
    """A block (canonical JSON, at most 256 KiB) that each of `recipients` can open, and nobody else.

    recipients: 1 to 16 X25519 public keys, each once. key, nonce: 32 and 12 fresh random bytes, for this call only.
    Raises InputError if the block would be too large or a recipient is no public key.
    """
    check_size(key, KEY_BYTES, "a key")
    check_size(nonce, NONCE_BYTES, "a nonce")
    names = [recipient_id(recipient) for recipient in recipients]
    if not 1 <= len(names) <= MAX_RECIPIENTS or len(set(names)) != len(names):
        raise InputError("wrong recipients", got=len(names), expected=f"1 to {MAX_RECIPIENTS}, each once")
    wraps: list[JsonValue] = [
        {"recipient": name.hex(), "wrap": wrap(key, recipient, _MESSAGE).hex()}
        for name, recipient in zip(names, recipients, strict=True)
    ]
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, _message_data(names))
    block = canonical(
        {
            "version": _VERSION,
            "wraps": wraps,
            "nonce": nonce.hex(),
            "commitment": _commitment(key, nonce).hex(),
            "ciphertext": base64.b64encode(ciphertext).decode("ascii"),
        }
    )
    if len(block) > MAX_DOCUMENT:
        raise InputError(
            "the message is too long for one block",
            got=f"{len(block)} bytes",
            expected=f"at most {MAX_DOCUMENT} bytes",
        )
    return block


def open_message(block: bytes, private: bytes) -> bytes:
    """The plaintext of a block made by `seal_message`, for one of its recipients.

    private: X25519 private key, 32 bytes. Raises InputError if `block` is no such block, RefusedError if it is not
    sealed to this key, IntegrityError if it was changed.
    """
    fields = _parse(block)
    names, wraps = zip(*fields["wraps"], strict=True)
    own = recipient_id(public_key(private))
    if own not in names:
        raise RefusedError(
            "a message is not sealed to this key", got=f"{len(names)} others", expected=own.hex()
        )
    key = unwrap(wraps[names.index(own)], private, _MESSAGE)
    if not hmac.compare_digest(_commitment(key, fields["nonce"]), fields["commitment"]):
        raise IntegrityError("a message commits to another key than the one wrapped for this reader")
    try:
        return AESGCM(key).decrypt(fields["nonce"], fields["ciphertext"], _message_data(names))
    except InvalidTag:
        raise IntegrityError("a sealed message was changed after it was sealed") from None


def recipient_id(public: bytes) -> bytes:
    """How a message names the holder of an X25519 public key: its SHA-256."""
    return sha256(public)


def message_recipients(block: bytes) -> tuple[bytes, ...]:
    """The `recipient_id` of each key that a message is sealed to. Raises InputError if `block` is no such block."""
    return tuple(name for name, _ in _parse(block)["wraps"])


def public_key(private: bytes) -> bytes:
    """The X25519 public key (32 bytes) of a private one (32 bytes)."""
    check_size(private, KEY_BYTES, "a private sealing key")
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def check_size(data: bytes, size: int, what: str) -> None:
    """Raises InputError, without showing `data`, if it is not `size` bytes long."""
    if len(data) != size:
        raise InputError(f"{what} has the wrong size", got=f"{len(data)} bytes", expected=f"{size} bytes")


def _parse(block: bytes) -> dict[str, Any]:
    what = "a sealed message"
    fields = exact_fields(parse_canonical(block, what=what), _FIELDS, what=what)
    if fields["version"] != _VERSION:
        raise InputError(f"{what} has an unknown version", got=fields["version"], expected=_VERSION)
    wraps = [_parse_wrap(entry) for entry in fields["wraps"][: MAX_RECIPIENTS + 1]]
    if not 1 <= len(wraps) <= MAX_RECIPIENTS:
        raise InputError(
            f"{what} has the wrong number of recipients", got=len(wraps), expected=f"1 to {MAX_RECIPIENTS}"
        )
    try:
        ciphertext = base64.b64decode(fields["ciphertext"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{what} holds no base64", got=error) from None
    return {
        "wraps": wraps,
        "nonce": hex_bytes(fields["nonce"], NONCE_BYTES, what="a nonce"),
        "commitment": hex_bytes(fields["commitment"], KEY_BYTES, what="a key commitment"),
        "ciphertext": ciphertext,
    }


def _parse_wrap(entry: JsonValue) -> tuple[bytes, bytes]:
    fields = exact_fields(entry, {"recipient": str, "wrap": str}, what="a wrap")
    return (
        hex_bytes(fields["recipient"], 32, what="a recipient"),
        hex_bytes(fields["wrap"], WRAP_BYTES, what="a wrapped key"),
    )


def _commitment(key: bytes, nonce: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=32, info=b"commit message" + nonce).derive(key)


def _message_data(names: Sequence[bytes]) -> bytes:
    return _MESSAGE + b"".join(names)
