"""What a hub's operator sees of it: how far the chain was read, what waits, and why it is not ready."""

from __future__ import annotations

from collections.abc import Iterator

from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.rows import Cursor
from marketplace.catalogue.schema import Database, get
from marketplace.chain.client import Chain
from marketplace.core.cid import Cid
from marketplace.errors import SteelyardError, UnavailableError
from marketplace.readings import Lately, Reading, Watch, behind, obstacle
from marketplace.storage import ContentStore

_SOME_BLOCK = Cid.of("raw", b"")


def watch_of(chain: Chain, store: ContentStore, database: Database, indexer: Indexer) -> Watch:
    """The figures of a hub that runs. Each scrape asks chain and database once."""

    def block() -> int:
        with database.read() as connection:
            cursor = get(connection, Cursor, 0)
        return cursor.block if cursor else 0

    def lag() -> int:
        return max(0, chain.confirmed_head() - block())

    def readings() -> Iterator[Reading]:
        yield Reading("documents_waiting", "Documents that were not read yet.", indexer.documents_waiting)
        yield Reading("trouble", "1 while the catalogue may be behind.", indexer.trouble is not None)
        try:
            yield Reading("indexed_block", "The last block in the catalogue.", block())
            yield Reading("lag_blocks", "Confirmed blocks that are not in the catalogue.", lag())
        except SteelyardError:
            return  # `trouble` says so

    def obstacles() -> Iterator[str]:
        try:
            yield from behind(lag(), indexer.looked_at)
        except UnavailableError:
            yield "chain or database does not answer"
        yield from obstacle("the shared store does not answer", lambda: store.has(_SOME_BLOCK))

    return Watch(readings, Lately(obstacles))
