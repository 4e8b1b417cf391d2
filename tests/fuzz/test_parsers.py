"""Whatever somebody sends, each parser takes it or says no, soon and in little memory.

Here are 200 inputs for each parser; `./scripts/fuzz --count 1000000` is the long run, in processes that are watched.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from marketplace.errors import InputError
from scripts.fuzz import run, tasks
from tests.fuzz.attempt import Parser, attempt
from tests.fuzz.mutate import malformed
from tests.fuzz.parsers import parsers

PARSERS = parsers()
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name.replace(" ", "_"))
def test_a_parser_takes_or_refuses_whatever_comes(parser: Parser) -> None:
    tally = attempt(parser, 200, seed=0)
    assert tally.faults == []
    assert tally.inputs == tally.refused + tally.accepted == 200


@pytest.mark.slow
def test_thirty_thousand_inputs_in_watched_processes_find_nothing(tmp_path: Path) -> None:
    inputs = 0
    for _, tally in run(tasks(PARSERS, 30_000, seed=2), 2, tmp_path):
        assert tally.faults == []
        inputs += tally.inputs
    assert inputs >= 30_000


def test_the_same_seed_gives_the_same_inputs() -> None:
    parser = PARSERS[2]
    first, second = (
        [malformed(random, parser.seeds, parser.grammar) for _ in range(50)]
        for random in (Random(1), Random(1))
    )
    assert first == second
    assert len(set(first)) > 40


def broken(data: bytes) -> None:
    """A parser with three faults and a rule."""
    if not data.startswith(b"{"):
        raise InputError("it is no object")
    if b"9" in data:
        raise KeyError("nine")


def slow(data: bytes) -> None:
    if data != b"{}":
        started = time.process_time()
        while time.process_time() - started < 1.1:
            pass


def greedy(data: bytes) -> None:
    if data != b"{}":
        bytearray(b"x") * (700 * 1024 * 1024)


def test_a_foreign_error_is_found_with_a_small_input() -> None:
    tally = attempt(Parser("broken", broken, (b'{"a":1,"b":8}',)), 2_000, seed=1)
    assert tally.faults[0] == ("KeyError: 'nine'", b"{9")


@pytest.mark.parametrize(("parser", "fault"), [("slow", "slow: "), ("greedy", "memory: ")])
def test_an_input_that_takes_too_much_is_found(parser: str, fault: str) -> None:
    """In a process of its own: what counts is the most memory that the process ever had."""
    code = (
        "from tests.fuzz.attempt import Parser, attempt\nfrom tests.fuzz import test_parsers\n"
        f"print(attempt(Parser('costly', test_parsers.{parser}, (b'{{}}',)), 1, seed=1).faults)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count(repr(fault)[:-1]) == 1, done.stdout
