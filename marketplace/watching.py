"""Following a job: the chain's states always, a hub's live progress where there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from marketplace.chain.client import Chain
from marketplace.core.job import END_STATES, State
from marketplace.errors import UnavailableError
from marketplace.hub import HubClient, Live
from marketplace.lookup import no_such_job

_POLL_SECONDS = 0.25
_HUB_TIMEOUT = 2.0
ANSWERED = END_STATES | {State.submitted, State.faulted}
"""The states of a job that its node has answered, or will never answer."""


@dataclass(frozen=True)
class Seen:
    """One thing worth showing: a state on chain, or what the node says meanwhile (live, unproved); one of both."""

    state: State | None = None
    live: Live | None = None

    def __str__(self) -> str:
        if self.live is None:
            return f"state on chain: {self.state.name if self.state else 'none'}"
        done, of = self.live.done, self.live.of
        return f"node says: {self.live.stage}" + (f" {done}/{of} {'█' * (20 * done // of)}" if of else "")

    def to_json(self) -> dict[str, Any]:
        if self.live:
            return {"source": "hub", **asdict(self.live)}
        return {"source": "chain", "state": self.state.name if self.state else None}


def watch_job(
    chain: Chain,
    job_id: bytes,
    *,
    hub: str = "",
    until: frozenset[State] = ANSWERED,
    timeout: float | None = None,
) -> Iterator[Seen]:
    """Yields what changes until the job is in a state of `until`.

    hub: its URL, or nothing. timeout: seconds, None for no end.
    Raises NotFoundError for an unknown job, UnavailableError where the time ran out; the job goes on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    asked = HubClient(hub, _HUB_TIMEOUT) if hub else None
    last_state: State | None = None
    last_live: Live | None = None
    while True:
        # Confirmed, as all events are: what is told here can be read by the next command.
        state = chain.job(job_id, block=chain.confirmed_head()).state
        if state is State.none:
            raise no_such_job(job_id)
        live = asked.progress(job_id) if asked else None
        if live and live != last_live:
            last_live = live
            yield Seen(live=live)
        if state is not last_state:
            last_state = state
            yield Seen(state)
        if state in until:
            return
        _pause(state, until, deadline, timeout)


def _pause(state: State, until: frozenset[State], deadline: float | None, timeout: float | None) -> None:
    left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise UnavailableError(
            "the time ran out before the job got there",
            got=f"a job that is {state.name} after {timeout:g} s",
            expected="one that is " + " or ".join(wanted.name for wanted in sorted(until)),
            do="It goes on: wait again, or see `steelyard job status`.",
        )
    time.sleep(min(_POLL_SECONDS, left))
