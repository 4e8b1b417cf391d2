"""Figures against their goals. Gas is exact; times are ratios of runs taken in turn, for machines are noisy.

A figure that misses its goal is shown as such; nothing here fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.bench_catalogue import indexer_ratios, searches
from scripts.bench_daily import node_at_rest, small_jobs
from scripts.bench_gas import gas_figures
from scripts.bench_jobs import first_line_seconds, training_ratio
from scripts.bench_storage import sealing_shares


@dataclass(frozen=True)
class Figure:
    """what: of what, with its unit. goal: the most (or with at_least the least) that it may be."""

    what: str
    value: float
    goal: float
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of the table")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steelyard-bench-") as folder:
        figures = list(measure(Path(folder), lambda text: sys.stderr.write(f"  measuring {text}\n")))
    if chosen.json:
        sys.stdout.write(json.dumps([{**asdict(figure), "met": figure.met} for figure in figures]) + "\n")
        return 0
    table = Table(title="Figures", title_justify="left", header_style="bold")
    for name in ("what", "measured", "goal", ""):
        table.add_column(name, justify="right" if name in ("measured", "goal") else "left")
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        row = (figure.what, shown(figure.value), f"{sign} {shown(figure.goal)}", figure.note)
        table.add_row(*(Text(cell, style="" if figure.met else "bold red") for cell in row))
    Console().print(table)
    return 0


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def measure(folder: Path, say: Callable[[str], None]) -> Iterator[Figure]:
    """All figures, each as it is measured."""
    say("gas")
    gas = gas_figures()
    yield Figure("gas: publish, second listing of an owner", gas.publish, 85_000, note="Ocean 1,627,608")
    yield Figure(
        "gas: buy with a first permit, one transaction", gas.buy, 130_000, note="Ocean 268,757 in three"
    )
    yield Figure("gas: open + submit + a tenth of a finalise of 10", gas.job, 145_000, note="Ocean 380,893")
    for many, ratio in gas.busy.items():
        note = "Ocean 2,343,201 gas" if many == 200 else ""
        yield Figure(f"the same with {many:,} jobs open / with none", ratio, 1.02, note=note)
    say("encryption, content addressing and storing of up to 256 MiB")
    for store, share in sealing_shares(folder):
        yield Figure(f"seal + CID, share of AES-GCM then SHA-256: {store}", share, 0.8, at_least=True)
    say("the indexer on 100,000 events, in both databases")
    for name, ratio in indexer_ratios(folder).items():
        yield Figure(f"indexer, 100,000 events / raw eth_getLogs, {name}", ratio, 3.0, note="median of pairs")
    say("search over 100,000 listings, in both databases")
    for name, found in searches(folder).items():
        note = f"slowest: {found.slowest}"
        yield Figure(f"search, 100,000 listings, p95 (ms), {name}", found.p95, 50.0, note=note)
    say("training in the sandbox and bare, in turn")
    ratio = training_ratio(folder)
    yield Figure(
        "training in the sandbox / the same script bare", ratio, 1.03, note="median of pairs, whole process"
    )
    say("the way from a confirmed JobOpened to the algorithm's first line, data of 50 MiB")
    seconds, own = first_line_seconds(folder)
    yield Figure(
        "JobOpened to first line, 50 MiB, less Python's start (s)",
        seconds,
        1.0,
        note=f"Python's start {own:.2f} s",
    )
    say("a node at rest, on a chain with a block every two seconds")
    rest = node_at_rest(folder / "rest")
    yield Figure("a node at rest: memory (MB)", rest.bytes / 1e6, 150)
    yield Figure("a node at rest: CPU (% of a core)", 100 * rest.cpu, 1)
    say("a thousand small jobs, all open at once, through one node")
    busy = small_jobs(folder / "busy", 1_000, say)
    yield Figure(
        "1,000 small jobs through one node: overhead a job (s)",
        busy.overhead,
        1.0,
        note=f"{busy.seconds:.2f} s a job, the same program bare {busy.bare:.2f} s",
    )


if __name__ == "__main__":
    sys.exit(main())
