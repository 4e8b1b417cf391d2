"""An event's details as people read them: euros, times, names, short ids. Programs take --json, which has all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marketplace.cli.output import short
from marketplace.core.job import Fault
from marketplace.core.policy import reason_code
from marketplace.core.readable import day, euros, instant

_LEFT_OUT = frozenset({"jobId", "signature", "wrapped_key"})
"""Bytes that say nothing to people, and what the receipt repeats."""


def in_words(details: Mapping[str, Any]) -> str:
    """As `job 0x1234…, amount 2.5 EUR`."""
    return ", ".join(_one(name, value) for name, value in details.items() if name not in _LEFT_OUT)


def _one(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return in_words(value)
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).replace("_", " ")
    return f"{words.removesuffix(' id')} {_READERS.get(name, _plain)(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short(str(value))


def _reason(value: Any) -> str:
    return reason_code(bytes.fromhex(str(value).removeprefix("0x")))


_READERS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("price", "amount", "fee", "refund"), euros),
    **dict.fromkeys(("until", "startedAt", "finishedAt"), instant),
    "last_day": day,
    "fault": lambda value: Fault(value).name,
    "reason": _reason,
}
