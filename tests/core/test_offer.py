"""Offers, approvals, releases: as documents they say one thing, and who signed them can be told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.eip712 import Domain
from marketplace.core.offer import Approval, Offer, Release, Signed, Wrap
from marketplace.errors import InputError, IntegrityError, SteelyardError

DOMAIN = Domain(31337, "0x" + "a1" * 20)
OWNER, OTHER = (Account.from_key(keccak(text=name)) for name in ("an owner", "another"))
ADDRESS = "0x" + "ab" * 20
OFFER = Offer(
    1 << 248, ADDRESS, price=2_000_000, max_uses=10, valid_until=1_900_000_000, failure_fee_bps=1_000
)
STRUCTS = (OFFER, Approval(1 << 248, ADDRESS, b"\1" * 32, True, 5), Release(b"\1" * 32, b"\2" * 32))


def no_contract(signer: str, digest: bytes, signature: bytes) -> bool:
    return False


def signed(struct: Any, key: Any = OWNER) -> Signed:
    return Signed(struct, bytes(key.unsafe_sign_hash(struct.digest(DOMAIN)).signature))


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_signed_document_is_read_as_it_was_written(struct: Any) -> None:
    document = signed(struct)
    again = Signed.parse(document.to_bytes())
    assert again == document
    assert again.to_bytes() == document.to_bytes()
    again.expect(DOMAIN, OWNER.address, no_contract)


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_document_of_another_signer_or_market_is_refused(struct: Any) -> None:
    with pytest.raises(IntegrityError, match="signed by someone else"):
        signed(struct, OTHER).expect(DOMAIN, OWNER.address, no_contract)
    with pytest.raises(IntegrityError, match="signed by someone else"):
        signed(struct).expect(Domain(1, DOMAIN.contract), OWNER.address, no_contract)


def test_a_signature_of_one_kind_does_not_stand_for_another() -> None:
    release = signed(STRUCTS[2])
    wrap = Wrap(1 << 248, b"\1" * 32, b"\2" * 32)
    with pytest.raises(IntegrityError):
        Signed(wrap, release.signature).expect(DOMAIN, OWNER.address, no_contract)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(STRUCTS), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_of_a_document_is_never_the_owners_word(struct: Any, place: int, flip: int) -> None:
    data = bytearray(signed(struct).to_bytes())
    data[place % len(data)] ^= flip
    try:
        found = Signed.parse(bytes(data))
        found.expect(DOMAIN, OWNER.address, no_contract)
    except SteelyardError:
        return
    assert found.struct == struct  # as upper-case digits of the same number


def changed(**parts: Any) -> bytes:
    value = json.loads(signed(OFFER).to_bytes())
    return json.dumps(value | parts).encode()


HEX = json.loads(signed(OFFER).to_bytes())["signature"]
VALUE = json.loads(signed(OFFER).to_bytes())["value"]
WRONG = {
    "not JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "no type": changed(type=None),
    "unknown type": changed(type="Loan"),
    "a type that is a list": changed(type=["Offer"]),
    "more fields": changed(more=1),
    "another type's value": changed(type="Release"),
    "no signature": changed(signature=None),
    "half a byte": changed(signature=HEX[:-1]),
    "an empty signature": changed(signature="0x"),
    "a signature in capitals": changed(signature=HEX[:-2] + "AB"),
    "an endless signature": changed(signature="0x" + "00" * 4_097),
    "a signature without 0x": changed(signature=HEX[2:] + "00"),
    "a signature of spaces": changed(signature="0x" + " " * 130),
    "a signature with spaces": changed(signature=HEX[:-4] + "    "),
    "no digits": changed(signature="0x" + "zz" * 65),
    "a price below zero": changed(value=VALUE | {"price": -1}),
    "a price with a point": changed(value=VALUE | {"price": 2_000_000.5}),
    "a price beyond its type": changed(value=VALUE | {"price": 1 << 48}),
    "a flag as price": changed(value=VALUE | {"price": True}),
    "two prices": signed(OFFER).to_bytes().replace(b'"price"', b'"price":1,"price"'),
    "too long": b" " * 300_000,
}


@pytest.mark.parametrize("what", WRONG)
def test_a_document_that_is_no_signed_struct_is_refused(what: str) -> None:
    with pytest.raises(InputError):
        Signed.parse(WRONG[what])


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    with pytest.raises(InputError):
        Signed.parse(data)


@given(st.integers(0, (1 << 48) - 1), st.integers(0, 2_000))
def test_the_failure_fee_is_rounded_down_and_at_most_a_fifth(price: int, bps: int) -> None:
    fee = Offer(1 << 248, ADDRESS, price=price, failure_fee_bps=bps).fee_down()
    assert 0 <= fee <= price // 5
    assert fee * 10_000 <= price * bps < (fee + 1) * 10_000


def test_a_wrap_names_the_key_by_its_hash() -> None:
    assert Wrap.of(5, b"\1" * 32, b"a wrapped key").key_digest == keccak(b"a wrapped key")


def test_a_contract_signs_by_its_own_word_and_an_account_by_its_key_alone() -> None:
    document = Signed(next(iter(STRUCTS)), b"\1" * 200)
    asked: list[tuple[str, bytes, bytes]] = []

    def says_yes(signer: str, digest: bytes, signature: bytes) -> bool:
        asked.append((signer, digest, signature))
        return True

    Signed.parse(document.to_bytes()).expect(DOMAIN, OWNER.address, says_yes)
    assert asked == [(OWNER.address, document.struct.digest(DOMAIN), b"\1" * 200)]
    with pytest.raises(IntegrityError):
        document.expect(DOMAIN, OWNER.address, no_contract)
