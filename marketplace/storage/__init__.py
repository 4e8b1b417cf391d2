"""The shared store: blocks by the name of their content. What is read is checked; what is missing is said to be.

One behaviour (`ContentStore`), three stores: `LocalStore` is a folder, `GatewayStore` reaches one over HTTP,
`KuboStore` (in `kubo`, loaded where it is asked for) an IPFS daemon; `open_store` takes the one that settings name.
`put_file`, `read_file`, `put_block` and `get_document` handle whole files and documents in each.
"""

from __future__ import annotations

from marketplace.storage.disk import write_atomically
from marketplace.storage.files import get_document, put_block, put_file, read_file
from marketplace.storage.gateway import GatewayStore
from marketplace.storage.local import LocalStore
from marketplace.storage.ports import MAX_BLOCK, ContentStore
from marketplace.storage.shared import SharedStore, open_store

__all__ = [
    "MAX_BLOCK",
    "ContentStore",
    "GatewayStore",
    "LocalStore",
    "SharedStore",
    "get_document",
    "open_store",
    "put_block",
    "put_file",
    "read_file",
    "write_atomically",
]
