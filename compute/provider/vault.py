"""The provider's vault: sealed datasets, and the wraps that let the node open them.

It serves nobody. A dataset's key exists only wrapped for the node's sealing key (HPKE); the owner signs each
wrap, so that a swapped wrap or a swapped dataset is refused before anything is opened. Of data that lies in place the
vault holds no byte: the record says where it lies and what was committed, and the wrap is that of the commitment's
secret.

Covered: the files at rest are ciphertext, the logs of jobs too; a block, header, wrap or record that is changed,
swapped or lost is refused; a sealing that fails half way leaves no blocks, so that a full disk is not full for ever.
Not covered: whoever holds the node's sealing key and its passphrase can open the vault; that is what it is for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Literal, TypeAlias

from eth_account.signers.local import LocalAccount
from pydantic import BaseModel, ConfigDict, Field

from compute.provider.job_logs import JobLogs
from marketplace.core import envelope, unixfs
from marketplace.core.cid import Cid
from marketplace.core.commitment import Commitment
from marketplace.core.document import Document, Hex32
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did
from marketplace.core.offer import Wrap
from marketplace.errors import InputError, IntegrityError, NotFoundError
from marketplace.keys import sign_digest
from marketplace.storage import LocalStore
from marketplace.storage.ahead import ahead
from marketplace.storage.disk import disk_error, write_atomically

Header: TypeAlias = envelope.Header | Commitment
_Filename = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]


class InPlace(BaseModel):
    """Where data lies that was not sealed, and what was committed. files, size, root: as in core.commitment."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    path: Annotated[str, Field(pattern=r"^/[^\x00]{0,4094}$")]
    files: int
    size: int
    root: Hex32


class VaultRecord(Document):
    """One dataset. wrapped_key, signature: hex; filename: as the provider named file or folder.

    folder: it is one; sealed, as core.archive packs it. place: of data in place; None: it is sealed, in the vault.
    """

    WHAT: ClassVar[str] = "a vault record"
    version: Literal[1] = 1
    did: str
    header: Hex32
    wrapped_key: Annotated[str, Field(pattern="^0x[0-9a-f]{160}$")]
    signature: Annotated[str, Field(pattern="^0x[0-9a-f]{130}$")]
    filename: _Filename
    folder: Literal[True] | None = None
    place: InPlace | None = None


@dataclass(frozen=True)
class SealedDataset:
    """What sealing gave. key: 32 bytes, to be wrapped and forgotten; of data in place its commitment's secret."""

    header: Header
    key: bytes


@dataclass(frozen=True)
class Form:
    """What a record says beside keys: name, whether it is a folder, and where it lies if in place."""

    filename: str
    folder: bool = False
    path: Path | None = None

    @classmethod
    def of(cls, record: VaultRecord) -> Form:
        return cls(record.filename, bool(record.folder), Path(record.place.path) if record.place else None)


class Vault:
    """A folder of sealed blocks and records."""

    def __init__(self, folder: Path) -> None:
        """folder: made with mode 0700 if it is not there. Raises UnavailableError where it cannot be made."""
        self._records = folder / "datasets"
        try:
            self._records.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise disk_error(f"the vault {folder} cannot be made", error) from error
        self.store = LocalStore(folder / "blocks")
        self.logs = JobLogs(folder / "logs")

    def seal(self, source: BinaryIO, did: Did) -> SealedDataset:
        """Seals a dataset under a fresh key. Raises UnavailableError where the disk is full; then nothing stays."""
        key, prefix = os.urandom(32), os.urandom(7)
        kept: list[Cid] = []

        def put(cid: Cid, block: bytes) -> None:
            kept.append(cid)
            self.store.put(cid, block)

        try:
            with ahead(put) as put_ahead:
                header = envelope.seal(source, id=str(did), key=key, prefix=prefix, put=put_ahead)
            return SealedDataset(header, key)
        except BaseException:
            self._drop(kept)
            raise

    def discard(self, sealed: SealedDataset) -> None:
        """Removes the blocks of a dataset that was sealed but never listed."""
        if isinstance(sealed.header, Commitment):
            return
        self._drop([*unixfs.blocks(sealed.header.body, self.store.get), sealed.header.cid])

    def _drop(self, blocks: list[Cid]) -> None:
        # Each sealing has a key of its own, so no other dataset shares a block with it.
        for cid in blocks:
            self.store.path_of(cid).unlink(missing_ok=True)

    def add(self, record: VaultRecord) -> None:
        """Keeps a record. Raises UnavailableError where it cannot be written."""
        token = Did.parse(record.did).token
        write_atomically(self._records / f"{token}.json", record.to_bytes())

    def remove(self, token: int) -> None:
        """Forgets a record, so that the dataset can no longer be opened here."""
        (self._records / f"{token}.json").unlink(missing_ok=True)

    def tokens(self) -> list[int]:
        """Ids of the datasets that this vault has a record of."""
        return sorted(int(path.stem) for path in self._records.glob("*.json") if path.stem.isdecimal())

    def record(self, token: int) -> VaultRecord:
        """Raises NotFoundError, or IntegrityError where the record is damaged or another dataset's."""
        path = self._records / f"{token}.json"
        try:
            record = VaultRecord.parse(path.read_bytes())
            found = Did.parse(record.did).token
        except FileNotFoundError:
            raise NotFoundError("this vault does not hold the dataset", got=token) from None
        except OSError as error:
            raise disk_error(f"the vault's record of {token} cannot be read", error) from error
        except InputError as error:
            raise IntegrityError(f"the vault's record of {token} is damaged: {error}") from error
        if found != token:
            raise IntegrityError("the vault's record is another dataset's", got=found, expected=token)
        return record

    def header(self, record: VaultRecord) -> Header:
        """Raises IntegrityError where the header's block is lost, changed or no header."""
        digest = bytes.fromhex(record.header[2:])
        try:
            if record.place is None:
                return envelope.Header.parse(self._block(Cid.raw(digest)))
            place = record.place
            committed = Commitment(record.did, place.files, place.size, bytes.fromhex(place.root[2:]))
        except InputError as error:
            raise IntegrityError(f"the header of the sealed dataset is damaged: {error}") from error
        if committed.digest != digest:
            raise IntegrityError("the vault's record names another commitment", got=record.header)
        return committed

    def _block(self, cid: Cid) -> bytes:
        try:
            return self.store.get(cid)
        except NotFoundError:
            raise IntegrityError(
                "the vault has lost a block of a sealed dataset", got=cid, do="Restore the vault."
            ) from None

    def open(self, record: VaultRecord, private_key: bytes, *, domain: Domain, owner: str) -> Iterator[bytes]:
        """The bytes of a sealed dataset, in pieces. private_key: the node's X25519 sealing key.

        Raises IntegrityError unless the owner signed this wrap for this header, or if any block is not whole.
        """
        header, key = self.key(record, private_key, domain=domain, owner=owner)
        if isinstance(header, Commitment):
            raise NotFoundError("the dataset lies in place: nothing of it is sealed here", got=record.did)
        return envelope.open_sealed(header, key, self._block)

    def key(
        self, record: VaultRecord, private_key: bytes, *, domain: Domain, owner: str
    ) -> tuple[Header, bytes]:
        """The header, and the key, or the commitment's secret, that its owner wrapped. Errors as in `open`."""
        header = self.header(record)
        return header, _key(record, header, private_key, domain=domain, owner=owner)

    def rewrap(
        self, token: int, private_key: bytes, to: bytes, *, owner: LocalAccount, domain: Domain
    ) -> None:
        """Wraps a dataset's key anew. private_key opens it now; `to`: the public sealing key that will.

        Raises IntegrityError where that key does not open it, or its owner is another.
        """
        record = self.record(token)
        header, key = self.key(record, private_key, domain=domain, owner=owner.address)
        self.add(wrapped_record(header, key, to, Form.of(record), owner=owner, domain=domain))


def _key(record: VaultRecord, header: Header, private_key: bytes, *, domain: Domain, owner: str) -> bytes:
    """The dataset's key, which its owner wrapped for the node."""
    if header.id != record.did:
        raise IntegrityError("the sealed data belongs to another dataset", got=header.id, expected=record.did)
    wrapped = bytes.fromhex(record.wrapped_key[2:])
    signer = wrap_of(record, wrapped).signer(domain, bytes.fromhex(record.signature[2:]))
    if signer != owner:
        raise IntegrityError("the dataset's key was wrapped by someone else", got=signer, expected=owner)
    return envelope.unwrap(wrapped, private_key, envelope.wrap_info("node", header.body, record.did))


def wrapped_record(
    header: Header, key: bytes, to: bytes, form: Form, *, owner: LocalAccount, domain: Domain
) -> VaultRecord:
    """A record whose key (32 bytes) opens with the private half of `to`, signed by the dataset's owner."""
    wrapped = envelope.wrap(key, to, envelope.wrap_info("node", header.body, header.id))
    blank = VaultRecord(
        did=header.id,
        header="0x" + header.digest.hex(),
        wrapped_key="0x" + wrapped.hex(),
        signature="0x" + "0" * 130,
        filename=form.filename,
        folder=True if form.folder else None,
        place=_place(header, form.path),
    )
    signature = sign_digest(owner, wrap_of(blank, wrapped).digest(domain))
    return blank.model_copy(update={"signature": "0x" + signature.hex()})


def _place(header: Header, path: Path | None) -> InPlace | None:
    if path is None or not isinstance(header, Commitment):
        return None
    return InPlace(path=str(path), files=header.files, size=header.size, root="0x" + header.root.hex())


def wrap_of(record: VaultRecord, wrapped: bytes) -> Wrap:
    return Wrap.of(Did.parse(record.did).token, bytes.fromhex(record.header[2:]), wrapped)
