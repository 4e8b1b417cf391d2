"""Reorganisations of every depth, up to the confirmations and beyond: the catalogue is what a fresh one would be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.chain.client import Chain
from tests.support.catalogue import Town

CONFIRMATIONS = 3


@pytest.fixture
def careful(town: Town) -> Iterator[Chain]:
    """The town's chain, seen with three confirmations."""
    market = town.market
    with Chain(
        market.embedded.url, market.chain.deployment, confirmations=CONFIRMATIONS, timeout=20
    ) as chain:
        yield chain


@pytest.mark.parametrize(
    "depth",
    [
        pytest.param(depth, marks=() if depth == CONFIRMATIONS + 1 else pytest.mark.slow)
        for depth in range(1, 2 * CONFIRMATIONS + 1)
    ],
)
def test_a_reorganisation_of_any_depth_leaves_what_the_chain_says(
    town: Town, careful: Chain, database: Database, fresh: Database, depth: int
) -> None:
    market, indexer = town.market, Indexer(careful, town.store, database)
    salts = iter(bytes([depth, number]) * 16 for number in range(10))
    for _ in range(2):
        town.announce(market.offer(town.publish(next(salts))))
    market.embedded.mine(CONFIRMATIONS)
    indexer.run_once()
    town.publish(next(salts))
    indexer.run_once()
    with market.embedded.still():
        market.embedded.rpc.request("anvil_reorg", depth, [])
    indexer.run_once()
    town.publish(next(salts))
    market.embedded.mine(2 * CONFIRMATIONS)
    indexer.run_once()
    Indexer(careful, town.store, fresh).run_once()
    assert database.dump() == fresh.dump()
    assert len(database.dump()["event"]) == len(careful.logs())
