"""The contracts' invariants (contracts/README.md), each under a given number of random calls in random order."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from scripts.compile import node_binary

_ROOT = Path(__file__).resolve().parents[1]
_HARDHAT = _ROOT / "node_modules/hardhat/dist/src/cli.js"
_DEPTH = 64
"""Calls of a run, after each of which the invariant is checked: hardhat.config.js."""
_PASSED = re.compile(r"✔ (invariant_\w+)\(\) \(runs: (\d+)\)")
_DECLARED = re.compile(r"function (invariant_\w+)\(")


def run_invariants(*, calls: int, say: Callable[[str], None]) -> dict[str, object]:
    """calls: of all invariants together, rounded up to whole runs of each."""
    names = _DECLARED.findall((_ROOT / "tests/contracts/Invariants.t.sol").read_text())
    runs, started = -(-calls // (_DEPTH * len(names))), time.monotonic()
    say(
        f"{len(names)} invariants, {runs} runs of {_DEPTH} calls each; about {runs // 280 + 1} min on two cores"
    )
    done = subprocess.run(
        [node_binary(), _HARDHAT, "test", "solidity", "--grep", "invariant_"],
        cwd=_ROOT,
        env=os.environ | {"STEELYARD_INVARIANT_RUNS": str(runs), "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    passed = {name: int(count) for name, count in _PASSED.findall(done.stdout)}
    if done.returncode:
        say(done.stdout[-4_000:] + done.stderr[-1_000:])
    return {
        "calls": sum(passed.values()) * _DEPTH,
        "seconds": round(time.monotonic() - started),
        **{name: f"{count} runs" for name, count in passed.items()},
        "sound": done.returncode == 0
        and sum(passed.values()) * _DEPTH >= calls
        and set(passed) == set(names),
    }
