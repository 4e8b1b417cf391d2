"""What the steps of a replay share: how a rule is stated, what an event refers to, how a job moves. Pure."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import NoReturn, TypeVar

from marketplace.core.events import Event
from marketplace.core.job import TRANSITIONS, Action, State
from marketplace.core.ledger import GrantKey, GrantRecord, JobRecord, Ledger, show

E = TypeVar("E", bound=IntEnum)


class Illegal(Exception):  # noqa: N818  # never leaves the replay: it becomes a Finding
    """A step that the contract would have reverted. rule: what holds, as a sentence."""

    def __init__(self, rule: str, expected: object, got: object) -> None:
        super().__init__(rule)
        self.rule, self.expected, self.got = rule, show(expected), show(got)


def same(rule: str, expected: object, got: object) -> None:
    """Raises Illegal unless both are equal."""
    if expected != got:
        raise Illegal(rule, expected, got)


def refuse(rule: str, expected: object, got: object) -> NoReturn:
    raise Illegal(rule, expected, got)


def known_grant(ledger: Ledger, key: GrantKey) -> GrantRecord:
    return ledger.grants.get(key) or refuse("the grant was bought", "a purchase", "none")


def known_job(ledger: Ledger, job_id: bytes) -> JobRecord:
    return ledger.jobs.get(job_id) or refuse("the job was opened", "an opened job", job_id)


def member(kind: type[E], value: int, rule: str) -> E:
    """The member of an enum that an event names by its number."""
    try:
        return kind(value)
    except ValueError:
        refuse(rule, f"0 to {len(kind) - 1}", value)


def move(ledger: Ledger, event: Event, record: JobRecord, action: Action) -> State:
    """The state that the action leads to from here, at this time."""
    job = record.job
    found = TRANSITIONS.get((job.state, action))
    if found is None:
        refuse("the step fits the job's state", f"a state that allows {action}", job.state.name)
    late = ledger.time_of(event.at) > job.until
    if found.late is not None and found.late != late:
        when = "after" if found.late else "up to"
        refuse("the step comes in time", f"{when} {job.until}", ledger.time_of(event.at))
    return found.end(record.dispute)


def finish(
    ledger: Ledger, record: JobRecord, to: State, *, to_provider: int = 0, to_buyer: int = 0, slashed: int = 0
) -> None:
    """Ends a job: credits provider and buyer, and takes what was slashed for it from the provider's bond."""
    provider = record.job.provider
    record.job = replace(record.job, state=to)
    record.to_provider += to_provider
    record.to_buyer += to_buyer
    record.slashed += slashed
    ledger.credit(provider, to_provider)
    ledger.credit(record.request.buyer, to_buyer)
    if slashed:
        ledger.bonds[provider] = ledger.bond_of(provider).slashed(slashed)
