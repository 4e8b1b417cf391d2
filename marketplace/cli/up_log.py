"""What the services of `steelyard up` wrote: one file in the home, of bounded size."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from marketplace.errors import UnavailableError
from marketplace.supervisor import Say

LOG = "up.log"
_BYTES, _OLD = 4 * 1024**2, 3


@contextmanager
def open_log(home: Path) -> Iterator[Say]:
    """Writes lines of services, from any thread. Raises UnavailableError where the file cannot be opened."""
    try:
        handler = RotatingFileHandler(home / LOG, maxBytes=_BYTES, backupCount=_OLD, encoding="utf-8")
    except OSError as error:
        raise UnavailableError("the log cannot be opened", got=f"{home / LOG}: {error.strerror}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))

    def log(name: str, text: str) -> None:
        handler.handle(logging.LogRecord(name, logging.INFO, "", 0, "%s", (text,), None))

    try:
        yield log
    finally:
        handler.close()
