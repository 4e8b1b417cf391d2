"""Canonical JSON: what is written is RFC 8785, what is read is strict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.canonical import (
    MAX_DEPTH,
    canonical,
    exact_fields,
    hex_bytes,
    parse_canonical,
    parse_json,
    sha256,
)
from marketplace.errors import InputError

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


def test_writing_follows_the_example_of_rfc_8785() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value) == expected.encode()


def test_keys_are_sorted_by_utf16_units() -> None:
    # U+10000 is written with surrogates (0xD800...), which sort before U+FFFF.
    assert canonical({"\uffff": 1, "\U00010000": 2}) == '{"\U00010000":2,"\uffff":1}'.encode()


@settings(deadline=None)
@given(_VALUES)
def test_what_is_written_reads_back_as_the_same_value(value: Any) -> None:
    data = canonical(value)
    assert parse_canonical(data, what="a value") == value
    assert canonical(parse_json(data, what="a value")) == data


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, -(2**53), {1: 2}, b"bytes", {"a": object()}, "\ud800", {"\ud800": 1}],
)
def test_writing_refuses_what_json_cannot_hold(value: object) -> None:
    with pytest.raises(InputError):
        canonical(value)


def test_writing_refuses_a_value_nested_without_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError):
        canonical(endless)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf1",
        b'{"a":1,"a":2}',
        b'[{"a":{"b":1,"b":1}}]',
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b"9007199254740993",
        b"-9007199254740993",
        b"10000000000000000000000",
        b"9" * 5000,
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"[" * 200_000,
        b'{"a":' * 40_000,
        b"1 2",
        b"'a'",
        b"[1,]",
    ],
)
def test_reading_refuses_what_two_parsers_could_understand_differently(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_json(data, what="a document")


def test_a_large_float_written_without_a_point_reads_back_as_a_float() -> None:
    value = parse_canonical(canonical([1e20, -(2.0**53)]), what="a document")
    assert value == [1e20, -(2.0**53)]
    assert isinstance(value, list) and all(type(number) is float for number in value)


def test_reading_stops_at_the_limit_of_bytes() -> None:
    assert parse_json(b"[1]", what="a document", limit=3) == [1]
    with pytest.raises(InputError, match="too long"):
        parse_json(b"[10]", what="a document", limit=3)


def test_reading_stops_at_the_limit_of_depth() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, what="a document")
    with pytest.raises(InputError, match="deep"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), what="a document")


@pytest.mark.parametrize("data", [b'{"b":1,"a":2}', b'{"a": 1}', b"1.0", b'"\\u0041"', b"[1]\n"])
def test_reading_canonical_json_refuses_any_other_spelling(data: bytes) -> None:
    assert parse_json(data, what="a document") is not None
    with pytest.raises(InputError, match="canonical"):
        parse_canonical(data, what="a document")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_input_errors(data: bytes) -> None:
    try:
        value = parse_json(data, what="a document")
    except InputError:
        return
    assert value == json.loads(data)


def test_a_long_object_of_equal_keys_is_refused_at_once() -> None:
    keys = ",".join(f'"{number}":0' for number in range(20_000))
    with pytest.raises(InputError, match="twice"):
        parse_json(f'{{{keys},"19999":0}}'.encode(), what="a document")


@pytest.mark.parametrize(
    "value", [{}, {"a": 1, "b": "x", "c": 0}, {"a": True, "b": "x"}, {"a": 1, "b": 1}, [], None]
)
def test_exact_fields_refuses_missing_unknown_and_mistyped_fields(value: Any) -> None:
    with pytest.raises(InputError):
        exact_fields(value, {"a": int, "b": str}, what="a document")


def test_exact_fields_gives_back_what_fits() -> None:
    assert exact_fields({"a": 1, "b": "x"}, {"a": int, "b": str}, what="a document") == {"a": 1, "b": "x"}


@pytest.mark.parametrize("text", ["", "0g", "AB", "abcd", "0xab", " ab", "a b"])
def test_hex_has_one_spelling(text: str) -> None:
    assert hex_bytes("ab", 1, what="a byte") == b"\xab"
    with pytest.raises(InputError):
        hex_bytes(text, 1, what="a byte")


def test_sha256_takes_any_kind_of_buffer() -> None:
    expected = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert sha256(b"") == sha256(bytearray()) == sha256(memoryview(b"")) == expected
