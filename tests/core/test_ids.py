"""Names of assets: one id for owner and salt, one text for an id."""

from __future__ import annotations

import hashlib

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.ids import Did, Kind, asset_id, kind_of
from marketplace.errors import InputError

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: to_checksum_address(raw))
salts = st.binary(min_size=32, max_size=32)
tokens = st.builds(
    lambda kind, rest: kind << 248 | rest, st.sampled_from(Kind), st.integers(0, (1 << 248) - 1)
)
dids = st.builds(Did, st.integers(1, 10**18), addresses, tokens)
REGISTRY = "0x" + "ab" * 20


@given(st.sampled_from(Kind), addresses, salts)
def test_an_id_is_its_kind_and_the_hash_of_owner_and_salt(kind: Kind, owner: str, salt: bytes) -> None:
    token = asset_id(kind, owner, salt)
    words = bytes(12) + bytes.fromhex(owner[2:]) + salt
    assert token.to_bytes(32) == bytes([kind]) + keccak(words)[1:]
    assert kind_of(token) is kind
    assert asset_id(kind, owner.lower(), salt) == token


@given(addresses, salts, addresses, salts)
def test_other_owners_and_salts_have_other_ids(owner: str, salt: bytes, other: str, another: bytes) -> None:
    same = (owner, salt) == (other, another)
    assert (asset_id(Kind.model, owner, salt) == asset_id(Kind.model, other, another)) == same


@pytest.mark.parametrize("token", [0, 1, (1 << 248) - 1, 4 << 248, 255 << 248, 1 << 256, -1])
def test_a_number_of_no_kind_is_no_asset(token: int) -> None:
    with pytest.raises(InputError, match="not an asset id"):
        kind_of(token)


@given(dids)
def test_a_did_is_read_as_it_was_written(did: Did) -> None:
    assert Did.parse(str(did)) == did
    assert Did.parse(str(did).replace(did.registry, did.registry.lower())) == did
    assert did.folder == hashlib.sha256(str(did).encode()).hexdigest()


@given(dids, dids)
def test_different_assets_have_different_folders(one: Did, other: Did) -> None:
    assert (one.folder == other.folder) == (one == other)


TOKEN = str(1 << 248)
WRONG = [
    "",
    "did:steelyard",
    f"did:steelyard:0:{REGISTRY}:{TOKEN}",
    f"did:steelyard:01:{REGISTRY}:{TOKEN}",
    f"did:steelyard:1:{REGISTRY}:0{TOKEN}",
    f"did:steelyard:1:{REGISTRY}:1",
    f"did:steelyard:1:{REGISTRY}:-{TOKEN}",
    f"did:steelyard:1:{REGISTRY}:{TOKEN}\n",
    f" did:steelyard:1:{REGISTRY}:{TOKEN}",
    f"did:steelyard:1:{REGISTRY}:{TOKEN}:x",
    f"did:steelyard:1:{REGISTRY}:{1 << 256}",
    f"did:steelyard:1:{REGISTRY[2:]}:{TOKEN}",
    f"did:steelyard:1:0X{REGISTRY[2:]}:{TOKEN}",
    f"did:steelyard:1:{REGISTRY}0:{TOKEN}",
    f"did:steelyard:1:0xABABABABABABABABABABABABABABABABABABABAb:{TOKEN}",
    f"did:steelyard:\u0661:{REGISTRY}:{TOKEN}",
    f"did:steelyard:{'9' * 20}:{REGISTRY}:{TOKEN}",
    f"DID:steelyard:1:{REGISTRY}:{TOKEN}",
    f"did:op:1:{REGISTRY}:{TOKEN}",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_text_that_is_no_did_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Did.parse(text)


@given(st.text(max_size=120))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        assert str(Did.parse(text)).lower() == text.lower()
    except InputError:
        return
