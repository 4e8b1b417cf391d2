"""Webhooks, for both ends: how a delivery is signed, and how its receiver checks it.

`verify` is all that a receiver needs:

    from marketplace.webhooks import verify
    event = verify(request.headers, request.body, secret)   # raises IntegrityError: answer 400
    if event["id"] not in seen: ...                          # a delivery may come twice, with the same webhook-id

Source: Standard Webhooks (symmetric signatures, `v1`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from marketplace.core.canonical import parse_json
from marketplace.errors import InputError, IntegrityError

PREFIX = "whsec_"

TOLERANCE = 300
"""Seconds that a delivery may be old, or ahead: an older one is somebody's replay."""

MAX_BODY = 1024 * 1024
"""Bytes of a delivery."""


def new_secret(random: bytes) -> str:
    """random: 32 bytes of it."""
    return PREFIX + base64.b64encode(random).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`. timestamp: Unix seconds. Raises InputError for a secret that is none."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def verify(
    headers: Mapping[str, str], body: bytes, secret: str, *, now: float | None = None
) -> dict[str, Any]:
    """The event of a delivery that was signed with this secret, of late.

    headers: as they came, in any case. now: Unix seconds; the clock's where None.
    Raises IntegrityError for any other body, a wrong signature or a time that is off by more than TOLERANCE,
    InputError for a secret that is none.
    """
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    message, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        raise IntegrityError("the delivery says no time", expected="webhook-timestamp, Unix seconds")
    wanted = sign(secret, message, int(stamp), body).encode()
    signatures = given.get("webhook-signature", "").split(" ")
    # Each is compared in constant time; a header may carry those of an old and a new secret.
    if not any(hmac.compare_digest(wanted, found.encode("utf-8", "replace")) for found in signatures):
        raise IntegrityError("the delivery is not signed with this secret", do="Do not believe it.")
    age = (time.time() if now is None else now) - int(stamp)
    if abs(age) > TOLERANCE:
        raise IntegrityError(
            "the delivery is of another time", got=f"{age:.0f} s ago", expected=f"within {TOLERANCE} s"
        )
    try:
        event = parse_json(body, what="the delivery", limit=MAX_BODY)
    except InputError as error:
        raise IntegrityError(error.what, got=error.got, expected=error.expected) from None
    if not isinstance(event, dict):
        raise IntegrityError("the delivery is no object")
    return dict(event)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise InputError("not a webhook's secret", expected=f"{PREFIX} and 24 to 64 bytes of base64")
    return key
