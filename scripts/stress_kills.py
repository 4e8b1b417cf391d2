"""Kills of node, hub, chain and Anvil at random moments, while buyers open jobs: nothing may be lost or doubled."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from marketplace.core.events import JobSettled
from marketplace.errors import SteelyardError
from scripts.stress_audit import all_ended, audit
from scripts.stress_market import Customer, Market, StressError, running, wait_for

_BUYERS = 3
_OPEN_AT_MOST = 4
_WEIGHTS = {"node": 4, "hub": 2, "chain": 2, "anvil": 2}
_CALM_EVERY = 10
_JOBS_AT_STAKE = 4
_CALM_SECONDS = 300.0


def run_kills(folder: Path, *, count: int, seed: int, say: Callable[[str], None]) -> dict[str, object]:
    """Kills `count` times, then lets everything come to its end. Seconds between kills are random, 1.2 on average."""
    dice, killed, stop = random.Random(seed), Counter[str](), threading.Event()  # noqa: S311  # not for secrets
    started = time.monotonic()
    with running(folder, buyers=_BUYERS, uses=max(20, count * 2), window=2) as market:
        buying = [threading.Thread(target=_buy, args=(customer, stop)) for customer in market.customers]
        for thread in buying:
            thread.start()
        try:
            for number in range(1, count + 1):
                time.sleep(dice.expovariate(1 / 1.2))
                killed[_kill_one(market, dice)] += 1
                if number % _CALM_EVERY == 0:
                    _let_some_end(market)
                if number % (5 * _CALM_EVERY) == 0:
                    say(f"{number} kills, {_ended(market)} jobs have ended")
        finally:
            stop.set()
            for thread in buying:
                thread.join()
        wait_for(lambda: _quiet(market), "the end of all jobs", _CALM_SECONDS)
        time.sleep(2)
        report = audit(market)
        starts = {name: service.starts for name, service in market.services.items()}
    return {"kills": dict(killed), "starts": starts, "seconds": round(time.monotonic() - started)} | report


def _buy(customer: Customer, stop: threading.Event) -> None:
    """Keeps a few jobs open. What fails is tried again; the one before may be open all the same."""
    while not stop.wait(0.2):
        with contextlib.suppress(SteelyardError):
            still = [
                request for request in customer.told[-_OPEN_AT_MOST:]
                if customer.chain.job(request.job_id).state.name in ("open", "submitted")
            ]  # fmt: skip
            if len(still) < _OPEN_AT_MOST:
                customer.open()


def _kill_one(market: Market, dice: random.Random) -> str:
    """Kills one process that runs; its name."""
    while True:
        victim = dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        service = market.services["chain" if victim == "anvil" else victim]
        pids = service.children() if victim == "anvil" else [service.process.pid]
        with contextlib.suppress(ProcessLookupError):
            for pid in pids[:1]:
                os.kill(pid, signal.SIGKILL)
                return victim
        time.sleep(0.1)


def _let_some_end(market: Market) -> None:
    """Now and then everybody comes to work, or on a slow machine nothing would ever be at stake."""
    before = wait_for(lambda: _ended(market) + 1, "the chain", _CALM_SECONDS)
    with contextlib.suppress(StressError):
        wait_for(lambda: _ended(market) + 1 >= before + _JOBS_AT_STAKE, "a few ends", _CALM_SECONDS / 5)


def _ended(market: Market) -> int:
    """Jobs that ended; -1 while the chain does not answer."""
    try:
        return len(market.chain.logs(types=(JobSettled,)))
    except SteelyardError:
        return -1


def _quiet(market: Market) -> bool:
    try:
        return all_ended(market)
    except SteelyardError:
        return False
