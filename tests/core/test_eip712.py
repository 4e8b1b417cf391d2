"""Signed structs: digests as the standard writes them by hand, and a border that takes nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.eip712 import Domain, Struct, parse_value, recover
from marketplace.core.job import Progress, Receipt, Request
from marketplace.core.offer import Approval, Offer, Release, Wrap
from marketplace.errors import InputError, IntegrityError

STRUCTS = (Offer, Approval, Release, Wrap, Receipt, Request, Progress)
DOMAIN = Domain(31337, "0x" + "a1" * 20)
KEY = Account.from_key(keccak(text="an owner"))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("uint"):
        return st.integers(0, (1 << int(kind[4:])) - 1)
    return {
        "address": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
        "bytes32": st.binary(min_size=32, max_size=32),
        "bool": st.booleans(),
        "string": st.text(max_size=40).filter(lambda text: text.isprintable()),
    }[kind]


@st.composite
def structs(draw: st.DrawFn) -> Struct:
    kind = draw(st.sampled_from(STRUCTS))
    return kind(*(draw(values_of(solidity)) for _, solidity in kind.TYPES))


def digest_by_hand(struct: Struct, domain: Domain) -> bytes:
    """EIP-712 from its text: keccak256(0x1901 || domain separator || hashStruct)."""
    kinds = [kind for _, kind in struct.TYPES]
    members = ",".join(f"{kind} {name}" for name, kind in struct.TYPES)
    words = [
        keccak(text=value) if kind == "string" else value
        for kind, value in zip(kinds, struct.to_tuple(), strict=True)
    ]
    types = ["bytes32" if kind == "string" else kind for kind in kinds]
    type_hash = keccak(text=f"{type(struct).__name__}({members})")
    body = keccak(encode(["bytes32", *types], [type_hash, *words]))
    of_domain = keccak(
        text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    )
    names = [keccak(text=domain.name), keccak(text=domain.version)]
    separator = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [of_domain, *names, domain.chain_id, domain.contract],
        )
    )
    return keccak(b"\x19\x01" + separator + body)


@settings(deadline=None)
@given(structs())
def test_a_digest_is_the_one_that_the_standard_writes(struct: Struct) -> None:
    assert struct.digest(DOMAIN) == digest_by_hand(struct, DOMAIN)
    assert type(struct).type_hash() == keccak(
        text=f"{type(struct).__name__}({','.join(f'{kind} {name}' for name, kind in struct.TYPES)})"
    )


@settings(deadline=None)
@given(structs(), st.data())
def test_any_other_field_or_domain_gives_another_digest(struct: Struct, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(struct.TYPES) - 1))
    name, kind = fields(struct)[place].name, struct.TYPES[place][1]
    changed = replace(struct, **{name: data.draw(values_of(kind))})
    assert (changed.digest(DOMAIN) == struct.digest(DOMAIN)) == (changed == struct)
    for domain in (replace(DOMAIN, chain_id=1), replace(DOMAIN, contract="0x" + "b2" * 20)):
        assert struct.digest(domain) != struct.digest(DOMAIN)


@settings(deadline=None)
@given(structs())
def test_json_and_tuple_give_the_same_struct_back(struct: Struct) -> None:
    kind = type(struct)
    assert kind.from_json(struct.to_json()) == struct
    assert kind.from_tuple(struct.to_tuple()) == struct


@settings(deadline=None)
@given(structs(), st.data())
def test_json_with_a_field_more_or_less_is_refused(struct: Struct, data: st.DataObject) -> None:
    value = struct.to_json()
    name = data.draw(st.sampled_from(sorted(value)))
    less = {key: item for key, item in value.items() if key != name}
    for wrong in (less, value | {"more": 1}, less | {name.upper() + "_": value[name]}):
        with pytest.raises(InputError, match="other fields"):
            type(struct).from_json(wrong)
    with pytest.raises(InputError, match="wrong length"):
        type(struct).from_tuple(struct.to_tuple()[:-1])


@pytest.mark.parametrize("value", [None, [], "text", 5, b""])
def test_json_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="not an object"):
        Release.from_json(value)


WRONG = [
    ("uint8", 256), ("uint8", -1), ("uint8", True), ("uint8", 1.0), ("uint8", "0x1"), ("uint8", ""), ("uint8", " 1"),
    ("uint8", "-1"), ("uint8", "1_0"), ("uint8", "\u0661"), ("uint256", 1 << 256), ("uint256", "9" * 79),
    ("uint16", None), ("bool", 1), ("bool", "true"), ("string", 5), ("string", b"text"),
    ("address", "ab" * 20), ("address", "0X" + "ab" * 20), ("address", "0x" + "ab" * 19), ("address", b"\1" * 20),
    ("address", "0x" + "zz" * 20), ("address", None), ("address", "0xABABABABABABABABABABABABABABABABABABABAb"),
    ("address", "0x" + "ab" * 20 + "\n"), ("bytes32", b"\1" * 31), ("bytes32", b"\1" * 33), ("bytes32", "ab" * 32),
    ("bytes32", "0x" + "ab" * 31), ("bytes32", "0x" + "zz" * 32), ("bytes32", "0x" + "ab" * 30 + "    "),
    ("bytes32", "0x" + "ab " * 21 + "a"), ("bytes32", 5), ("bytes32", [1] * 32), ("int8", 1),
    ("bytes", "ab"), ("bytes", "0xabc"), ("bytes", 5), ("bytes", "0xab\n"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_a_value_of_another_type_is_refused_by_name(kind: str, value: object) -> None:
    with pytest.raises(InputError, match=r"Offer\.price does not fit"):
        parse_value(kind, value, where="Offer.price")


@given(st.binary(min_size=20, max_size=20))
def test_addresses_are_kept_in_checksum_form(raw: bytes) -> None:
    lower = "0x" + raw.hex()
    kept = parse_value("address", lower, where="it")
    assert kept.lower() == lower
    assert parse_value("address", kept, where="it") == kept


@settings(deadline=None, max_examples=50)
@given(structs(), st.integers(0, 519), st.binary(min_size=32, max_size=32))
def test_a_changed_bit_of_a_signature_never_names_the_signer(struct: Struct, bit: int, other: bytes) -> None:
    digest = struct.digest(DOMAIN)
    signature = bytes(KEY.unsafe_sign_hash(digest).signature)
    assert struct.signer(DOMAIN, signature) == KEY.address
    changed = (int.from_bytes(signature) ^ (1 << bit)).to_bytes(65)
    try:
        assert recover(digest, changed) != KEY.address
    except IntegrityError:
        return
    assert recover(other, signature) != KEY.address or other == digest


def malformed() -> dict[str, bytes]:
    good = bytes(KEY.unsafe_sign_hash(bytes(32)).signature)
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    return {
        "empty": b"",
        "short": good[:64],
        "long": good + b"\0",
        "zero": bytes(65),
        "v of 0": good[:64] + b"\0",
        "v of 29": good[:64] + b"\x1d",
        "high s": r + (ORDER - s).to_bytes(32) + bytes([27 + 28 - v]),
        "r of 0": bytes(32) + good[32:],
        "s of 0": r + bytes(32) + good[64:],
        "r beyond the order": b"\xff" * 32 + good[32:],
        "no point": (5).to_bytes(32) + good[32:],
    }


@pytest.mark.parametrize("what", malformed())
def test_a_malformed_or_malleable_signature_is_refused(what: str) -> None:
    with pytest.raises(IntegrityError, match="signature"):
        recover(bytes(32), malformed()[what])
