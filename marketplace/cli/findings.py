"""What `steelyard doctor` finds, and how checks are run: each for itself, each with an end.

Checks of other packages join through the entry-point group `steelyard.checks`: functions of a session, which change
nothing and yield findings. A session here makes no folder either.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from marketplace.cli.session import Session
from marketplace.errors import SteelyardError

Seconds = float


class Level(StrEnum):
    """How bad it is. Only `wrong` makes the command end with 1."""

    ok = "ok"
    warning = "warning"
    wrong = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line. what: what was looked at and found; do: how to mend it, empty where nothing is to be done."""

    level: Level
    name: str
    what: str
    do: str = ""


Check = Callable[[Session], Iterable[Finding]]


class LookingSession(Session):
    """A session that makes no home."""

    @property
    def home(self) -> Path:
        return self.settings.home


def ok(name: str, what: str) -> Finding:
    return Finding(Level.ok, name, what)


def warning(name: str, what: str, do: str) -> Finding:
    return Finding(Level.warning, name, what, do)


def wrong(name: str, what: str, do: str) -> Finding:
    return Finding(Level.wrong, name, what, do)


def of_error(name: str, error: SteelyardError, *, level: Level = Level.wrong, do: str = "") -> Finding:
    """A finding in the words of an error, which name no secret."""
    got = f": {error.got}" if error.got else ""
    return Finding(level, name, f"{error.what}{got}", do or error.do or "")


def run_checks(checks: Mapping[str, Check], here: Session, *, limit: Seconds) -> Iterator[Finding]:
    """Findings in the order of the checks, which run beside each other. limit: seconds for all of them together."""
    deadline = time.monotonic() + limit
    answers = {name: _begin(name, check, here) for name, check in checks.items()}
    for name, answer in answers.items():
        try:
            yield from answer.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            yield wrong(
                name, f"no answer within {limit:g} s", "Look at what it waits for: a disk, a service, load."
            )


def _begin(name: str, check: Check, here: Session) -> queue.SimpleQueue[list[Finding]]:
    answer: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()

    def work() -> None:
        found: list[Finding] = []
        try:
            found.extend(check(here))
        except SteelyardError as error:
            found.append(of_error(name, error))
        except Exception as error:  # a check that breaks must not hide the others
            found.append(
                wrong(name, f"the check broke: {type(error).__name__}: {error}", "Please report it.")
            )
        answer.put(found)

    threading.Thread(target=work, name=f"check of {name}", daemon=True).start()
    return answer
