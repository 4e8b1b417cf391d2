"""What holds of the contracts whatever happened, in the words of `contracts/README.md`. Pure.

Each entry of INVARIANTS names every place of a replayed Ledger where it does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from marketplace.core.ledger import Finding, JobRecord, Ledger, grant_text, job_text

JOB_MONEY = "a job never credits more than price, stake and slash together, and all of it at its end"
SLASHES = "a slash never exceeds the job's price and what its judge got"
BONDS = "a bond is held, slashed for a job, or given back"
JUDGES = "a judge gets the same fee whatever it rules"
GRANT_USES = "a grant opens no more jobs than were paid"
CONSERVATION = "what was paid in less what was withdrawn is what is owed"
BALANCES = "nobody is owed less than nothing"


def job_money_holds(record: JobRecord) -> bool:
    """Whether all that came in for the job is credited or held; at its end nothing is held."""
    return record.credited() + record.held() == record.put_in()


def money_text(record: JobRecord) -> str:
    """Where a job's money is."""
    return (
        f"{record.to_provider} to the provider, {record.to_buyer} to the buyer, "
        f"{record.to_judge} to the judge, {record.held()} held"
    )


def _job_money(ledger: Ledger) -> Iterator[Finding]:
    for job_id, record in ledger.jobs.items():
        if not job_money_holds(record):
            yield Finding(job_text(job_id), JOB_MONEY, f"{record.put_in()} in all", money_text(record))


def _slashes(ledger: Ledger) -> Iterator[Finding]:
    for job_id, record in ledger.jobs.items():
        most = record.paid + record.to_judge
        if not 0 <= record.slashed <= most:
            yield Finding(job_text(job_id), SLASHES, f"at most {most}", str(record.slashed))


def _bonds(ledger: Ledger) -> Iterator[Finding]:
    held = sum(bond.held() for bond in ledger.bonds.values())
    slashed = sum(record.slashed for record in ledger.jobs.values())
    if held + slashed + ledger.released != ledger.bonded:
        got = f"{held} held, {slashed} slashed, {ledger.released} given back"
        yield Finding(f"contract {ledger.rules.market}", BONDS, f"{ledger.bonded} in all", got)


def _judges(ledger: Ledger) -> Iterator[Finding]:
    for job_id, record in ledger.jobs.items():
        fee = ledger.rules.limits.judge_fee if record.resolved else 0
        if record.to_judge != fee:
            yield Finding(job_text(job_id), JUDGES, str(fee), str(record.to_judge))


def _grant_uses(ledger: Ledger) -> Iterator[Finding]:
    for key, record in ledger.grants.items():
        grant = record.grant
        if not 0 <= grant.jobs_opened <= grant.jobs_paid:
            expected = f"at most {grant.jobs_paid} opened"
            yield Finding(grant_text(key), GRANT_USES, expected, str(grant.jobs_opened))


def _conservation(ledger: Ledger) -> Iterator[Finding]:
    left = ledger.paid_in - ledger.withdrawn
    if left != ledger.owed():
        yield Finding(f"contract {ledger.rules.market}", CONSERVATION, str(left), str(ledger.owed()))


def _balances(ledger: Ledger) -> Iterator[Finding]:
    for account, amount in ledger.balances.items():
        if amount < 0:
            yield Finding(f"account {account}", BALANCES, "0 or more", str(amount))


INVARIANTS: Mapping[str, Callable[[Ledger], Iterator[Finding]]] = {
    JOB_MONEY: _job_money,
    SLASHES: _slashes,
    BONDS: _bonds,
    JUDGES: _judges,
    GRANT_USES: _grant_uses,
    CONSERVATION: _conservation,
    BALANCES: _balances,
}
