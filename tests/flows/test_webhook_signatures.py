"""A delivery's signature: that of Standard Webhooks, and for nothing else than its own bytes, id and time."""

from __future__ import annotations

import pytest

from marketplace.errors import InputError, IntegrityError
from marketplace.webhooks import new_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""The standard's own example."""

HEADERS = {"Webhook-Id": ID, "Webhook-Timestamp": str(AT), "Webhook-Signature": f"v1,AAAA {SIGNATURE}"}


def test_the_signature_is_that_of_the_standards_example() -> None:
    assert sign(SECRET, ID, AT, BODY) == SIGNATURE
    assert verify(HEADERS, BODY, SECRET, now=AT + 299) == {"test": 2_432_232_314}


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "msg_other"}, {"Webhook-Timestamp": str(AT + 1)}, {"Webhook-Timestamp": "soon"},
        {"Webhook-Timestamp": "9" * 40}, {"Webhook-Signature": ""}, {"Webhook-Signature": SIGNATURE[3:]},
        {"Webhook-Signature": "v1,\u00e9"},
    ],
)  # fmt: skip
def test_a_changed_header_is_not_believed(change: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        verify(HEADERS | change, BODY, SECRET, now=AT)


def test_other_bytes_another_secret_and_another_time_are_not_believed() -> None:
    with pytest.raises(IntegrityError, match="not signed"):
        verify(HEADERS, BODY + b" ", SECRET, now=AT)
    with pytest.raises(IntegrityError, match="not signed"):
        verify(HEADERS, BODY, new_secret(b"\1" * 32), now=AT)
    for now in (AT + 301, AT - 301):
        with pytest.raises(IntegrityError, match="another time"):
            verify(HEADERS, BODY, SECRET, now=now)
    with pytest.raises(IntegrityError, match="another time"):
        verify(HEADERS, BODY, SECRET)


def test_a_signed_body_that_is_no_object_is_said() -> None:
    headers = HEADERS | {"Webhook-Signature": sign(SECRET, ID, AT, b"[1")}
    with pytest.raises(IntegrityError):
        verify(headers, b"[1", SECRET, now=AT)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "whsec_\u00e9", SECRET[6:], "whsec_" + "A" * 400]
)
def test_what_is_no_secret_is_said_without_repeating_it(secret: str) -> None:
    with pytest.raises(InputError) as caught:
        sign(secret, ID, AT, BODY)
    assert caught.value.got is None
