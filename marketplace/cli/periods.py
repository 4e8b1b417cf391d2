"""`--from DATE --to DATE` as commands take them: whole days, UTC, both included."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from marketplace.core.statement import Period
from marketplace.errors import InputError

From = Annotated[
    str, typer.Option("--from", metavar="DATE", help="first day, UTC, as 2026-01-31; default all")
]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="last day, UTC; default until now")]


def parse_period(first: str, last: str) -> Period:
    """Raises InputError for what is no day, and where the last comes before the first."""
    return Period.of_days(_day(first), _day(last))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError("not a day", got=text[:80], expected="a date as 2026-01-31") from None
