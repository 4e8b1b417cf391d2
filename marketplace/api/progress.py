"""Live progress of jobs, as nodes post it: signed, rising, bounded, kept in memory only.

Covered: a message counts only if the present node of the job's provider signed it for this market, the job is open
and the sequence rises, so nobody else can write, and nothing can be replayed while the hub runs.
Not covered: what a node says of itself need not be true; and a hub that was restarted has forgotten all of it, so
until the node's next message an older one of the same job could be shown again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from marketplace.core.eip712 import Domain
from marketplace.core.job import Progress, State
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError, TooManyError

MAX_STAGE = 64
"""Characters of a stage."""

MAX_JOBS = 10_000
"""Jobs remembered; the one that was quiet longest is forgotten first."""

RATE = 10.0
BURST = 40.0
"""Messages of one job: RATE per second in the long run, BURST at once."""


@dataclass(frozen=True)
class Reporter:
    """What the catalogue knows about a job: its state and the present node of its provider, if one is set."""

    state: State
    node: str | None


@dataclass
class _Line:
    """One job's last message, and what it may still send (a token bucket)."""

    last: Progress
    tokens: float
    at: float


class ProgressBoard:
    """The last message of every job. Safe to use from several threads."""

    def __init__(self, domain: Domain, clock: Callable[[], float] = time.monotonic) -> None:
        self._domain = domain
        self._clock = clock
        self._lines: OrderedDict[bytes, _Line] = OrderedDict()
        self._lock = threading.Lock()

    def last(self, job_id: bytes) -> Progress | None:
        with self._lock:
            line = self._lines.get(job_id)
            return line.last if line else None

    def post(self, progress: Progress, signature: bytes, reporter: Reporter | None) -> None:
        """Keeps the message.

        reporter: the job as the catalogue has it; None where it has none.
        Raises NotFoundError, InputError for a stage that is no short word or a signature that is none,
        RefusedError for another signer, a job that is not open or a sequence that does not rise,
        TooManyError above the rate.
        """
        if reporter is None:
            raise NotFoundError(
                "no such job", got="0x" + progress.job_id.hex(), do="It may not be confirmed yet."
            )
        _check_stage(progress)
        if reporter.state is not State.open:
            raise RefusedError("the job is not running", got=reporter.state.name, expected=State.open.name)
        signer = self._signer(progress, signature)
        if signer != reporter.node:
            raise RefusedError(
                "progress is signed by someone else",
                got=signer,
                expected=f"the provider's node, {reporter.node}",
            )
        self._keep(progress)

    def _signer(self, progress: Progress, signature: bytes) -> str:
        try:
            return progress.signer(self._domain, signature)
        except IntegrityError as error:
            raise InputError(error.what, got=error.got, expected=error.expected) from None

    def _keep(self, progress: Progress) -> None:
        with self._lock:
            now, line = self._clock(), self._lines.get(progress.job_id)
            if line and progress.sequence <= line.last.sequence:
                raise RefusedError(
                    "progress does not rise",
                    got=progress.sequence,
                    expected=f"more than {line.last.sequence}",
                )
            tokens = min(BURST, line.tokens + (now - line.at) * RATE) if line else BURST
            if tokens < 1:
                raise TooManyError(
                    "too much progress", expected=f"at most {RATE:g} messages a second", do="Send fewer."
                )
            self._lines[progress.job_id] = _Line(progress, tokens - 1, now)
            self._lines.move_to_end(progress.job_id)
            if len(self._lines) > MAX_JOBS:
                self._lines.popitem(last=False)


def _check_stage(progress: Progress) -> None:
    if not 1 <= len(progress.stage) <= MAX_STAGE or not progress.stage.isprintable():
        raise InputError(
            "Progress.stage does not fit",
            got=repr(progress.stage[:MAX_STAGE]),
            expected=f"1 to {MAX_STAGE} printable characters",
        )
    if progress.done > progress.of:
        raise InputError("Progress.done does not fit", got=progress.done, expected=f"at most {progress.of}")
