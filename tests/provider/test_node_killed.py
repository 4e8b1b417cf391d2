"""`steelyard node run` as a process of its own, killed in the middle of a run: the next one finishes the job, once."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute.sandbox import Sandbox, cgroup
from compute.sandbox.scratch import default_root
from marketplace.core.events import JobSettled, ReceiptSubmitted
from marketplace.core.job import State
from tests.support.buyers import await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.homes import Home
from tests.support.works import COUNT_ROWS, TABLE, Works, algorithm, wait_until

SLOW = algorithm("slow", "import time\ntime.sleep(3)" + COUNT_ROWS)


@contextmanager
def node_process(home: Home) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The node, once it says that it serves; its further lines."""
    process = home.start("node", "run", "--json")
    lines: list[str] = []
    assert process.stdout and process.stderr
    first = process.stdout.readline()
    assert first, process.stderr.read()
    assert json.loads(first)["service"] == "node"
    readers = [
        threading.Thread(target=lambda stream=stream: lines.extend(stream), daemon=True)
        for stream in (process.stdout, process.stderr)
    ]
    for reader in readers:
        reader.start()
    try:
        yield process, lines
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
        for reader in readers:
            reader.join(10)
        process.stdout.close()
        process.stderr.close()


def runs_of(pid: int) -> list[Path]:
    """Job folders of a node's sandbox with data in them."""
    return list(default_root().glob(f"run-{pid}-*/job-*/0"))


def groups_of(pid: int) -> list[Path]:
    """Control groups that a node made for its jobs."""
    return [path for place in cgroup.find().folders() for path in place.glob(f"steelyard-{pid}-*")]


@pytest.mark.slow
def test_a_node_killed_in_the_middle_of_a_run_goes_on_after_its_restart_and_settles_once(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home", town)
    owner = home.keyring.import_wallet("works", bytes(town.market.account("killed works").key))
    hot = home.keyring.import_wallet("node", bytes(town.market.account("killed node").key))
    home.keyring.new_sealing_key("sealing")
    private = home.keyring.sealing_key("sealing").private
    works = Works(town, sandbox, home.path, owner, hot, private=private)
    works.register()
    dataset = works.publish(SLOW)
    buyer = new_buyer(town, "of a killed node")
    buyer.buy(dataset)
    with node_process(home) as (process, _):
        request = buyer.order(works, dataset, SLOW)
        (data,) = wait_until(lambda: runs_of(process.pid), "the data in the sandbox")
        wait_until(lambda: groups_of(process.pid) or not cgroup.find().folders(), "the sandbox's groups")
        process.kill()
        process.wait(10)
    killed = process.pid
    assert data.read_bytes() == TABLE  # nobody was left to remove it
    assert town.market.chain.job(request.job_id).state is State.open
    with node_process(home) as (process, lines):
        assert not data.exists()
        assert not list(default_root().glob(f"run-{killed}-*"))
        assert not groups_of(killed)
        assert await_state(town, request) is State.settled
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not any("Traceback" in line for line in lines)
    assert buyer.result(request) == {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}
    for kind in (ReceiptSubmitted, JobSettled):
        assert len(town.market.chain.logs(types=(kind,), job_id=request.job_id)) == 1
    assert not list(default_root().glob(f"run-{process.pid}-*"))  # the second one's own
