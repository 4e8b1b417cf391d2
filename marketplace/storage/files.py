"""Whole files and documents in any store of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from marketplace.core import unixfs
from marketplace.core.canonical import MAX_DOCUMENT
from marketplace.core.cid import Cid
from marketplace.core.unixfs import LEAF, Root
from marketplace.errors import InputError, IntegrityError
from marketplace.storage.ports import ContentStore

MAX_FILE = 134_217_728
"""Bytes of the longest file that is read without another limit: bundles and outputs are shorter."""


def put_file(source: BinaryIO, store: ContentStore) -> Root:
    """Store `source`, as it is, to its end. Raises UnavailableError if it cannot be read, and what `store` raises."""
    return unixfs.build(unixfs.pieces(source, LEAF), store.put)


def read_file(root: Cid, store: ContentStore, *, limit: int = MAX_FILE) -> Iterator[bytes]:
    """The bytes of a file, checked, a leaf at a time.

    limit: most bytes accepted, since a few blocks can claim a file of any size.
    Raises InputError if the file is longer, before its first byte; else as `ContentStore.get`.
    """
    file = unixfs.File.open(root, store.get)
    if file.size > limit:
        raise InputError(
            f"file {root} is too long", got=f"{file.size} bytes", expected=f"at most {limit} bytes"
        )
    yield from file.read(store.get)


def put_block(store: ContentStore, document: bytes) -> Cid:
    """Store a document of one block. Raises InputError if it is longer than 256 KiB, and what `store` raises."""
    if len(document) > MAX_DOCUMENT:
        raise InputError(
            "a document is too long", got=f"{len(document)} bytes", expected=f"at most {MAX_DOCUMENT} bytes"
        )
    cid = Cid.of("raw", document)
    store.put(cid, document)
    return cid


def get_document(store: ContentStore, digest: bytes) -> bytes:
    """The document whose SHA-256 is `digest`, as the chain names it.

    Raises IntegrityError if it is longer than 256 KiB, and as `ContentStore.get`.
    """
    document = store.get(Cid.raw(digest))
    if len(document) > MAX_DOCUMENT:
        raise IntegrityError(
            f"document {Cid.raw(digest)} is too long",
            got=f"{len(document)} bytes",
            expected=f"at most {MAX_DOCUMENT} bytes",
        )
    return document
