"""The books of random histories of a market: nothing is made or lost, and each pot holds what the contracts hold."""

from __future__ import annotations

from hypothesis import given, settings

from marketplace.core.books import ROLES, Books, Pot
from marketplace.core.ledger import Ledger
from tests.core.registers import ARBITER, LIMITS, PEOPLE, VERIFIER
from tests.core.replayed import fold
from tests.core.world import World, worlds

EVERYBODY = [*PEOPLE, ARBITER, VERIFIER]


def escrow_of(ledger: Ledger, account: str) -> int:
    """What the contracts hold for an account's unused uses, running jobs and disputes."""
    unused = sum(
        record.grant.unused() * record.grant.price
        for (_, buyer), record in ledger.grants.items()
        if buyer == account
    )
    return unused + sum(job.held() for job in ledger.jobs.values() if job.request.buyer == account)


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_every_pot_of_the_books_holds_what_the_contracts_hold(world: World) -> None:
    ledger, books = fold(world), Books.of(world.events, LIMITS)
    for account in EVERYBODY:
        pots = books.pots(account)
        assert pots[Pot.balance] == ledger.balances.get(account, 0)
        assert pots[Pot.bond] == ledger.bond_of(account).held()
        assert pots[Pot.escrow] == escrow_of(ledger, account)
    assert sum(books.pots(who)[Pot.wallet] for who in EVERYBODY) == ledger.withdrawn - ledger.paid_in
    assert {job.job_id: job.state for job in books.jobs.values()} == {
        name: record.job.state for name, record in ledger.jobs.items()
    }


@settings(deadline=None, max_examples=30)
@given(worlds(least=20))
def test_every_flow_moves_something_between_those_whom_its_kind_names(world: World) -> None:
    books = Books.of(world.events, LIMITS)
    for flow in books.flows:
        assert flow.amount > 0
        payer, payee = ROLES[flow.kind]
        if flow.job is None:
            continue
        job = books.jobs[flow.job]
        parties = {"buyer": job.buyer, "provider": job.provider}
        assert flow.source[0] == parties[payer]
        assert flow.target[0] == parties.get(payee, flow.target[0])
