"""A market under stress: what became of every job and all money. Exits 1 where it does not add up."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from scripts.stress_invariants import run_invariants
from scripts.stress_kills import run_kills
from scripts.stress_load import run_load


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    modes = parser.add_subparsers(dest="mode", required=True)
    kills = modes.add_parser(
        "kills", help="kill -9 of node, hub, chain and Anvil at random moments, while buyers buy"
    )
    kills.add_argument("--count", type=int, default=500, help="kills in all")
    kills.add_argument("--seed", type=int, default=1)
    load = modes.add_parser(
        "load", help="many jobs open at once; does memory stay flat, does everything settle"
    )
    load.add_argument("--buyers", type=int, default=10)
    load.add_argument("--jobs", type=int, default=50, help="of each buyer")
    invariants = modes.add_parser(
        "invariants", help="random calls to the contracts; does every invariant hold"
    )
    invariants.add_argument("--calls", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steelyard-stress-") as name:
        folder = Path(name)
        if chosen.mode == "kills":
            report = run_kills(folder, count=chosen.count, seed=chosen.seed, say=say)
        elif chosen.mode == "invariants":
            report = run_invariants(calls=chosen.calls, say=say)
        else:
            report = run_load(folder, buyers=chosen.buyers, jobs=chosen.jobs, say=say)
    if chosen.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        show(report)
    return 0 if report["sound"] else 1


def say(text: str) -> None:
    sys.stderr.write(f"  {text}\n")


def show(report: Mapping[str, object]) -> None:
    width = max(map(len, report))
    for what, value in report.items():
        sys.stdout.write(f"{what:<{width}}  {value}\n")


if __name__ == "__main__":
    sys.exit(main())
