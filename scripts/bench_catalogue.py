"""The catalogue in both databases: how long the indexer takes for what the chain says, and a search for its page."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.chain.client import Chain
from marketplace.storage import LocalStore
from scripts.bench_events import trade
from scripts.bench_search import fill, milliseconds, p95
from tests.support.chain import running_market
from tests.support.postgres import running_server

T = TypeVar("T")

_EVENTS = 100_000
_LISTINGS = 100_000
_PAIRS = 3
_BLOCKS_AT_ONCE = 40
_TIMES = 20


@dataclass(frozen=True)
class Search:
    """Milliseconds of a page, over all questions. slowest: the question with the highest p95, and that."""

    p95: float
    slowest: str


@contextmanager
def _places(folder: Path) -> Iterator[dict[str, Callable[[], Path | str]]]:
    """Gives empty databases of each kind; PostgreSQL waits for its disk, as in earnest."""
    files = iter(range(1_000))

    def file() -> Path:
        return folder / f"{next(files)}.db"

    with running_server(folder / "postgresql", durable=True) as server:
        yield {"SQLite": file, "PostgreSQL": server.schema}


def indexer_ratios(folder: Path) -> dict[str, float]:
    """Median over pairs of the seconds of the indexer / of the bare answers of eth_getLogs, by database."""
    with running_market(window=86_400, job_time=86_400) as market, _places(folder) as places:
        trade(market, _EVENTS)
        ratios: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(_PAIRS):
            for name, place in places.items():
                with closing(Database(place())) as database:
                    indexer = Indexer(market.chain, LocalStore(folder / "store"), database)
                    raw = _seconds(_raw, market.chain)
                    ratios[name].append(_seconds(_follow, indexer) / raw)
    return {name: statistics.median(found) for name, found in ratios.items()}


def _follow(indexer: Indexer) -> None:
    while indexer.step():
        pass


def _raw(chain: Chain) -> None:
    """Asks for the same logs, in answers as long as the client takes, and parses their JSON."""
    first, last = chain.deployment.first_block, chain.confirmed_head()
    addresses = list(chain.deployment.addresses.values())
    for start in range(first, last + 1, _BLOCKS_AT_ONCE):
        end = min(start + _BLOCKS_AT_ONCE - 1, last)
        chain.rpc.request("eth_getLogs", {"fromBlock": hex(start), "toBlock": hex(end), "address": addresses})


def _seconds(run: Callable[[T], None], given: T) -> float:
    started = time.perf_counter()
    run(given)
    return time.perf_counter() - started


def searches(folder: Path) -> dict[str, Search]:
    """Milliseconds of a search, by database."""
    found = {}
    with _places(folder) as places:
        for name, place in places.items():
            with closing(Database(place())) as database:
                fill(database, _LISTINGS)
                taken = milliseconds(database, _LISTINGS, times=_TIMES)
                worst = max(taken, key=lambda question: p95(taken[question]))
                every = [value for values in taken.values() for value in values]
                found[name] = Search(p95(every), f"{worst} {p95(taken[worst]):.0f}")
    return found
