"""What an audit is about, and what the contracts' views must say of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, Literal

from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.job import Dispute, Ground
from marketplace.core.ledger import (
    GrantKey,
    Ledger,
    Node,
    asset_text,
    grant_text,
    job_text,
)
from marketplace.errors import NotFoundError

Subject = int | bytes | None
"""An asset's id, a job's id (32 bytes), or None for everything."""

Contract = Literal["Market", "AssetRegistry", "ParticipantRegistry", "ContributionCredits"]


def subject_text(subject: Subject) -> str:
    if subject is None:
        return "everything"
    return asset_text(subject) if isinstance(subject, int) else job_text(subject)


@dataclass(frozen=True)
class Scope:
    """What an audit is about; whoever is paid, signs or judges in it is part of it.

    accreditations: (account, role). issuers: (role, issuer).
    """

    assets: tuple[int, ...]
    grants: tuple[GrantKey, ...]
    jobs: tuple[bytes, ...]
    accounts: tuple[str, ...]
    participants: tuple[str, ...]
    accreditations: tuple[tuple[str, bytes], ...]
    issuers: tuple[tuple[bytes, str], ...]

    @classmethod
    def of(cls, ledger: Ledger, subject: Subject) -> Scope:
        """Raises NotFoundError where the ledger has no such asset or job."""
        if subject is None:
            return cls(
                tuple(ledger.published),
                tuple(ledger.grants),
                tuple(ledger.jobs),
                tuple(ledger.balances),
                tuple({**ledger.nodes, **ledger.bonds}),
                tuple(ledger.accreditations),
                tuple(ledger.issuers),
            )
        known = ledger.jobs if isinstance(subject, bytes) else ledger.published
        if subject not in known:
            raise NotFoundError(
                "the chain knows no such asset or job",
                got=subject_text(subject),
                do="Check the id, and that its block is confirmed.",
            )
        jobs = [
            name for name, record in ledger.jobs.items() if subject in (name, record.asset_id, record.model)
        ]
        grants = {ledger.jobs[name].grant_key for name in jobs}
        grants |= {key for key, record in ledger.grants.items() if record.asset_id == subject}
        models = {ledger.jobs[name].model for name in jobs} - {None}
        assets = (
            {ledger.grants[key].asset_id for key in grants} | models | ({subject} & set(ledger.published))
        )
        providers = {ledger.grants[key].grant.provider for key in grants}
        accounts = providers | {buyer for _, buyer in grants} | _judges(ledger, jobs)
        accredited = [key for key in ledger.accreditations if key[0] in accounts]
        roles = {role for _, role in accredited}
        return cls(
            tuple(asset for asset in ledger.published if asset in assets),
            tuple(key for key in ledger.grants if key in grants),
            tuple(jobs),
            tuple(sorted(accounts)),
            tuple(sorted(providers)),
            tuple(accredited),
            tuple(key for key in ledger.issuers if key[0] in roles),
        )


def _judges(ledger: Ledger, jobs: Iterable[bytes]) -> set[str]:
    disputes = (ledger.jobs[job_id].disputed for job_id in jobs)
    return {event.judge for event in disputes if event}


@dataclass(frozen=True)
class View:
    """A question to a contract, and the answer that follows from the logs."""

    subject: str
    contract: Contract
    function: str
    arguments: tuple[Any, ...]
    value: Any


def views(ledger: Ledger, scope: Scope) -> Iterator[View]:
    """Every view of the four contracts that says something about the scope, with what it must say."""
    yield from _contract_views(ledger)
    for asset in scope.assets:
        yield from _asset_views(ledger, asset)
    for participant in scope.participants:
        yield from _participant_views(ledger, participant)
    yield from _accreditation_views(ledger, scope)
    for key in scope.grants:
        yield View(grant_text(key), "Market", "grantOf", key, astuple(ledger.grants[key].grant))
    for job_id in scope.jobs:
        yield from _job_views(ledger, job_id)
    for account in scope.accounts:
        owed = ledger.balances.get(account, 0)
        yield View(f"account {account}", "Market", "balanceOf", (account,), owed)


def _contract_views(ledger: Ledger) -> Iterator[View]:
    rules = ledger.rules
    market, registry, participants = (
        f"contract {address}" for address in (rules.market, rules.registry, rules.participants)
    )
    yield View(market, "Market", "paused", (), ledger.is_paused(rules.market))
    yield View(registry, "AssetRegistry", "paused", (), ledger.is_paused(rules.registry))
    yield View(registry, "AssetRegistry", "successor", (), ledger.successor)
    yield from _authority_view(ledger, market, "Market", rules.market)
    yield from _authority_view(ledger, registry, "AssetRegistry", rules.registry)
    yield from _authority_view(ledger, participants, "ParticipantRegistry", rules.participants)


def _authority_view(ledger: Ledger, subject: str, contract: Contract, address: str) -> Iterator[View]:
    """Nothing where no event told it."""
    if address in ledger.authorities:
        yield View(subject, contract, "authority", (), ledger.authorities[address])


def _asset_views(ledger: Ledger, asset: int) -> Iterator[View]:
    subject = asset_text(asset)
    yield View(subject, "AssetRegistry", "ownerOf", (asset,), ledger.owners[asset].now())
    yield View(subject, "AssetRegistry", "statusOf", (asset,), ledger.status_of(asset))
    yield View(subject, "AssetRegistry", "metadataOf", (asset,), ledger.published[asset].metadata)
    epochs = ledger.epochs.get(asset)
    yield View(subject, "Market", "epochOf", (asset,), epochs.now() if epochs else 0)
    units = ledger.units.get(asset, {})
    if units:
        yield View(subject, "ContributionCredits", "totalUnits", (asset,), sum(units.values()))
    for account, count in units.items():
        yield View(subject, "ContributionCredits", "unitsOf", (asset, account), count)


def _participant_views(ledger: Ledger, participant: str) -> Iterator[View]:
    subject, history = f"account {participant}", ledger.nodes.get(participant)
    node = history.now() if history else Node()
    yield View(subject, "ParticipantRegistry", "nodeOf", (participant,), node.account)
    yield View(subject, "ParticipantRegistry", "sealingKeyOf", (participant,), node.sealing_key)
    yield View(subject, "ParticipantRegistry", "epochOf", (participant,), node.epoch)
    yield View(subject, "ParticipantRegistry", "isolationOf", (participant,), node.isolation)
    yield View(subject, "Market", "bondOf", (participant,), astuple(ledger.bond_of(participant)))


def _accreditation_views(ledger: Ledger, scope: Scope) -> Iterator[View]:
    for account, role in scope.accreditations:
        found = ledger.accreditations[account, role].now()
        arguments = (account, role)
        yield View(f"account {account}", "ParticipantRegistry", "accreditationOf", arguments, astuple(found))
    for role, issuer in scope.issuers:
        trusted = ledger.issuers[role, issuer].now()
        yield View(f"account {issuer}", "ParticipantRegistry", "isIssuer", (role, issuer), trusted)


def _job_views(ledger: Ledger, job_id: bytes) -> Iterator[View]:
    record, subject = ledger.jobs[job_id], job_text(job_id)
    yield View(subject, "Market", "jobOf", (job_id,), astuple(record.job))
    dispute = record.dispute or Dispute(ZERO_ADDRESS, Ground.unavailable, False)
    yield View(subject, "Market", "disputeOf", (job_id,), astuple(dispute))
