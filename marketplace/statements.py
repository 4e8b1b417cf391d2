"""An account's statement, read from the chain; the shared store gives names to datasets and their makers, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

from marketplace.chain.client import Chain
from marketplace.core.books import Books, JobLine, Pot, Role
from marketplace.core.events import Event, NodeSet
from marketplace.core.statement import GasLine, Line, Names, Period, Statement, changes, lines_of, statement
from marketplace.core.vat import Papers
from marketplace.errors import IntegrityError, SteelyardError, UnavailableError
from marketplace.lookup import listing_of, published_datasets
from marketplace.storage import ContentStore

Say = Callable[[str], None]


@dataclass(frozen=True)
class Account:
    """All that the market's events say of one account, up to `block`."""

    chain: Chain
    address: str
    block: int
    events: tuple[Event, ...]

    @classmethod
    def read(cls, chain: Chain, address: str) -> Account:
        """Reads the events; one search, whatever the account. Raises UnavailableError without an endpoint."""
        block = chain.confirmed_head()
        return cls(chain, address, block, tuple(chain.logs(last=block)))

    @cached_property
    def books(self) -> Books:
        return Books.of(self.events, self.chain.deployment.limits)

    def lines(self, papers: Papers | None = None) -> list[Line]:
        """Every movement of its money, oldest first, which add up to what the contracts hold for it.

        Raises IntegrityError where they do not: then the endpoint hides or invents events.
        """
        flows = [flow for flow in self.books.flows if flow.names(self.address)]
        found = lines_of(flows, self.address, self._times({flow.at.block for flow in flows}), papers)
        held = changes(found)
        told = {
            Pot.balance: self.chain.balance(self.address, block=self.block),
            Pot.bond: self.chain.bond(self.address, block=self.block).held(),
        }
        for pot, units in told.items():
            if held[pot] != units:
                raise IntegrityError(
                    f"the account's events do not add up to its {pot}",
                    got=f"{held[pot]} units at block {self.block}",
                    expected=f"{units}, as the contract says",
                    do="Ask another endpoint, or run `steelyard audit verify all`.",
                )
        return found

    def pending(self) -> list[JobLine]:
        """Its answered jobs, as a provider, that are not paid yet."""
        return self.books.pending(self.address)

    def gas(self) -> list[GasLine]:
        """What it and its nodes paid for transactions that left an event of this market about it, oldest first.

        Not covered: transactions that left none, as token approvals and those that failed.
        """
        payers = {self.address, *self._nodes()}
        receipts = [self.chain.receipt(transaction) for transaction in self._transactions()]
        own = [receipt for receipt in receipts if receipt.sender in payers]
        times = self._times({receipt.block for receipt in own})
        return [
            GasLine(times[one.block], one.block, one.transaction, one.sender, one.gas_used * one.gas_price)
            for one in own
        ]

    def _nodes(self) -> set[str]:
        """Every hot key that it ever registered."""
        sets = (event for event in self.events if isinstance(event, NodeSet))
        return {event.node for event in sets if event.participant == self.address}

    def _transactions(self) -> Iterable[bytes]:
        return dict.fromkeys(event.at.transaction for event in self.events if self._is_about(event))

    def _is_about(self, event: Event) -> bool:
        job = self.books.jobs.get(getattr(event, "job_id", b""))
        if job and self.address in (job.provider, job.buyer):
            return True
        return any(getattr(event, field.name) == self.address for field in fields(event))

    def _times(self, blocks: set[int]) -> dict[int, int]:
        return {number: self.chain.block_time(number) for number in blocks}


def read_statement(
    chain: Chain,
    store: ContentStore,
    address: str,
    role: Literal[Role.provider, Role.buyer],
    period: Period,
    *,
    papers: Papers | None = None,
    say: Say | None = None,
) -> Statement:
    """An account's statement. say: is told where names are missing because the store is away.

    Raises IntegrityError where the events do not add up to the contracts' own balances.
    """
    account = Account.read(chain, address)
    lines = account.lines(papers)
    assets = {line.flow.asset for line in lines if line.flow.asset is not None}
    return statement(
        lines,
        address,
        role,
        period,
        block=account.block,
        currency=str(chain.call("TestEuro", "symbol"))[:20],
        chain_id=chain.deployment.chain_id,
        registry=chain.deployment.asset_registry,
        gas=account.gas(),
        papers=papers,
        names=names_of(chain, store, assets, say),
    )


def names_of(chain: Chain, store: ContentStore, assets: Iterable[int], say: Say | None = None) -> Names:
    """What listings call datasets, and the accounts that published them; ids alone where a listing cannot be read.

    A name is what a listing claims, no more.
    """
    datasets, accounts = {}, {}
    publishers = dict(published_datasets(chain))
    for asset in sorted(assets):
        try:
            listing = listing_of(chain, store, asset)
        except UnavailableError as error:
            if say:
                say(f"ids instead of names: {error}")
            break
        except SteelyardError:
            continue
        datasets[asset] = listing.slug
        accounts[publishers[asset]] = listing.creator.name
    return Names(datasets, accounts)
