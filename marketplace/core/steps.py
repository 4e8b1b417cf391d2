"""What the steps of a replay share: how a rule is stated, and what an event refers to. Pure."""

from __future__ import annotations

from typing import NoReturn

from marketplace.core.ledger import GrantKey, GrantRecord, JobRecord, Ledger, show


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
