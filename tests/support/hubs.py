"""A real hub of a town: its routes over HTTP, and its indexer beside them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.reach import Reach
from marketplace.api.hub import Hub, create_app
from marketplace.api.sponsor import Sponsor
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from tests.support.catalogue import Town, served


@contextlib.contextmanager
def running_hub(
    town: Town, folder: Path, *, reach: Reach | None = None, sponsor: Sponsor | None = None
) -> Iterator[str]:
    """Its URL; the hub ends with the `with`. folder: for its databases. reach: where webhooks may go.

    sponsor: pays gas.
    """
    chain, stop = town.market.chain, threading.Event()
    database = Database(folder / "hub.db")
    accounts = AccountsDatabase(folder / "hub-accounts.db")
    hub = Hub(
        database,
        chain.deployment,
        accounts,
        chain.block_time,
        chain.accepts,
        reach=reach or Reach(),
        sponsor=sponsor,
    )
    thread = threading.Thread(target=Indexer(chain, town.store, database, hub.pulse.beat).run, args=(stop,))
    thread.start()
    try:
        with served(create_app(hub)) as url:
            yield url
            hub.close()
    finally:
        stop.set()
        thread.join()
        database.close()
        accounts.close()
