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

from marketplace.api.limits import Buckets, Rate
from marketplace.core.eip712 import Domain
from marketplace.core.job import Progress, State
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError

MAX_STAGE = 64
"""Characters of a stage."""

MAX_JOBS = 10_000
"""Jobs remembered; the one that was quiet longest is forgotten first."""

RATE = Rate(per_second=10, burst=40)
"""Messages of one job."""


@dataclass(frozen=True)
class Reporter:
    """What the catalogue knows about a job: its state and the present node of its provider, if one is set."""

    state: State
    node: str | None


class ProgressBoard:
    """The last message of every job. Safe to use from several threads."""

    def __init__(self, domain: Domain, clock: Callable[[], float] = time.monotonic) -> None:
        self._domain = domain
        self._buckets = Buckets(RATE, clock)
        self._last: OrderedDict[bytes, Progress] = OrderedDict()
        self._lock = threading.Lock()

    def last(self, job_id: bytes) -> Progress | None:
        with self._lock:
            return self._last.get(job_id)

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
            last = self._last.get(progress.job_id)
            if last and progress.sequence <= last.sequence:
                raise RefusedError(
                    "progress does not rise", got=progress.sequence, expected=f"more than {last.sequence}"
                )
            self._buckets.take(progress.job_id, 1, "messages of one job")
            self._last[progress.job_id] = progress
            self._last.move_to_end(progress.job_id)
            if len(self._last) > MAX_JOBS:
                self._last.popitem(last=False)


def _check_stage(progress: Progress) -> None:
    if not 1 <= len(progress.stage) <= MAX_STAGE or not progress.stage.isprintable():
        raise InputError(
            "Progress.stage does not fit",
            got=repr(progress.stage[:MAX_STAGE]),
            expected=f"1 to {MAX_STAGE} printable characters",
        )
    if progress.done > progress.of:
        raise InputError("Progress.done does not fit", got=progress.done, expected=f"at most {progress.of}")
