"""Following a job: the chain's states always, a hub's live progress where there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from marketplace.cli.session import Session
from marketplace.core.job import END_STATES, State
from marketplace.hub import HubClient, Live
from marketplace.lookup import no_such_job

_POLL_SECONDS = 0.25
_HUB_TIMEOUT = 2.0
ANSWERED = END_STATES | {State.submitted, State.faulted}


@dataclass(frozen=True)
class Seen:
    """One thing worth showing: a state on chain, or what the node says meanwhile (live, unproved)."""

    state: str = ""
    live: Live | None = None

    @property
    def line(self) -> str:
        if self.live is None:
            return f"state on chain: {self.state}"
        done, of = self.live.done, self.live.of
        text = f"node says: {self.live.stage}"
        if of:
            text += f" {done}/{of} {'█' * (20 * done // of)}"
        if self.live.position:
            text += f", number {self.live.position} in its queue"
        if self.live.seconds:
            text += f"; an answer in about {self.live.seconds} s"
        return text

    def to_json(self) -> dict[str, Any]:
        return (
            {"source": "hub", **asdict(self.live)} if self.live else {"source": "chain", "state": self.state}
        )


def watch_job(here: Session, job_id: bytes, *, until_end: bool) -> Iterator[Seen]:
    """Yields what changes until the job has an answer (or has ended). Raises NotFoundError for an unknown job."""
    finished = END_STATES if until_end else ANSWERED
    hub = HubClient(here.settings.hub, _HUB_TIMEOUT) if here.settings.hub else None
    last_state: State | None = None
    last_live: Live | None = None
    while True:
        # Confirmed, as all events are: what is told here can be read by the next command.
        state = here.chain.job(job_id, block=here.chain.confirmed_head()).state
        if state is State.none:
            raise no_such_job(job_id)
        live = hub.progress(job_id) if hub else None
        if live and live != last_live:
            last_live = live
            yield Seen(live=live)
        if state is not last_state:
            last_state = state
            yield Seen(state=state.name)
        if state in finished:
            return
        time.sleep(_POLL_SECONDS)
