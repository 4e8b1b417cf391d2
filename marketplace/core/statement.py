"""A statement of account: all money of one account on the market in a period, by role, with opening and closing. Pure.

Made of `marketplace.core.books`, so of the chain alone, and of what the owner says of names and taxes. A provider's
statement and a buyer's show their own lines; what the same account did in the other role stands in one sum, so that
opening, lines and closing always add up. Amounts are units of the Market's token, all >= 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

from marketplace.core.books import ROLES, Flow, Kind, Place, Pot, Role
from marketplace.core.ids import Did
from marketplace.core.vat import Papers, Party, Tax
from marketplace.errors import InputError

HELD = (Pot.balance, Pot.bond, Pot.escrow)
"""The pots that the Market holds; the wallet is the account's own affair."""
OTHER = "counterparty"
_DAY = 86_400
_TAXED = (Kind.sale, Kind.fee)


@dataclass(frozen=True)
class Period:
    """Unix seconds: from `first` on, before `end`. None: without that bound."""

    first: int | None = None
    end: int | None = None

    @classmethod
    def of_days(cls, first: date | None, last: date | None) -> Period:
        """Whole days, UTC, both included. Raises InputError where the last comes before the first."""
        if first and last and last < first:
            raise InputError("the period ends before it begins", got=f"{first} to {last}")
        return cls(_midnight(first) if first else None, _midnight(last) + _DAY if last else None)

    def is_before(self, time: int) -> bool:
        """Whether `time` lies before the period."""
        return self.first is not None and time < self.first

    def holds(self, time: int) -> bool:
        return not self.is_before(time) and (self.end is None or time < self.end)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Line:
    """A flow as the account sees it. time: Unix seconds. source, target: a pot's name, or `counterparty`.

    counterparty: an address, or empty where there is none. role: as what the account took part.
    """

    flow: Flow
    time: int
    role: Role
    source: str
    target: str
    counterparty: str
    tax: Tax | None


@dataclass(frozen=True)
class GasLine:
    """What a transaction cost in gas. payer: the account, or a node of it. wei: of the chain's own coin."""

    time: int
    block: int
    transaction: bytes
    payer: str
    wei: int


@dataclass(frozen=True)
class Names:
    """What ids are called where that is known: datasets by token id, accounts by address."""

    datasets: Mapping[int, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sum:
    """All lines of a kind that went the same way."""

    kind: Kind
    source: str
    target: str
    count: int
    amount: int


@dataclass(frozen=True)
class TaxSum:
    """VAT of all lines of one direction, rate and note. way: `sold` or `bought`. Cents."""

    way: str
    percent: str
    note: str
    gross_cents: int
    vat_cents: int
    net_cents: int

    @classmethod
    def of(cls, way: str, percent: str, note: str, taxes: list[Tax]) -> TaxSum:
        gross, vat = sum(tax.gross_cents for tax in taxes), sum(tax.vat_cents for tax in taxes)
        return cls(way, percent, note, gross, vat, gross - vat)


@dataclass(frozen=True)
class Statement:
    """One account's statement in one role.

    opening, closing, elsewhere: by pot; elsewhere is what lines of the other role changed. block: the last one read.
    currency: the token's symbol; it has 6 decimals. chain_id, registry: where the assets are registered.
    """

    account: str
    role: Literal[Role.provider, Role.buyer]
    period: Period
    block: int
    currency: str
    chain_id: int
    registry: str
    opening: Mapping[Pot, int]
    closing: Mapping[Pot, int]
    elsewhere: Mapping[Pot, int]
    lines: tuple[Line, ...]
    gas: tuple[GasLine, ...]
    papers: Papers
    names: Names

    def sums(self) -> list[Sum]:
        """Per kind and direction."""
        found: dict[tuple[Kind, str, str], list[int]] = {}
        for line in self.lines:
            found.setdefault((line.flow.kind, line.source, line.target), []).append(line.flow.amount)
        sums = [Sum(*key, len(amounts), sum(amounts)) for key, amounts in found.items()]
        return sorted(sums, key=lambda one: (list(Kind).index(one.kind), one.source, one.target))

    def taxes(self) -> list[TaxSum]:
        """Per direction, rate and note: the sums of what the lines say in cents."""
        found: dict[tuple[str, str, str], list[Tax]] = {}
        for line in self.lines:
            if line.tax:
                way = "bought" if line.target == OTHER else "sold"
                found.setdefault((way, line.tax.percent, line.tax.note), []).append(line.tax)
        return [TaxSum.of(*key, taxes) for key, taxes in sorted(found.items())]

    def gas_wei(self) -> int:
        return sum(line.wei for line in self.gas)

    def did(self, asset: int | None) -> str:
        """The asset's DID, which every command takes; empty for none."""
        return "" if asset is None else str(Did(self.chain_id, self.registry, asset))

    def dataset_name(self, asset: int | None) -> str:
        return "" if asset is None else self.names.datasets.get(asset, "")

    def name_of(self, account: str) -> str:
        """What an account is called: as the owner says, else as its listings do."""
        return self.papers.party(account).name or self.names.accounts.get(account, "")

    def parties(self, line: Line) -> tuple[Party, Party]:
        """Seller and buyer of a taxed line."""
        other = self.papers.party(line.counterparty)
        return (other, self.papers.own) if line.target == OTHER else (self.papers.own, other)


def lines_of(
    flows: Iterable[Flow], account: str, times: Mapping[int, int], papers: Papers | None = None
) -> list[Line]:
    """Every flow that the account has part in, as it sees it. times: Unix seconds of each block of these."""
    known = papers or Papers()
    return [_line(flow, account, times[flow.at.block], known) for flow in flows if flow.names(account)]


def _line(flow: Flow, account: str, time: int, papers: Papers) -> Line:
    paying, getting = flow.source[0] == account, flow.target[0] == account
    payer, payee = ROLES[flow.kind]
    if paying and getting:
        role, other = payer if payer is payee else Role.anyone, flow.about
    else:
        role, other = (payer, flow.target[0]) if paying else (payee, flow.source[0])
    tax = None
    if flow.kind in _TAXED and paying != getting:
        tax = papers.tax(flow.amount, other, selling=getting)
    return Line(flow, time, role, _end(flow.source, account), _end(flow.target, account), other, tax)


def _end(place: Place, account: str) -> str:
    return place[1].value if place[0] == account else OTHER


def changes(lines: Iterable[Line]) -> dict[Pot, int]:
    """What lines change in each pot that the Market holds."""
    held = dict.fromkeys(HELD, 0)
    for line in lines:
        if line.source in HELD:
            held[Pot(line.source)] -= line.flow.amount
        if line.target in HELD:
            held[Pot(line.target)] += line.flow.amount
    return held


@dataclass(frozen=True)
class Earned:
    """What a provider's dataset brought. jobs: those that were paid for, wholly or by a fee."""

    asset: int
    jobs: int
    sales: int
    fees: int
    penalties: int


def earned_by_dataset(lines: Iterable[Line]) -> list[Earned]:
    """Per dataset in the order of their first earnings; only lines in which the account is the provider count."""
    amounts: dict[int, dict[Kind, int]] = {}
    jobs: dict[int, set[bytes]] = {}
    for line in lines:
        flow = line.flow
        if line.role is Role.provider and flow.asset is not None and flow.job:
            kinds = amounts.setdefault(flow.asset, dict.fromkeys(Kind, 0))
            kinds[flow.kind] += flow.amount
            paid = jobs.setdefault(flow.asset, set())
            paid.update([flow.job] if flow.kind in _TAXED else [])
    return [
        Earned(asset, len(jobs[asset]), found[Kind.sale], found[Kind.fee], found[Kind.penalty])
        for asset, found in amounts.items()
    ]


def statement(
    lines: list[Line],
    account: str,
    role: Literal[Role.provider, Role.buyer],
    period: Period,
    *,
    block: int,
    currency: str,
    chain_id: int,
    registry: str,
    gas: Iterable[GasLine] = (),
    papers: Papers | None = None,
    names: Names | None = None,
) -> Statement:
    """The statement of `lines`: all of the account up to `block`. Lines of neither role, or of both, are shown."""
    opening = changes(line for line in lines if period.is_before(line.time))
    within = [line for line in lines if period.holds(line.time)]
    hidden = Role.buyer if role is Role.provider else Role.provider
    elsewhere = changes(line for line in within if line.role is hidden)
    change = changes(within)
    return Statement(
        account=account,
        role=role,
        period=period,
        block=block,
        currency=currency,
        chain_id=chain_id,
        registry=registry,
        opening=opening,
        closing={pot: opening[pot] + change[pot] for pot in HELD},
        elsewhere=elsewhere,
        lines=tuple(line for line in within if line.role is not hidden),
        gas=tuple(line for line in gas if period.holds(line.time)),
        papers=papers or Papers(),
        names=names or Names(),
    )
