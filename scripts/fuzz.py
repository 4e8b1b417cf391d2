"""Malformed inputs for every parser, in several processes that are watched from outside.

Ends with 0 if each input was accepted or refused with an error of ours, within a second of processor time and
512 MiB; else with 1, and the inputs that were not. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.fuzz.attempt import Parser, Tally, attempt
from tests.fuzz.mutate import MAX_INPUT

BATCH = 2_000
HANG = 30.0
"""Seconds of wall time after which an input that does not end is called a hang."""

MAX_MEMORY = 8 * 1024**3
"""Bytes of address space of a worker beyond what it has when it starts."""

Task = tuple[str, int, int]
"""A parser's name, how many inputs, their seed."""

_SPAWN = get_context("spawn")


class Slate:
    """The input that a worker is at, in memory that outlives it."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(16 + MAX_INPUT)
            self._map = mmap.mmap(file.fileno(), 16 + MAX_INPUT)

    def note(self, data: bytes) -> None:
        number = int.from_bytes(self._map[:8]) + 1
        self._map[16 : 16 + len(data)] = data
        self._map[:16] = number.to_bytes(8) + len(data).to_bytes(8)

    def read(self) -> tuple[int, bytes]:
        """How many inputs there have been, and the last of them."""
        return int.from_bytes(self._map[:8]), self._map[16 : 16 + int.from_bytes(self._map[8:16])]


def work(connection: Connection, slate_path: Path) -> None:
    """A worker: takes tasks until there are none."""
    from tests.fuzz.parsers import parsers

    known = {parser.name: parser for parser in parsers()}
    slate = Slate(slate_path)
    _bound_memory()
    while (task := connection.recv()) is not None:
        name, count, seed = task
        connection.send(attempt(known[name], count, seed, before=slate.note))


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@dataclass
class Worker:
    """A process, its task, and when its slate was last seen to change. begun: inputs before the task."""

    process: BaseProcess
    connection: Connection
    slate: Slate
    task: Task | None = None
    begun: int = 0
    seen: int = 0
    at: float = 0.0

    @classmethod
    def start(cls, path: Path) -> Worker:
        here, there = _SPAWN.Pipe()
        process = _SPAWN.Process(target=work, args=(there, path), daemon=True)
        process.start()
        there.close()
        return cls(process, here, Slate(path), at=time.monotonic())

    def give(self, task: Task) -> None:
        self.task, self.at = task, time.monotonic()
        self.begun, _ = self.slate.read()
        self.connection.send(task)

    def stuck(self) -> bool:
        number, _ = self.slate.read()
        if number != self.seen:
            self.seen, self.at = number, time.monotonic()
        return time.monotonic() - self.at > HANG

    def lost(self, what: str) -> Tally:
        """A task that did not come back: its last input is to blame. What became of those before is not known."""
        number, data = self.slate.read()
        return Tally(inputs=number - self.begun, faults=[(what, data)])

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def tasks(parsers: Sequence[Parser], count: int, seed: int) -> list[Task]:
    """`count` inputs in all, by weight, in batches; the parsers in turn."""
    weights = sum(parser.weight for parser in parsers)
    found: list[tuple[int, Task]] = []
    for parser in parsers:
        left = -(-count * parser.weight // weights)
        for number in range(-(-left // BATCH)):
            found.append((number, (parser.name, min(BATCH, left - number * BATCH), seed + number)))
    return [task for _, task in sorted(found, key=lambda entry: entry[0])]


def run(todo: list[Task], processes: int, folder: Path) -> Iterator[tuple[Task, Tally]]:
    """Each task with what came of it. A process that dies or hangs is a fault of its task, and is replaced."""
    waiting = iter(todo)
    workers = [Worker.start(folder / f"slate-{number}") for number in range(processes)]
    try:
        for worker in workers:
            _next(worker, waiting)
        while busy := [worker for worker in workers if worker.task]:
            ready = wait([worker.connection for worker in busy], timeout=1)
            for worker in busy:
                if worker.task is None:
                    continue
                if worker.connection in ready:
                    yield worker.task, _result(worker)
                elif worker.stuck():
                    worker.process.kill()
                    worker.process.join()
                    yield worker.task, worker.lost(f"hang: {HANG:g} s")
                else:
                    continue
                if not worker.process.is_alive():
                    worker = _replaced(workers, worker, folder)
                _next(worker, waiting)
    finally:
        for worker in workers:
            worker.end()


def _next(worker: Worker, waiting: Iterator[Task]) -> None:
    task = next(waiting, None)
    if task:
        worker.give(task)
    else:
        worker.task = None


def _result(worker: Worker) -> Tally:
    try:
        found: Tally = worker.connection.recv()
    except EOFError:
        worker.process.join()
        return worker.lost(f"the process died: {worker.process.exitcode}")
    return found


def _replaced(workers: list[Worker], dead: Worker, folder: Path) -> Worker:
    dead.end()
    fresh = Worker.start(folder / f"slate-{time.monotonic_ns()}")
    workers[workers.index(dead)] = fresh
    return fresh


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=1_000_000, help="inputs in all")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--processes", type=int, default=min(8, os.cpu_count() or 1))
    arguments.add_argument("--only", default="", help="parsers whose name holds this")
    arguments.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    chosen = arguments.parse_args()
    from tests.fuzz.parsers import parsers

    known = [parser for parser in parsers() if chosen.only in parser.name]
    if not known:
        arguments.error("no parser of that name")
    started = time.monotonic()
    tallies = {parser.name: Tally() for parser in known}
    with TemporaryDirectory(prefix="steelyard-fuzz-") as folder:
        for task, tally in run(tasks(known, chosen.count, chosen.seed), chosen.processes, Path(folder)):
            tallies[task[0]].add(tally)
    show(tallies, time.monotonic() - started, as_json=chosen.json)
    return 1 if any(tally.faults for tally in tallies.values()) else 0


def show(tallies: dict[str, Tally], seconds: float, *, as_json: bool) -> None:
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    everything = {**tallies, "all": total}
    if as_json:
        rows = {
            name: {
                "inputs": tally.inputs,
                "refused": tally.refused,
                "accepted": tally.accepted,
                "slowest_ms": round(1_000 * tally.slowest, 1),
                "faults": [{"what": what, "input": data.hex()} for what, data in tally.faults],
            }
            for name, tally in everything.items()
        }
        sys.stdout.write(json.dumps({"seconds": round(seconds, 1), "parsers": rows}) + "\n")
        return
    table = Table(title=f"Malformed inputs, {seconds:.0f} s", title_justify="left", header_style="bold")
    table.add_column("parser")
    for name in ("inputs", "refused", "accepted", "slowest", "faults"):
        table.add_column(name, justify="right")
    for name, tally in everything.items():
        figures = (f"{number:,}" for number in (tally.inputs, tally.refused, tally.accepted))
        table.add_row(name, *figures, f"{1_000 * tally.slowest:.0f} ms", str(len(tally.faults)))
    Console(width=100).print(table)
    for name, tally in tallies.items():
        for what, data in tally.faults:
            sys.stdout.write(f"{name}: {what}\n  {data[:4_000]!r}\n")


if __name__ == "__main__":
    sys.exit(main())
