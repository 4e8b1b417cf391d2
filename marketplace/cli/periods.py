"""`--from DATE --to DATE` as commands take them: whole days, UTC, both included."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from marketplace.core.statement import Period
from marketplace.errors import InputError

_DAY = 86_400

From = Annotated[
    str, typer.Option("--from", metavar="DATE", help="first day, UTC, as 2026-01-31; default all")
]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="last day, UTC; default until now")]


def parse_period(first: str, last: str) -> Period:
    """Raises InputError for what is no day, and where the last comes before the first."""
    start, end = _midnight(first), _midnight(last)
    if start is not None and end is not None and end < start:
        raise InputError("the period ends before it begins", got=f"{first} to {last}")
    return Period(start, None if end is None else end + _DAY)


def _midnight(text: str) -> int | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError("not a day", got=text[:80], expected="a date as 2026-01-31") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
