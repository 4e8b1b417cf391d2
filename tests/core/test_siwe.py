"""Messages to sign in with: EIP-4361's are read and write themselves again, whatever else is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from marketplace.core.eip712 import recover
from marketplace.core.siwe import SignIn, seconds, written
from marketplace.errors import InputError, RefusedError

EXAMPLE = """example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""
"""The EIP's own, with an implicit scheme; it has the same with a port and with `https://`."""

PORT = EXAMPLE.replace("example.com wants", "example.com:3388 wants")
SCHEME = EXAMPLE.replace("example.com wants", "https://example.com wants")
PLAIN = EXAMPLE.replace("I accept the ExampleOrg Terms of Service: https://example.com/tos\n", "").partition(
    "\nRes"
)[0]
FULL = PLAIN + (
    "\nExpiration Time: 2021-09-30T17:25:24.123+02:00\nNot Before: 2021-09-30t16:25:24z"
    "\nRequest ID: a%20b@1\nResources:"
)
NOW = seconds("2021-09-30T16:26:00Z")


@pytest.mark.parametrize(
    "text", [EXAMPLE, PORT, SCHEME, PLAIN, FULL], ids=["eip", "port", "scheme", "plain", "full"]
)
def test_a_message_of_the_standard_is_read_and_writes_itself_again(text: str) -> None:
    assert SignIn.parse(text).to_text() == text


def test_the_fields_of_the_standards_example_are_its_own() -> None:
    found, scheme = SignIn.parse(PORT), SignIn.parse(SCHEME)
    assert (found.domain, found.scheme, found.chain_id, found.nonce) == (
        "example.com:3388",
        None,
        1,
        "32891756",
    )
    assert found.statement == "I accept the ExampleOrg Terms of Service: https://example.com/tos"
    assert found.resources and found.resources[1] == "https://example.com/my-web2-claim.json"
    assert (scheme.scheme, scheme.domain) == ("https", "example.com")
    full = SignIn.parse(FULL)
    assert (full.statement, full.request_id, full.resources) == (None, "a%20b@1", ())


def test_the_digest_is_that_of_a_personal_message() -> None:
    account = Account.from_key(b"\1" * 32)
    message = replace(SignIn.parse(EXAMPLE), address=account.address)
    signature = account.sign_message(encode_defunct(text=message.to_text())).signature
    assert recover(message.digest(), bytes(signature)) == account.address


@pytest.mark.parametrize(
    "change",
    [
        ("example.com wants", " wants"), ("example.com wants", "exa mple wants"), ("example.com wants", "a/b wants"),
        ("wants you", "Wants you"), ("account:", "account: "), ("0xC02a", "0xc02a"), ("0xC02a", "C02a"),
        ("I accept", "I\u00a0accept"), ("I accept", 'I "accept'), ("Service: ", "Service:\n"), ("URI: https", "URI: "),
        ("URI: https://example.com/login", "URI: /login"), ("login", "lo gin"), ("login", "lo%2gin"),
        ("login", "l#a#b"),
        ("Version: 1", "Version: 2"), ("Version: 1", "Version: 01"), ("Chain ID: 1", "Chain ID: 01"),
        ("Chain ID: 1", "Chain ID: -1"), ("Chain ID: 1", "Chain ID: 0x1"), ("Chain ID: 1", "Chain ID: "),
        ("Nonce: 32891756", "Nonce: 3289175"), ("Nonce: 32891756", "Nonce: 3289-1756"), ("\nNonce: 32891756", ""),
        ("2021-09-30T", "2021-09-31T"), ("2021-09-30T", "2021-9-30T"), ("16:25:24Z", "16:25:60Z"), ("24Z", "24"),
        ("24Z", "24+25:00"), ("24Z", "24+01:60"), ("24Z", "24.Z"), ("Resources:", "Resources: "), ("- ipfs", "-ipfs"),
        ("- ipfs", "* ipfs"), ("ipfs://", "ipfs "),
        ("\nChain ID: 1\nNonce: 32891756", "\nNonce: 32891756\nChain ID: 1"),
        ("Z\nRes", "Z\nNot Before: 2021-09-30T16:25:24Z\nExpiration Time: 2021-09-30T16:25:24Z\nRes"),
        ("claim.json", "claim.json\n"), ("claim.json", "claim.json" + "x" * 4_000), ("\n", "\r\n"),
    ],
    ids=lambda change: repr(change[1])[:30],
)  # fmt: skip
def test_anything_else_is_no_message(change: tuple[str, str]) -> None:
    assert change[0] in EXAMPLE
    with pytest.raises(InputError):
        SignIn.parse(EXAMPLE.replace(*change))


def test_a_message_counts_in_its_time_alone() -> None:
    message = SignIn.parse(PLAIN)
    message.require_current(now=NOW)
    for now in (NOW + 700, NOW - 700):
        with pytest.raises(RefusedError, match="Issued At"):
            message.require_current(now=now)
    replace(message, expiration_time=written(NOW + 1), not_before=written(NOW)).require_current(now=NOW)
    with pytest.raises(RefusedError, match="Expiration Time"):
        replace(message, expiration_time=written(NOW)).require_current(now=NOW)
    with pytest.raises(RefusedError, match="Not Before"):
        replace(message, not_before=written(NOW + 1)).require_current(now=NOW)


def test_times_mean_what_they_say_in_every_zone() -> None:
    assert seconds("1970-01-01T00:00:00Z") == 0
    assert seconds("1970-01-01T01:30:00+01:30") == seconds("1969-12-31T23:00:00-01:00") == 0
    assert seconds("1970-01-01T00:00:00.25Z") == 0.25
    assert written(seconds("2026-11-23T12:00:00Z")) == "2026-11-23T12:00:00Z"
