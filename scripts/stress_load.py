"""Many jobs open at once: do all settle, and does the memory of node and hub stay flat?"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from marketplace.core.events import ReceiptSubmitted
from scripts.stress_audit import all_ended, audit
from scripts.stress_market import Customer, Market, running, wait_for

_MIB = 1024 * 1024
_GROWTH = 0.05


def run_load(folder: Path, *, buyers: int, jobs: int, say: Callable[[str], None]) -> dict[str, object]:
    """Memory is compared between the moment in which a tenth of the jobs is answered and the end."""
    started, everything = time.monotonic(), buyers * jobs
    with running(folder, buyers=buyers, uses=jobs, window=2) as market:
        say(f"opening {everything} jobs")
        with ThreadPoolExecutor(buyers) as pool:
            list(pool.map(lambda customer: _open(customer, jobs), market.customers))
        at_once = everything - answered(market)
        say(f"{at_once} jobs are open at once")
        wait_for(lambda: answered(market) >= everything // 10, "a tenth of the answers", 3_600)
        early = memory(market)
        wait_for(lambda: _tell(market, say) and all_ended(market), "the end of all jobs", 7_200)
        time.sleep(3)
        late = memory(market)
        report = audit(market)
    growth = {name: round(late[name] / early[name] - 1, 4) for name in early}
    return {
        "open at once": at_once,
        "seconds": round(time.monotonic() - started),
        "MiB at a tenth": {name: round(size / _MIB, 1) for name, size in early.items()},
        "MiB at the end": {name: round(size / _MIB, 1) for name, size in late.items()},
        "growth": growth,
        **report,
        "sound": report["sound"] and all(share < _GROWTH for share in growth.values()),
    }


def _open(customer: Customer, jobs: int) -> None:
    for _ in range(jobs):
        customer.open()


def answered(market: Market) -> int:
    return len(market.chain.logs(types=(ReceiptSubmitted,)))


def memory(market: Market) -> dict[str, int]:
    return {name: market.services[name].rss() for name in ("node", "hub")}


def _tell(market: Market, say: Callable[[str], None]) -> bool:
    """True, always; and a word every ten seconds."""
    time.sleep(10)
    sizes = ", ".join(f"{name} {size / _MIB:.0f} MiB" for name, size in memory(market).items())
    say(f"{answered(market)} answers; {sizes}")
    return True
