"""A node's ordinary day, measured from outside as a process of its own: at rest, and with a thousand small jobs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marketplace.core.bundle import parse_bundle
from marketplace.core.events import JobOpened, ReceiptSubmitted
from scripts.stress_market import ALGORITHM, TABLE, Customer, Market, running, wait_for

_BLOCK_SECONDS = 2.0
_BUYERS = 10
_BARE_RUNS = 11


@dataclass(frozen=True)
class Rest:
    """A node without a job, on a chain with a block every two seconds.

    bytes: proportional set size of its processes. cpu: share of one core.
    """

    bytes: int
    cpu: float


@dataclass(frozen=True)
class Busy:
    """Jobs of one node. seconds: wall, first opening to last receipt, a job. bare: of the program alone."""

    jobs: int
    seconds: float
    bare: float

    @property
    def overhead(self) -> float:
        return self.seconds - self.bare


def node_at_rest(folder: Path, *, seconds: float = 60.0) -> Rest:
    """What a node takes that only follows a chain on which blocks come."""
    folder.mkdir()
    with running(folder, buyers=0, uses=1, window=60) as market, _blocks(market):
        pid = market.services["node"].process.pid
        time.sleep(5)
        before, started = _cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)
        share = (_cpu_seconds(pid) - before) / (time.monotonic() - started)
        return Rest(_pss(pid), share)


@contextmanager
def _blocks(market: Market) -> Iterator[None]:
    """A block every `_BLOCK_SECONDS`: the development chain makes none by itself."""
    stop = threading.Event()

    def mine() -> None:
        while not stop.wait(_BLOCK_SECONDS):
            market.chain.rpc.request("evm_mine")

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        yield
    finally:
        stop.set()
        miner.join()


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    ]
    return [pid, *(process for child in children for process in _family(child))]


def _pss(pid: int) -> int:
    """Bytes in memory; pages that several processes share count in parts."""
    found = 0
    for process in _family(pid):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        found += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return found


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for process in _family(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # its own and its ended children's
    return ticks / os.sysconf("SC_CLK_TCK")


def small_jobs(folder: Path, jobs: int, say: Callable[[str], None]) -> Busy:
    """Jobs of ten buyers, all open at once, through one node: wall seconds a job."""
    folder.mkdir()
    with running(folder, buyers=_BUYERS, uses=jobs // _BUYERS, window=60) as market:
        with ThreadPoolExecutor(_BUYERS) as pool:
            opening = [pool.submit(_open, customer, jobs // _BUYERS) for customer in market.customers]
            for opened in opening:
                opened.result()
        say(f"{jobs - len(market.chain.logs(types=(ReceiptSubmitted,)))} of {jobs} jobs are open at once")
        wait_for(lambda: len(market.chain.logs(types=(ReceiptSubmitted,))) == jobs, "the last receipt", 3_600)
        first = market.chain.block_time(market.chain.logs(types=(JobOpened,))[0].at.block)
        last = market.chain.block_time(market.chain.logs(types=(ReceiptSubmitted,))[-1].at.block)
    return Busy(jobs, (last - first) / jobs, bare_seconds(folder / "bare"))


def _open(customer: Customer, jobs: int) -> None:
    for _ in range(jobs):
        customer.open()


def bare_seconds(folder: Path) -> float:
    """Wall seconds of the same program on the same table as a process of its own, nothing around it."""
    (folder / "inputs/data").mkdir(parents=True)
    (folder / "outputs").mkdir()
    (folder / "inputs/data/0").write_bytes(TABLE)
    code = parse_bundle(ALGORITHM).files["main.py"].decode().replace("/data/", f"{folder}/")
    environment = {**os.environ, "DIDS": json.dumps(["data"])}
    found = []
    for _ in range(_BARE_RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        found.append(time.perf_counter() - started)
    return statistics.median(found)
