"""Steps of Escrow: withdrawals, and what providers pledge for their nodes. Pure."""

from __future__ import annotations

from dataclasses import replace

from marketplace.core.bond import Bond
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.events import (
    BondDeposited,
    BondReleased,
    BondSlashed,
    DisputeResolved,
    JobExpired,
    UnbondingStarted,
    Withdrawn,
)
from marketplace.core.ledger import Due, Ledger
from marketplace.core.steps import refuse, same

_MAX_UINT48 = (1 << 48) - 1


def on_withdrawn(ledger: Ledger, event: Withdrawn) -> None:
    owed = ledger.balances.get(event.account, 0)
    if event.to in (ZERO_ADDRESS, ledger.rules.market) or event.amount == 0:
        refuse("money goes out to somebody", "an amount and an account", f"{event.amount} to {event.to}")
    same("a withdrawal takes the whole balance", owed, event.amount)
    ledger.balances[event.account] = 0
    ledger.withdrawn += event.amount


def on_deposited(ledger: Ledger, event: BondDeposited) -> None:
    bond = ledger.bond_of(event.provider)
    staked = bond.staked + event.amount
    if staked > _MAX_UINT48:
        refuse("a bond fits its 48 bits", f"at most {_MAX_UINT48}", staked)
    ledger.bonds[event.provider] = replace(bond, staked=staked)
    ledger.bonded += event.amount
    ledger.paid_in += event.amount


def on_unbonding(ledger: Ledger, event: UnbondingStarted) -> None:
    bond = ledger.bond_of(event.provider)
    if not 0 < event.amount <= bond.staked:
        refuse("what leaves a bond is part of it", f"1 to {bond.staked}", event.amount)
    leaves_at = ledger.time_of(event.at) + ledger.rules.limits.unbonding_time
    same("a bond takes its time to leave", leaves_at, event.leaves_at)
    ledger.bonds[event.provider] = Bond(bond.staked - event.amount, bond.leaving + event.amount, leaves_at)


def on_released(ledger: Ledger, event: BondReleased) -> None:
    bond = ledger.bond_of(event.provider)
    if bond.leaving == 0:
        refuse("what was announced to leave is released", "something that leaves", "nothing")
    if ledger.time_of(event.at) <= bond.leaves_at:
        refuse("a bond is released after its time", f"after {bond.leaves_at}", ledger.time_of(event.at))
    same("all that leaves is released", bond.leaving, event.amount)
    ledger.bonds[event.provider] = Bond(bond.staked)
    ledger.released += event.amount
    ledger.credit(event.provider, event.amount)


def on_slashed(ledger: Ledger, event: BondSlashed) -> None:
    """Changes nothing yet: the job's own event, which must come next, takes it."""
    if event.from_staked + event.from_leaving == 0:
        refuse("a slash takes something", "more than nothing", 0)
    ledger.due = Due((JobExpired, DisputeResolved), event.at.transaction, slash=event)


def announced_slash(ledger: Ledger, provider: str, most: int) -> int:
    """What the slash before this event takes from the provider's bond, held to the contract's rule: up to `most`.

    Changes nothing: `finish` takes it, once the job's event was checked.
    """
    event = ledger.slash
    if event:
        same("what is slashed is the bond of the job's provider", provider, event.provider)
    wanted = ledger.bond_of(provider).slash_up_to(most)
    got = (event.from_staked, event.from_leaving) if event else (0, 0)
    same("a slash takes what the job may cost, what is staked first", wanted, got)
    return sum(got)
