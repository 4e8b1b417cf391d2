"""What an audit is about, and what the contracts' views must say of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any, Literal

from marketplace.core.ledger import GrantKey, Ledger, Node, asset_text, grant_text, job_text
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
    """What an audit is about; whoever is paid or signs in it is part of it."""

    assets: tuple[int, ...]
    grants: tuple[GrantKey, ...]
    jobs: tuple[bytes, ...]
    accounts: tuple[str, ...]
    participants: tuple[str, ...]

    @classmethod
    def of(cls, ledger: Ledger, subject: Subject) -> Scope:
        """Raises NotFoundError where the ledger has no such asset or job."""
        if subject is None:
            return cls(
                tuple(ledger.published),
                tuple(ledger.grants),
                tuple(ledger.jobs),
                tuple(ledger.balances),
                tuple(ledger.nodes),
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
        accounts = providers | {buyer for _, buyer in grants}
        return cls(
            tuple(asset for asset in ledger.published if asset in assets),
            tuple(key for key in ledger.grants if key in grants),
            tuple(jobs),
            tuple(sorted(accounts)),
            tuple(sorted(providers)),
        )


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
    market, registry = ledger.rules.market, ledger.rules.registry
    yield View(f"contract {market}", "Market", "paused", (), ledger.is_paused(market))
    yield View(f"contract {registry}", "AssetRegistry", "paused", (), ledger.is_paused(registry))
    for asset in scope.assets:
        yield from _asset_views(ledger, asset)
    for participant in scope.participants:
        yield from _node_views(ledger, participant)
    for key in scope.grants:
        yield View(grant_text(key), "Market", "grantOf", key, astuple(ledger.grants[key].grant))
    for job_id in scope.jobs:
        yield View(job_text(job_id), "Market", "jobOf", (job_id,), astuple(ledger.jobs[job_id].job))
    for account in scope.accounts:
        owed = ledger.balances.get(account, 0)
        yield View(f"account {account}", "Market", "balanceOf", (account,), owed)


def _asset_views(ledger: Ledger, asset: int) -> Iterator[View]:
    subject = asset_text(asset)
    yield View(subject, "AssetRegistry", "ownerOf", (asset,), ledger.owners[asset].now())
    yield View(subject, "AssetRegistry", "metadataOf", (asset,), ledger.published[asset].metadata)
    epochs = ledger.epochs.get(asset)
    yield View(subject, "Market", "epochOf", (asset,), epochs.now() if epochs else 0)
    units = ledger.units.get(asset, {})
    if units:
        yield View(subject, "ContributionCredits", "totalUnits", (asset,), sum(units.values()))
    for account, count in units.items():
        yield View(subject, "ContributionCredits", "unitsOf", (asset, account), count)


def _node_views(ledger: Ledger, participant: str) -> Iterator[View]:
    subject, history = f"account {participant}", ledger.nodes.get(participant)
    node = history.now() if history else Node()
    yield View(subject, "ParticipantRegistry", "nodeOf", (participant,), node.account)
    yield View(subject, "ParticipantRegistry", "sealingKeyOf", (participant,), node.sealing_key)
    yield View(subject, "ParticipantRegistry", "epochOf", (participant,), node.epoch)
