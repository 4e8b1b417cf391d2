"""What services write while they run: a line for people, or one JSON object a line for programs (`--json`).

Each object has `time` (UTC), `level`, `logger` and `event`; then what the event is about: `job`, `transaction`, `url`.

Covered: a line holds one event, whatever strangers wrote into it; foreign libraries say warnings and errors only, so no
URL of theirs with a password in it; of an error that is none of ours only its type and place are told, never its
message, which may hold data. Not covered: who may read the stream; give it to a journal with rights of its own.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
import unicodedata
from datetime import UTC, datetime
from typing import Protocol

from marketplace.errors import SteelyardError

_MOST = 2_000
"""Characters of one text in a line."""


class Say(Protocol):
    """Says one event. job: 32 bytes, of the job that it is about. fields: more of it, for programs."""

    def __call__(self, event: str, /, *, job: bytes | None = None, **fields: object) -> None: ...


def begin(*, as_json: bool) -> None:
    """From now on this process's log goes to stdout in one form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLine() if as_json else _TextLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("steelyard").setLevel(logging.INFO)


def teller(service: str) -> Say:
    """Says events of a service into the log."""
    logger = logging.getLogger(f"steelyard.{service}")

    def say(event: str, /, *, job: bytes | None = None, **fields: object) -> None:
        named = fields if job is None else {"job": job, **fields}
        logger.info(line(event, job), extra={"event": event, "fields": named})

    return say


def line(event: str, job: bytes | None = None) -> str:
    """An event for people."""
    return event if job is None else f"job 0x{job.hex()} {event}"


def described(error: BaseException) -> str:
    """An error as a log may hold it: all of ours, which name no secrets; type and place of any other."""
    if isinstance(error, SteelyardError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place


def _described(record: logging.LogRecord) -> str | None:
    return described(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", None) or record.getMessage(),
            **getattr(record, "fields", {}),
            "error": _described(record),
        }
        return json.dumps({name: _plain(value) for name, value in found.items() if value is not None})


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        if error := _described(record):
            text += f": {error}"
        return "".join(c for c in text if unicodedata.category(c)[0] != "C")[:_MOST]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool | int | float):
        return value
    return str(value)[:_MOST]
