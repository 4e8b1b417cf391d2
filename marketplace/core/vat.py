"""The VAT in an amount, and who trades under which VAT id and rate, as an owner says in `statement.toml`. Pure.

```toml
[own]
name = "North Works GmbH"
address = "Quay 1, 20457 Hamburg"
vat_id = "DE123456789"
vat_rate = "19"                     # percent, of your own sales

[counterparties."0x1111111111111111111111111111111111111111"]
name = "A startup"
vat_id = "FR12345678901"
reverse_charge = true
```
Nothing of it ever goes on chain. Which rate is right is the owner's to know: prices are taken to include the tax.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from marketplace.core.document import Document
from marketplace.core.eip712 import parse_address
from marketplace.errors import InputError

FILE = "statement.toml"
MAX_FILE_BYTES = 65_536
_MOST_COUNTERPARTIES = 1_000
_UNITS_PER_CENT = 10_000
REVERSE_CHARGE = "reverse charge"

Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?$")]


class Party(Document):
    """Somebody as an invoice names him. vat_rate: percent as text, of what he sells; empty where it is not known."""

    WHAT: ClassVar[str] = FILE
    name: Line = ""
    address: Line = ""
    vat_id: Line = ""
    vat_rate: Percent | None = None
    reverse_charge: bool = False


class Papers(Document):
    """What the owner says. counterparties: by checksummed address."""

    WHAT: ClassVar[str] = FILE
    own: Party = Party()
    counterparties: dict[str, Party] = Field(default_factory=dict)

    @classmethod
    def read(cls, data: bytes) -> Papers:
        """The papers in a file. Raises InputError that names what does not fit."""
        if len(data) > MAX_FILE_BYTES:
            raise InputError(
                f"{FILE} is too large", got=f"{len(data)} bytes", expected=f"<= {MAX_FILE_BYTES}"
            )
        try:
            table: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{FILE} is not TOML", got=error, expected="TOML 1.0 in UTF-8") from None
        found = cls.of(table)
        if len(found.counterparties) > _MOST_COUNTERPARTIES:
            raise InputError(f"{FILE} names too many", expected=f"<= {_MOST_COUNTERPARTIES} counterparties")
        others = {parse_address(name, where=FILE): party for name, party in found.counterparties.items()}
        return cls(own=found.own, counterparties=others)

    def party(self, account: str) -> Party:
        """Who has that account; an empty party where the owner does not say."""
        return self.counterparties.get(account, Party())

    def tax(self, units: int, other: str, *, selling: bool) -> Tax | None:
        """The VAT in a sale to `other`, or in a purchase from it; None where no rate is known.

        A counterparty's own rate counts for what it sells; for your sales yours does, unless the charge is reversed.
        """
        party = self.party(other)
        if party.reverse_charge:
            return Tax(units, 0, REVERSE_CHARGE)
        rate = self.own.vat_rate if selling else party.vat_rate
        return None if rate is None else Tax(units, _basis_points(rate))


@dataclass(frozen=True)
class Tax:
    """The VAT that an amount of token units (6 decimals) contains. rate_bps: hundredths of a percent.

    Cents are rounded half up; the net is what is left of the rounded gross, so that the three always add up.
    """

    units: int
    rate_bps: int
    note: str = ""

    @property
    def gross_cents(self) -> int:
        return cents_half_up(self.units)

    @property
    def vat_cents(self) -> int:
        return _divide_half_up(self.units * self.rate_bps, (10_000 + self.rate_bps) * _UNITS_PER_CENT)

    @property
    def net_cents(self) -> int:
        return self.gross_cents - self.vat_cents

    @property
    def percent(self) -> str:
        """The rate as `19` or `5.5`."""
        whole, rest = divmod(self.rate_bps, 100)
        return f"{whole}.{rest:02d}".rstrip("0").rstrip(".")


def cents_half_up(units: int) -> int:
    """Token units (6 decimals, 0 or more) in cents, rounded half up."""
    return _divide_half_up(units, _UNITS_PER_CENT)


def _divide_half_up(number: int, by: int) -> int:
    return (2 * number + by) // (2 * by)


def _basis_points(percent: str) -> int:
    found = re.fullmatch(r"([0-9]{1,2})(?:\.([0-9]{1,2}))?", percent)
    if found is None:
        raise InputError("not a rate of VAT", got=percent, expected="a percentage as 19 or 5.5")
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
