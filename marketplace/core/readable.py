"""Amounts and times as people read and write them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from marketplace.errors import InputError

_EUROS = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")


def euros(units: int) -> str:
    """Token units (6 decimals), to the last one, as `12.5 EUR`."""
    whole, rest = divmod(units, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") + " EUR"


def exact_euros(units: int) -> str:
    """Token units as a decimal with all six places, as `12.500000`; for tables that programs read."""
    sign = "-" if units < 0 else ""
    return f"{sign}{abs(units) // 1_000_000}.{abs(units) % 1_000_000:06d}"


def exact_coin(wei: int) -> str:
    """Wei, 0 or more, as a decimal of the chain's own coin with all eighteen places."""
    return f"{wei // 10**18}.{wei % 10**18:018d}"


def parse_euros(text: str) -> int:
    """Token units in an amount of euros, as 12.50. Raises InputError for anything else."""
    found = _EUROS.fullmatch(text)
    units = int(found[1]) * 1_000_000 + int((found[2] or "").ljust(6, "0")) if found else 1 << 48
    if units >= 1 << 48:
        raise InputError(
            "not an amount", got=text[:80], expected="euros below 281 million, at most six decimals, as 12.50"
        )
    return units


def instant(seconds: int) -> str:
    """Unix seconds as `2026-11-23 08:15:00 UTC`; the number itself where no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"Unix second {seconds}"


def day(number: int) -> str:
    """Days since 1970, fewer than 65,536, as `2026-11-23`."""
    return instant(number * 86_400)[:10]
