"""The lines of an audit, and those that need the chain alone: steps, invariants, storage, money. Pure.

Every check is one line that says what was compared with what. `proved` lines follow from chain, signatures and
digests. `claimed` lines repeat what somebody signed and nobody can check; they neither pass nor fail.

Covered: that logs, storage and money agree with each other and with the contracts' rules.
Not covered: an endpoint that lies about logs and storage alike, consistently; ask a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

from marketplace.core.cid import Cid
from marketplace.core.invariants import INVARIANTS, job_money_holds, money_text
from marketplace.core.ledger import Finding, JobRecord, Ledger, asset_text, job_text, show
from marketplace.errors import InputError, IntegrityError, NotFoundError, SteelyardError

T = TypeVar("T")
Get = Callable[[Cid], bytes]

Problem = Literal["", "differs", "wrong", "missing", "unavailable"]
"""Why a line does not hold.

differs: it says something else than it must. wrong: a block is there, but its bytes are not those that its name
promises. missing: the store has no such block. unavailable: the store gave no answer.
"""


@dataclass(frozen=True)
class Check:
    """One line of an audit.

    name: which check, in a word or two. subject: the asset, grant, job, account or contract that it is about.
    ok: True or False; None where it could not be judged, or is only claimed.
    """

    name: str
    subject: str
    ok: bool | None
    compared: str
    expected: str = ""
    got: str = ""
    kind: Literal["proved", "claimed"] = "proved"
    problem: Problem = ""

    def __post_init__(self) -> None:
        # Strangers write what stands here, and terminals obey control characters.
        for field in ("expected", "got"):
            text = "".join(char if char.isprintable() else "?" for char in getattr(self, field)[:500])
            object.__setattr__(self, field, text)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def equal(name: str, subject: str, compared: str, expected: object, got: object) -> Check:
    """A line that holds where both values are the same."""
    ok = expected == got
    return Check(name, subject, ok, compared, show(expected), show(got), problem="" if ok else "differs")


def held(name: str, subject: str, compared: str, ok: bool, *, expected: object, got: object) -> Check:
    """A line that holds where `ok`."""
    return Check(name, subject, ok, compared, show(expected), show(got), problem="" if ok else "differs")


def failed(name: str, subject: str, compared: str, found: Missing, *, expected: object = "") -> Check:
    """A line about something that is not there as it must be."""
    ok = None if found.problem == "unavailable" else False
    return Check(name, subject, ok, compared, show(expected), found.got, problem=found.problem)


def claimed(name: str, subject: str, says: str, *, expected: object = "", got: object = "") -> Check:
    """A line that repeats what was signed; nobody can check it from here."""
    return Check(name, subject, None, says, show(expected), show(got), kind="claimed")


@dataclass(frozen=True)
class Missing:
    """Why there is no document. got: a sentence that names the block."""

    problem: Problem
    got: str


@dataclass(frozen=True)
class Found(Generic[T]):
    """A document whose bytes hash to its name, parsed."""

    cid: Cid
    value: T


def fetch(get: Get, cid: Cid, parse: Callable[[bytes], T]) -> Found[T] | Missing:
    """A block, checked against its name and parsed; never raises for what a store or a stranger did."""
    try:
        block = get(cid)
        cid.check(block)
    except SteelyardError as error:
        return Missing(*_why(error, cid))
    try:
        return Found(cid, parse(block))
    except SteelyardError as error:
        return Missing("differs", f"block {cid} does not parse: {error}"[:500])


def _why(error: SteelyardError, cid: Cid) -> tuple[Problem, str]:
    if isinstance(error, NotFoundError):
        return "missing", f"block {cid} is not in the store"
    if isinstance(error, IntegrityError):
        return "wrong", f"block {cid} hashes to {error.got or 'something else'}"
    return "unavailable", f"block {cid} could not be fetched: {error}"[:500]


def problem_of(error: SteelyardError, cid: Cid) -> Missing:
    """How an error on the way to a block reads in a check."""
    if isinstance(error, InputError) and not isinstance(error, NotFoundError):
        return Missing("differs", f"block {cid}: {error}"[:500])
    return Missing(*_why(error, cid))


# What the chain says of itself


def step_checks(ledger: Ledger, events: int) -> Iterator[Check]:
    """Every step that the contracts could not have taken; one line where there is none."""
    for finding in ledger.findings:
        yield _of_finding("step", finding)
    if not ledger.findings:
        yield held(
            "steps",
            f"contract {ledger.rules.market}",
            "each event against the contracts' rules",
            True,
            expected="no step that they would refuse",
            got=f"{events} events",
        )


def invariant_checks(ledger: Ledger) -> Iterator[Check]:
    """One line for each invariant, or one for each place where it is broken."""
    for words, broken in INVARIANTS.items():
        findings = list(broken(ledger))
        yield from (_of_finding("invariant", finding) for finding in findings)
        if not findings:
            yield held("invariant", f"contract {ledger.rules.market}", words, True, expected="", got="")


def _of_finding(name: str, finding: Finding) -> Check:
    place = "" if finding.at is None else f" (block {finding.at.block}, log {finding.at.index})"
    return Check(
        name, finding.subject, False, finding.rule + place, finding.expected, finding.got, problem="differs"
    )


def money_check(job_id: bytes, record: JobRecord) -> Check:
    """Where a job's price went, and the stake and the slash of its dispute."""
    return held(
        "money",
        job_text(job_id),
        "credited to provider, buyer and judge and still held, against price, stake and slash",
        job_money_holds(record),
        expected=f"{record.paid} paid, {record.staked} staked, {record.slashed} slashed",
        got=money_text(record),
    )


def solvency_check(ledger: Ledger, token_balance: int) -> Check:
    """What the Market holds of its token, against all that it owes. Gifts are allowed."""
    owed = ledger.owed()
    return held(
        "solvency",
        f"contract {ledger.rules.market}",
        "the token balance of the Market against balances, bonds, running jobs and their stakes, unused uses",
        token_balance >= owed,
        expected=f"at least {owed}",
        got=token_balance,
    )


def credit_check(ledger: Ledger, model: int) -> Check:
    """Whose credit a model is."""
    job_id = ledger.models[model]
    provider = ledger.jobs[job_id].job.provider
    got = {account for account, units in ledger.units[model].items() if units}
    compared = f"who holds the model's credits, against the provider of {job_text(job_id)}"
    return equal("credit", asset_text(model), compared, provider, ", ".join(sorted(got)))
