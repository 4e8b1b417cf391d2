"""Calls are written, results and refusals read, from the ABI alone."""

from __future__ import annotations

import string
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.abi import abi_to_signature
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from marketplace.chain.contracts import CONTRACTS, artifact, decode_result, encode_call
from marketplace.chain.deploy import encode_constructor
from marketplace.chain.reverts import SENTENCES, parse_revert, refusal
from marketplace.errors import InputError, IntegrityError

ADDRESS = "0x6B175474E89094C44Da98b954EedeAC495271d0F"
OWN_ERRORS = {
    entry["name"]: entry
    for name in CONTRACTS
    for entry in artifact(name).abi
    if entry["type"] == "error" and "_" in entry["name"]
}

SELECTORS = [b"", *(keccak(text=abi_to_signature(entry))[:4] for entry in OWN_ERRORS.values())]  # type: ignore[arg-type]


def revert_data(signature: str, types: list[str], values: list[Any]) -> bytes:
    return bytes(keccak(text=signature)[:4]) + encode(types, values)


def test_a_call_is_written_as_the_abi_says() -> None:
    data = encode_call("Market", "balanceOf", (ADDRESS,))
    assert data == keccak(text="balanceOf(address)")[:4] + encode(["address"], [ADDRESS])


@pytest.mark.parametrize(
    "arguments",
    [(), (ADDRESS, ADDRESS), (ADDRESS.lower(),), (7,), ("north",), (None,), (b"\1" * 19,)],
)
def test_arguments_that_do_not_fit_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match=r"do not fit Market\.balanceOf"):
        encode_call("Market", "balanceOf", arguments)


def test_a_number_beyond_its_type_is_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        encode_call("Market", "openJob", (bytes(32), 65_536, bytes(32), bytes(32)))


def test_unknown_contracts_and_functions_are_named() -> None:
    with pytest.raises(InputError, match="Bank"):
        encode_call("Bank", "withdraw", ())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rob"):
        encode_call("Market", "rob", ())


def test_constructor_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit Market"):
        encode_constructor("Market", (ADDRESS,))


def test_a_result_has_checksummed_addresses_and_structs_as_tuples() -> None:
    data = encode(["address", "uint48", "uint16", "uint16", "uint16"], [ADDRESS.lower(), 5, 4, 3, 2])
    assert decode_result("Market", "grantOf", data) == (ADDRESS, 5, 4, 3, 2)


@given(st.binary(max_size=200))
def test_a_result_that_does_not_parse_is_an_integrity_error(data: bytes) -> None:
    try:
        grant = decode_result("Market", "grantOf", data)
    except IntegrityError as error:
        assert "Market.grantOf" in error.what
    else:
        assert len(data) >= 160 and grant[1] < 1 << 48


@pytest.mark.parametrize("name", sorted(OWN_ERRORS))
def test_every_error_of_our_contracts_has_a_sentence_over_its_own_values(name: str) -> None:
    sentence, do = SENTENCES[name]
    known = {item["name"] for item in OWN_ERRORS[name]["inputs"]}
    used = {
        field for text in (sentence, do or "") for _, field, _, _ in string.Formatter().parse(text) if field
    }
    assert used <= known


def test_no_sentence_is_about_an_error_that_does_not_exist() -> None:
    every = {
        entry.get("name") for name in CONTRACTS for entry in artifact(name).abi if entry["type"] == "error"
    }
    assert set(SENTENCES) <= every | {"Error", "Panic"}


@pytest.mark.parametrize("name", sorted(OWN_ERRORS))
def test_every_error_is_told_with_its_values(name: str) -> None:
    entry = OWN_ERRORS[name]
    samples = {"address": ADDRESS, "bytes32": b"\1" * 32}
    values = [samples.get(item["type"], 3) for item in entry["inputs"]]
    signature = abi_to_signature(entry)  # type: ignore[arg-type]
    data = revert_data(signature, [item["type"] for item in entry["inputs"]], values)
    error = refusal("Market.buy", data)
    assert error.what.startswith("Market.buy was refused: ")
    assert "{" not in str(error) and "?" not in error.what
    assert name in str(error.got)


def test_times_days_and_states_are_told_as_people_write_them() -> None:
    late = revert_data("Market_TooLate(bytes32,uint40)", ["bytes32", "uint40"], [bytes(32), 1_700_000_000])
    ended = revert_data(
        "Market_GrantEnded(bytes32,address,uint16)",
        ["bytes32", "address", "uint16"],
        [bytes(32), ADDRESS, 20_000],
    )
    settled = revert_data("Market_WrongState(bytes32,uint8)", ["bytes32", "uint8"], [bytes(32), 3])
    assert "2023-11-14 22:13:20 UTC" in refusal("x", late).what
    assert "2024-10-04" in refusal("x", ended).what
    assert "the job is settled" in refusal("x", settled).what


def test_reasons_and_panics_of_other_contracts_are_told() -> None:
    assert "no luck" in refusal("x", revert_data("Error(string)", ["string"], ["no luck"])).what
    assert "panic code 17" in refusal("x", revert_data("Panic(uint256)", ["uint256"], [17])).what


def test_an_unknown_error_is_named_as_it_is() -> None:
    error = refusal("x", bytes.fromhex("deadbeef") + b"\1" * 32)
    assert "0xdeadbeef" in error.what and "01" * 32 in str(error.got)


def test_a_refusal_without_a_reason_says_so() -> None:
    assert refusal("Market.buy", b"").got == "no reason"


@given(st.sampled_from(SELECTORS), st.binary(max_size=100))
def test_no_bytes_break_the_decoder(selector: bytes, rest: bytes) -> None:
    data = selector + rest
    assert str(refusal("x", data)).startswith("x was refused")
    assert isinstance(parse_revert(data).name, str)


def test_code_is_hashed_without_its_immutables_and_other_code_as_it_is() -> None:
    found = artifact("Market")
    start, length = found.immutables[0]
    filled = bytearray(found.deployed)
    filled[start : start + length] = b"\7" * length
    changed = bytearray(filled)
    changed[0] ^= 1
    assert found.code_hash(bytes(filled)) == keccak(found.deployed)
    assert found.code_hash(bytes(changed)) == keccak(bytes(changed))
    assert found.code_hash(b"") == keccak(b"")
