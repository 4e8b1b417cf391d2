"""Content identifiers: one block, one text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError

# `printf 'hello' | ipfs add --cid-version=1 --raw-leaves`
HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


def test_a_block_has_the_name_that_ipfs_gives_it() -> None:
    assert str(Cid.of("raw", b"hello")) == HELLO
    assert Cid.parse(HELLO) == Cid.of("raw", b"hello")


@given(st.sampled_from(["raw", "dag-pb"]), st.binary(min_size=32, max_size=32))
@settings(deadline=None)
def test_text_and_bytes_read_back_as_the_same_name(codec: Any, digest: bytes) -> None:
    cid = Cid(codec, digest)
    assert Cid.parse(str(cid)) == cid
    assert Cid.from_bytes(cid.to_bytes()) == cid
    assert str(cid).startswith("bafkrei" if codec == "raw" else "bafybei")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        HELLO.upper(),
        HELLO[:-1],
        HELLO + "a",
        HELLO + "\n",
        HELLO[:-1] + "b",  # its last letter carries a bit that no byte has
        HELLO.replace("b", "z", 1),
        "b" + "0" * 58,
        "b" + "é" * 58,
        "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX",  # version 0
        "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",  # dag-cbor
        "bafkr4ibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",  # BLAKE3
        "../../../../../../../../../../../../../../../etc/passwd0000",
        None,
        5,
        b"bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
        ["b"] * 59,
    ],
)
def test_parsing_refuses_every_other_text(text: Any) -> None:
    with pytest.raises(InputError):
        Cid.parse(text)


@settings(deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=59, max_size=59))
def test_random_text_raises_nothing_but_input_errors(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except InputError:
        return
    assert str(cid) == text


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_random_bytes_raise_nothing_but_input_errors(data: bytes) -> None:
    try:
        cid = Cid.from_bytes(data)
    except InputError:
        return
    assert cid.to_bytes() == data


@pytest.mark.parametrize(("codec", "digest"), [("cbor", bytes(32)), ("raw", bytes(31)), ("raw", "a" * 32)])
def test_a_name_needs_a_known_codec_and_a_whole_digest(codec: Any, digest: Any) -> None:
    with pytest.raises(InputError):
        Cid(codec, digest)


def test_checking_refuses_a_block_whose_bytes_do_not_match() -> None:
    cid = Cid.of("raw", b"hello")
    assert cid.check(b"hello") == b"hello"
    with pytest.raises(IntegrityError, match=str(cid)):
        cid.check(b"hallo")
