"""Gives a parser malformed inputs and watches it: what it raises, how long it takes, how much memory it needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from marketplace.errors import SteelyardError
from tests.fuzz.mutate import Grammar, malformed

MAX_SECONDS = 1.0
"""Processor time of one input."""

MAX_GROWTH = 512 * 1024
"""KiB by which one input may raise the most memory that the process ever had."""


@dataclass(frozen=True)
class Parser:
    """One way in. read: parses bytes, raises only SteelyardError. weight: share of inputs, less for slow ones.

    seeds: documents that `read` takes.
    """

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    grammar: Grammar | None = None
    weight: int = 20


@dataclass
class Tally:
    """What happened. slowest: processor seconds. faults: (what was wrong, the input)."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    slowest: float = 0.0
    faults: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.refused += other.refused
        self.accepted += other.accepted
        self.slowest = max(self.slowest, other.slowest)
        self.faults += other.faults


def attempt(
    parser: Parser, count: int, seed: int, before: Callable[[bytes], None] = lambda data: None
) -> Tally:
    """`count` inputs of the given seed. before: told each input, should the process not survive it."""
    tally, random = Tally(), Random(f"{parser.name} {seed}")
    for data in parser.seeds:  # a first call loads what later ones have
        parser.read(data)
    for _ in range(count):
        data = malformed(random, parser.seeds, parser.grammar)
        before(data)
        if fault := _watched(parser, data, tally):
            tally.faults.append((fault, smaller(parser, data, fault)))
            if len(tally.faults) >= 5:
                break
    return tally


def _watched(parser: Parser, data: bytes, tally: Tally) -> str:
    """What was wrong with how the parser took one input; empty if nothing was."""
    memory = _peak()
    started = time.process_time()
    fault = ""
    tally.inputs += 1
    try:
        parser.read(data)
        tally.accepted += 1
    except SteelyardError:
        tally.refused += 1
    except (Exception, RecursionError, MemoryError) as error:
        fault = f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.process_time() - started
    tally.slowest = max(tally.slowest, seconds)
    growth = _peak() - memory
    if not fault and growth > MAX_GROWTH:
        fault = f"memory: {growth // 1024} MiB"
    if not fault and seconds > MAX_SECONDS:
        fault = f"slow: {seconds:.1f} s"
    return fault


def _peak() -> int:
    """The most memory that this process ever had, in KiB; unlike getrusage's, not that of who started it."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def smaller(parser: Parser, data: bytes, fault: str) -> bytes:
    """A shorter input with a fault of the same kind, found by leaving out pieces."""
    kind, length, tries = fault.partition(":")[0], max(1, len(data) // 2), 0
    if kind in ("slow", "memory"):
        return data
    while length and tries < 2_000:
        start = 0
        while start < len(data) and tries < 2_000:
            tries += 1
            shorter = data[:start] + data[start + length :]
            if _watched(parser, shorter, Tally()).partition(":")[0] == kind:
                data = shorter
            else:
                start += length
        length //= 2
    return data
