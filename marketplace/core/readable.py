"""Amounts and times as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def euros(units: int) -> str:
    """Token units (6 decimals), to the last one, as `12.5 EUR`."""
    whole, rest = divmod(units, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") + " EUR"


def instant(seconds: int) -> str:
    """Unix seconds as `2026-11-23 08:15:00 UTC`; the number itself where no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"Unix second {seconds}"


def day(number: int) -> str:
    """Days since 1970, fewer than 65,536, as `2026-11-23`."""
    return instant(number * 86_400)[:10]
