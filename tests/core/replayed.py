"""What a world's events replay to, in the words of the contracts' views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marketplace.core import events as ev
from marketplace.core.ledger import Ledger
from marketplace.core.replay import replay
from tests.core.world import RULES, World


def fold(world: World) -> Ledger:
    return replay(world.events, rules=RULES, times=world.times)


def rules_broken(world: World) -> list[str]:
    return [finding.rule for finding in fold(world).findings]


def storage(ledger: Ledger) -> dict[str, Any]:
    """All that the contracts' views would show."""
    return {
        "owners": {token: history.now() for token, history in ledger.owners.items()},
        "metadata": {token: event.metadata for token, event in ledger.published.items()},
        "statuses": {token: status for token, status in ledger.statuses.items() if status},
        "epochs": {token: history.now() for token, history in ledger.epochs.items()},
        "nodes": {who: history.now() for who, history in ledger.nodes.items()},
        "issuers": {key for key, history in ledger.issuers.items() if history.now()},
        "accreditations": {key: history.now() for key, history in ledger.accreditations.items()},
        "grants": {key: record.grant for key, record in ledger.grants.items()},
        "jobs": {name: record.job for name, record in ledger.jobs.items()},
        "disputes": {name: record.dispute for name, record in ledger.jobs.items() if record.dispute},
        "balances": {who: amount for who, amount in ledger.balances.items() if amount},
        "bonds": dict(ledger.bonds),
        "units": {(token, who): held for token, units in ledger.units.items() for who, held in units.items()},
        "paused": {contract for contract, paused in ledger.paused.items() if paused},
        "authorities": dict(ledger.authorities),
        "successor": ledger.successor,
        "tokens": ledger.paid_in - ledger.withdrawn,
    }


def changed(world: World, kind: type[ev.Event], **fields: Any) -> World:
    """The last event of that kind says something else."""
    place = max(place for place, event in enumerate(world.events) if isinstance(event, kind))
    world.events[place] = replace(world.events[place], **fields)
    return world
