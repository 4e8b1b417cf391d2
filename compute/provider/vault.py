"""The provider's vault: sealed datasets, and the wraps that let the node open them.

It serves nobody. A dataset's key exists only wrapped for the node's sealing key (HPKE); the owner signs each
wrap, so that a swapped wrap or a swapped dataset is refused before anything is opened.

Covered: the files at rest are ciphertext; a changed block, header, wrap or record is refused.
Not covered: whoever holds the node's sealing key and its passphrase can open the vault; that is what it is for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Literal

from pydantic import Field

from marketplace.core import envelope
from marketplace.core.cid import Cid
from marketplace.core.document import Document, Hex32
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did
from marketplace.core.offer import Wrap
from marketplace.errors import InputError, IntegrityError, NotFoundError
from marketplace.storage import LocalStore
from marketplace.storage.disk import write_atomically


class VaultRecord(Document):
    """One sealed dataset. wrapped_key, signature: hex; filename: as the provider named it."""

    WHAT: ClassVar[str] = "a vault record"
    version: Literal[1] = 1
    did: str
    header: Hex32
    wrapped_key: Annotated[str, Field(pattern="^0x[0-9a-f]{160}$")]
    signature: Annotated[str, Field(pattern="^0x[0-9a-f]{130}$")]
    filename: Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]


@dataclass(frozen=True)
class SealedDataset:
    """What sealing gave. key: 32 bytes, to be wrapped and forgotten."""

    header: envelope.Header
    key: bytes


class Vault:
    """A folder of sealed blocks and records."""

    def __init__(self, folder: Path) -> None:
        self._records = folder / "datasets"
        self._records.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = LocalStore(folder / "blocks")

    def seal(self, source: BinaryIO, did: Did) -> SealedDataset:
        """Seals a dataset under a fresh key. Raises UnavailableError where the disk is full."""
        key, prefix = os.urandom(32), os.urandom(7)
        header = envelope.seal(source, id=str(did), key=key, prefix=prefix, put=self.store.put)
        return SealedDataset(header, key)

    def add(self, record: VaultRecord) -> None:
        token = Did.parse(record.did).token
        write_atomically(self._records / f"{token}.json", record.to_bytes())

    def remove(self, token: int) -> None:
        """Forgets a record, so that the dataset can no longer be opened here."""
        (self._records / f"{token}.json").unlink(missing_ok=True)

    def tokens(self) -> list[int]:
        return sorted(int(path.stem) for path in self._records.glob("*.json") if path.stem.isdigit())

    def record(self, token: int) -> VaultRecord:
        try:
            return VaultRecord.parse((self._records / f"{token}.json").read_bytes())
        except FileNotFoundError:
            raise NotFoundError("this vault does not hold the dataset", got=token) from None
        except InputError as error:
            raise IntegrityError(f"the vault's record of {token} is damaged: {error}") from error

    def header(self, record: VaultRecord) -> envelope.Header:
        digest = bytes.fromhex(record.header[2:])
        return envelope.Header.parse(self.store.get(Cid.raw(digest)))

    def open(self, record: VaultRecord, private_key: bytes, *, domain: Domain, owner: str) -> Iterator[bytes]:
        """The dataset's bytes, in pieces. private_key: the node's X25519 sealing key.

        Raises IntegrityError unless the owner signed this wrap for this header, or if any block is not whole.
        """
        header = self.header(record)
        if header.id != record.did:
            raise IntegrityError(
                "the sealed data belongs to another dataset", got=header.id, expected=record.did
            )
        wrapped = bytes.fromhex(record.wrapped_key[2:])
        signer = wrap_of(record, wrapped).signer(domain, bytes.fromhex(record.signature[2:]))
        if signer != owner:
            raise IntegrityError("the dataset's key was wrapped by someone else", got=signer, expected=owner)
        key = envelope.unwrap(wrapped, private_key, envelope.wrap_info("node", header.body, record.did))
        return envelope.open_sealed(header, key, self.store.get)


def wrap_of(record: VaultRecord, wrapped: bytes) -> Wrap:
    return Wrap.of(Did.parse(record.did).token, bytes.fromhex(record.header[2:]), wrapped)
