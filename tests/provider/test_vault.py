"""The vault: sealed at rest, opened only as its owner wrapped it; whatever was swapped or damaged is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from compute.provider.vault import SealedDataset, Vault, VaultRecord, wrap_of
from marketplace.core import envelope
from marketplace.core.cid import Cid
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.errors import InputError, IntegrityError, NotFoundError, UnavailableError
from marketplace.keys import sign_digest
from tests.support.chain import account_named

DOMAIN = Domain(31_337, "0x" + "11" * 20)
PRIVATE, OTHER_PRIVATE = b"\1" * 32, b"\2" * 32
OWNER, STRANGER = account_named("vault's owner"), account_named("a stranger")
DATA = b"name,fault\n" + b"a person's name,1\n" * 30_000  # three leaves


def did(salt: int, domain: Domain = DOMAIN) -> Did:
    registry = "0x" + "22" * 20
    return Did(domain.chain_id, registry, asset_id(Kind.dataset, OWNER.address, bytes([salt]) * 32))


def record_of(
    sealed: SealedDataset,
    *,
    private: bytes = PRIVATE,
    signer: LocalAccount = OWNER,
    domain: Domain = DOMAIN,
    **changes: str,
) -> VaultRecord:
    """A record as a publisher makes it."""
    header = sealed.header
    info = envelope.wrap_info("node", header.body, header.id)
    wrapped = envelope.wrap(sealed.key, envelope.public_key(private), info)
    fields = {
        "did": header.id,
        "header": "0x" + header.digest.hex(),
        "wrapped_key": "0x" + wrapped.hex(),
        "signature": "0x" + "0" * 130,
        "filename": "faults.csv",
    }
    record = VaultRecord(**(fields | changes))  # type: ignore[arg-type]
    signature = sign_digest(signer, wrap_of(record, bytes.fromhex(record.wrapped_key[2:])).digest(domain))
    return record.model_copy(update={"signature": "0x" + signature.hex()})


@dataclass
class Kept:
    """A vault with two datasets."""

    vault: Vault
    folder: Path
    sealed: SealedDataset
    record: VaultRecord
    other: SealedDataset

    @property
    def token(self) -> int:
        return Did.parse(self.record.did).token

    def open(self, record: VaultRecord | None = None, private: bytes = PRIVATE) -> bytes:
        found = record or self.vault.record(self.token)
        return b"".join(self.vault.open(found, private, domain=DOMAIN, owner=OWNER.address))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    vault = Vault(tmp_path / "vault")
    sealed, other = vault.seal(BytesIO(DATA), did(1)), vault.seal(BytesIO(b"another table"), did(2))
    record = record_of(sealed)
    vault.add(record)
    vault.add(record_of(other))
    return Kept(vault, tmp_path / "vault", sealed, record, other)


def test_what_was_sealed_opens_for_the_node(kept: Kept) -> None:
    assert kept.open() == DATA
    assert kept.vault.tokens() == sorted([kept.token, did(2).token])


def test_nothing_at_rest_holds_the_data_or_its_key(kept: Kept) -> None:
    for path in kept.folder.rglob("*"):
        if path.is_file():
            assert b"a person's name" not in path.read_bytes()
            assert kept.sealed.key not in path.read_bytes()
            assert kept.sealed.key.hex().encode() not in path.read_bytes()


def test_two_sealings_of_one_dataset_share_no_key_and_no_block(kept: Kept) -> None:
    again = kept.vault.seal(BytesIO(DATA), did(1))
    assert again.key != kept.sealed.key
    assert again.header.body != kept.sealed.header.body


def test_another_nodes_key_opens_nothing(kept: Kept) -> None:
    with pytest.raises(IntegrityError, match="wrapped key does not open"):
        kept.open(private=OTHER_PRIVATE)


def test_a_wrap_that_somebody_else_signed_is_refused(kept: Kept) -> None:
    with pytest.raises(IntegrityError, match="wrapped by someone else"):
        kept.open(record_of(kept.sealed, signer=STRANGER))


def test_a_wrap_that_was_signed_for_another_market_is_refused(kept: Kept) -> None:
    elsewhere = Domain(1, DOMAIN.contract)
    with pytest.raises(IntegrityError, match="wrapped by someone else"):
        kept.open(record_of(kept.sealed, domain=elsewhere))


def test_a_swapped_wrap_is_refused(kept: Kept) -> None:
    other = kept.vault.record(did(2).token)
    with pytest.raises(IntegrityError):
        kept.open(kept.record.model_copy(update={"wrapped_key": other.wrapped_key}))


def test_a_swapped_header_is_refused(kept: Kept) -> None:
    swapped = "0x" + kept.other.header.digest.hex()
    with pytest.raises(IntegrityError, match="belongs to another dataset"):
        kept.open(kept.record.model_copy(update={"header": swapped}))


def test_a_header_of_the_same_dataset_sealed_again_is_refused(kept: Kept) -> None:
    again = kept.vault.seal(BytesIO(b"a newer table"), did(1))
    with pytest.raises(IntegrityError, match="wrapped by someone else"):
        kept.open(kept.record.model_copy(update={"header": "0x" + again.header.digest.hex()}))


def test_a_record_in_another_datasets_place_is_refused(kept: Kept) -> None:
    """Else a buyer of one dataset would be served another."""
    folder = kept.folder / "datasets"
    shutil.copy(folder / f"{did(2).token}.json", folder / f"{kept.token}.json")
    with pytest.raises(IntegrityError, match="another dataset's"):
        kept.open()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b'"version":1', b'"version":2'),
        lambda data: data.replace(b"did:steelyard:31337", b"did:elsewhere:31337"),
        lambda data: b" " + data,
        lambda data: data.replace(b"{", b'{"more":1,', 1),
        lambda data: b"\xff" * 100,
        lambda data: b"[" * 100_000,
    ],
    ids=["empty", "cut", "of another version", "no DID", "not canonical", "unknown field", "noise", "nested"],
)
def test_a_damaged_record_is_refused(kept: Kept, damage: Callable[[bytes], bytes]) -> None:
    path = kept.folder / "datasets" / f"{kept.token}.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(IntegrityError, match="is damaged"):
        kept.vault.record(kept.token)
    assert kept.token in kept.vault.tokens()


@pytest.mark.parametrize("part", ["wrapped_key", "signature", "header"])
def test_one_changed_digit_of_a_record_is_refused(kept: Kept, part: str) -> None:
    path = kept.folder / "datasets" / f"{kept.token}.json"
    value = json.loads(path.read_bytes())[part]
    changed = value[:20] + ("0" if value[20] != "0" else "1") + value[21:]
    path.write_bytes(path.read_bytes().replace(value.encode(), changed.encode()))
    with pytest.raises(IntegrityError):
        kept.open()


@pytest.mark.parametrize("spoil", ["changed", "lost"])
@pytest.mark.parametrize("which", ["header", "leaf", "root"])
def test_a_block_that_is_changed_or_lost_is_refused(kept: Kept, which: str, spoil: str) -> None:
    from marketplace.core import unixfs

    header = kept.sealed.header
    blocks = list(unixfs.blocks(header.body, kept.vault.store.get))
    cid = {"header": header.cid, "root": header.body, "leaf": blocks[2]}[which]
    path = kept.vault.store.path_of(cid)
    if spoil == "lost":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(IntegrityError):
        kept.open()


def test_a_header_block_that_is_no_header_is_refused(kept: Kept) -> None:
    block = b'{"version":1}'
    kept.vault.store.put(Cid.of("raw", block), block)
    record = kept.record.model_copy(update={"header": "0x" + Cid.of("raw", block).digest.hex()})
    with pytest.raises(IntegrityError, match="header of the sealed dataset is damaged"):
        kept.open(record)


def test_a_dataset_that_is_not_here_or_was_removed_is_not_found(kept: Kept) -> None:
    kept.vault.remove(kept.token)
    kept.vault.remove(kept.token)
    with pytest.raises(NotFoundError):
        kept.vault.record(kept.token)
    assert kept.vault.tokens() == [did(2).token]


def test_other_files_among_the_records_are_no_datasets(kept: Kept) -> None:
    for name in ("notes.json", "²3.json", "-5.json", ".1.partial", "7.txt"):
        (kept.folder / "datasets" / name).write_text("{}")
    assert kept.vault.tokens() == sorted([kept.token, did(2).token])


@pytest.mark.parametrize("name", ["", "a/b", "nul\0", "x" * 256])
def test_a_record_keeps_no_filename_that_is_no_filename(kept: Kept, name: str) -> None:
    with pytest.raises(InputError):
        VaultRecord.of(json.loads(kept.record.to_bytes()) | {"filename": name})


def test_a_discarded_sealing_leaves_no_block_and_touches_no_other(kept: Kept) -> None:
    before = set(kept.folder.rglob("baf*"))
    kept.vault.discard(kept.vault.seal(BytesIO(DATA), did(3)))
    assert set(kept.folder.rglob("baf*")) == before
    assert kept.open() == DATA


def test_a_source_that_fails_half_way_leaves_no_block(kept: Kept) -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 500_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    before = set(kept.folder.rglob("baf*"))
    with pytest.raises(UnavailableError):
        kept.vault.seal(Failing(DATA), did(3))
    assert set(kept.folder.rglob("baf*")) == before


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 640 KiB: two leaves and a little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_is_said_and_is_empty_again_afterwards(tiny_disk: Path) -> None:
    vault = Vault(tiny_disk / "vault")
    with pytest.raises(UnavailableError, match="Free some space"):
        vault.seal(BytesIO(bytes(1_000_000)), did(1))
    assert [path for path in tiny_disk.rglob("*") if path.is_file()] == []
    small = vault.seal(BytesIO(b"a small table"), did(1))
    vault.add(record_of(small))
    assert vault.tokens() == [did(1).token]


def test_a_vault_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be made"):
        Vault(tmp_path / "file" / "vault")


def test_an_empty_dataset_can_be_sealed_and_opened(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    sealed = vault.seal(BytesIO(b""), did(1))
    record = record_of(sealed)
    assert b"".join(vault.open(record, PRIVATE, domain=DOMAIN, owner=OWNER.address)) == b""
