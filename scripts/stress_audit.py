"""What became of every job and all money, read from the chain alone; and whether the hub says the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.core.events import JobOpened, JobSettled, ReceiptSubmitted
from marketplace.core.job import END_STATES, State
from scripts.stress_market import PRICE, SECRET, Market

_REFUNDED = frozenset({State.rejected, State.failed, State.expired})


def opened(market: Market) -> list[bytes]:
    return [event.job_id for event in market.chain.logs(types=(JobOpened,))]


def all_ended(market: Market) -> bool:
    return all(market.chain.job(job_id).state in END_STATES for job_id in opened(market))


def audit(market: Market) -> dict[str, object]:
    """sound: every figure that must be zero is."""
    chain, jobs = market.chain, opened(market)
    states = Counter(chain.job(job_id).state for job_id in jobs)
    told = {request.job_id for customer in market.customers for request in customer.told}
    settled = Counter(event.job_id for event in chain.logs(types=(JobSettled,)))
    receipts = Counter(event.job_id for event in chain.logs(types=(ReceiptSubmitted,)))
    owed = chain.balance(market.owner.address)
    refunds = sum(chain.balance(customer.account.address) for customer in market.customers)
    refunded = sum(states[state] for state in _REFUNDED)
    held = chain.token_balance(chain.deployment.market) - chain.bond(market.owner.address).staked
    grants = [chain.grant(each.offer.digest, each.account.address) for each in market.customers]
    unspent = sum((grant.jobs_paid - grant.jobs_opened) * PRICE for grant in grants)
    report: dict[str, object] = {
        "jobs opened": len(jobs),
        "reported as opened": len(told),
        "settled": states[State.settled],
        "refunded": refunded,
        "lost": len(told - set(jobs)) + sum(states[state] for state in states if state not in END_STATES),
        "doubled": sum(1 for count in (*settled.values(), *receipts.values()) if count > 1)
        + len(jobs) - len(set(jobs)),
        "paid twice, token units": owed - states[State.settled] * PRICE,
        "money made or lost, token units": held - owed - refunds - unspent,
        "plaintext left, files": len(plaintext(market)),
        "hub differs from the chain": hub_differs(market),
    }  # fmt: skip
    zero = (
        "lost",
        "doubled",
        "paid twice, token units",
        "money made or lost, token units",
        "plaintext left, files",
    )
    return report | {
        "sound": not any(report[name] for name in zero) and not report["hub differs from the chain"]
    }


def plaintext(market: Market) -> list[Path]:
    """Files of the market's homes in which a row of the data can be read."""
    files = (path for path in market.folder.rglob("*") if path.is_file())
    return [path for path in files if SECRET in path.read_bytes()]


def hub_differs(market: Market) -> bool:
    """Whether the hub's database, through all kills, is another than one that is filled now."""
    fresh, kept = Database(market.folder / "fresh.db"), Database(market.folder / "hub" / "hub.db")
    try:
        Indexer(market.chain, market.store, fresh).run_once()
        Indexer(market.chain, market.store, kept).run_once()
        ignored = {"cursor", "progress"}
        one, two = fresh.dump(), kept.dump()
        return any(one[table] != two[table] for table in one if table not in ignored)
    finally:
        fresh.close()
        kept.close()
