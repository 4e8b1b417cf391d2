"""A program: an indexer that stops dead in the middle of writing its N-th batch, to be killed there.

Arguments: RPC URL, deployment file, gateway, database's URL, N, marker file (made when it hangs).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection

from marketplace.catalogue import indexer
from marketplace.catalogue.apply import append
from marketplace.catalogue.schema import Database
from marketplace.chain.client import Chain
from marketplace.chain.deployment import Deployment
from marketplace.chain.follow import Follower
from marketplace.core.events import Event
from marketplace.storage import GatewayStore

rpc, deployment_file, gateway, database, batch, marker = sys.argv[1:]
seen = 0


def append_half(connection: Connection, events: Iterable[Event]) -> None:
    global seen
    seen += 1
    found = list(events)
    if seen < int(batch):
        append(connection, found)
        return
    append(connection, found[: len(found) // 2 + 1])
    Path(marker).write_text(str(len(found)))
    time.sleep(600)


class ShortSteps(Follower):
    """Two blocks at a time, so that there are several batches."""

    def __init__(self, chain: Chain, first_block: int, *, known: Iterable[tuple[int, bytes]] = ()) -> None:
        super().__init__(chain, first_block, known=known, span=2)


indexer.append = append_half  # type: ignore[attr-defined]
indexer.Follower = ShortSteps  # type: ignore[attr-defined, misc]
deployment = Deployment.parse(Path(deployment_file).read_bytes())
with Chain(rpc, deployment, confirmations=1, timeout=20) as chain, GatewayStore(gateway) as store:
    indexer.Indexer(chain, store, Database(database)).run_once()
