"""What the market owes a wallet, what earned it, and getting it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from marketplace import settlement
from marketplace.client.place import Place
from marketplace.core.books import JobLine, Role
from marketplace.core.statement import Earned, Period, Statement, earned_by_dataset
from marketplace.core.vat import Papers
from marketplace.statements import Account, read_statement


class Earnings:
    """Money of one wallet on the market, in token units (6 decimals)."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def balance(self) -> int:
        """What the Market owes the wallet and pays out on `withdraw`."""
        return self._place.chain.balance(self._place.address)

    @property
    def held(self) -> int:
        """What the wallet itself holds."""
        return self._place.chain.token_balance(self._place.address)

    @property
    def pending(self) -> list[JobLine]:
        """Answered jobs on your datasets whose window or dispute is not over."""
        return self._account().pending()

    def by_dataset(self, first: date | None = None, last: date | None = None) -> list[Earned]:
        """What each of your datasets earned from the first to the last day, both included, UTC."""
        period = Period.of_days(first, last)
        return earned_by_dataset(line for line in self._account().lines() if period.holds(line.time))

    def withdraw(self, to: str | None = None) -> int:
        """Pays everything that is owed to the wallet, or to another address; the contract pays no part of it.

        Returns the amount. Raises RefusedError where nothing is owed.
        """
        place = self._place
        return settlement.withdraw(place.chain, place.account, to or place.address)[1]

    def statement(
        self,
        role: Literal["provider", "buyer"],
        first: date | None = None,
        last: date | None = None,
        *,
        papers: Papers | None = None,
    ) -> Statement:
        """The statement of a provider or a buyer for whole days, UTC, both included.

        papers: names, VAT ids and rates, as `Papers.read` takes them from a file. `marketplace.core.statement_forms`
        writes it as CSV, HTML or JSON. Raises IntegrityError where the events do not add up to the contract's balances.
        """
        place, period = self._place, Period.of_days(first, last)
        chosen: Literal[Role.provider, Role.buyer] = Role.provider if role == "provider" else Role.buyer
        return read_statement(
            place.chain, place.store, place.address, chosen, period, papers=papers, say=place.say
        )

    def _account(self) -> Account:
        return Account.read(self._place.chain, self._place.address)
