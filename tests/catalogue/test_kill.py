"""An indexer that is killed in the middle of a batch has lost nothing and repeats nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.rows import Cursor, EventRow
from marketplace.catalogue.schema import Database, fetch, get
from tests.support.catalogue import Town

PROGRAM = Path(__file__).with_name("indexer_that_hangs.py")
ROOT = PROGRAM.parents[2]


@pytest.mark.parametrize("batch", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_kill_in_the_middle_of_a_batch_loses_nothing(
    town: Town, database: Database, fresh: Database, tmp_path: Path, batch: int
) -> None:
    for number in range(3):
        asset = town.publish(bytes([batch, number]) * 16)
        town.announce(town.market.offer(asset))
    chain = town.market.chain
    deployment_file, marker = tmp_path / "deployment.json", tmp_path / "hangs"
    deployment_file.write_bytes(chain.deployment.to_bytes())
    command = [sys.executable, PROGRAM, town.market.embedded.url, deployment_file, town.gateway]
    child = subprocess.Popen(
        [*command, database.url.render_as_string(hide_password=False), str(batch), marker],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + 60
        while not marker.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert marker.exists(), "the indexer did not reach the batch"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()

    with database.read() as connection:
        cursor = get(connection, Cursor, 0)
        newest = max((row.block for row in fetch(connection, EventRow)), default=0)
    # Nothing of the batch that was half written is there.
    assert (cursor.block if cursor else 0) >= newest
    assert (cursor is None) == (batch == 1)

    Indexer(chain, town.store, database).run_once()
    Indexer(chain, town.store, fresh).run_once()
    assert database.dump() == fresh.dump()
    assert len(database.dump()["event"]) == len(chain.logs())
