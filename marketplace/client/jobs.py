"""Jobs that were opened, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from marketplace import disputes, jobs, results, settlement, verify
from marketplace.client.place import Place
from marketplace.core.canonical import parse_json
from marketplace.core.ids import Did, parse_digest
from marketplace.core.job import END_STATES, Ground, Receipt, Request, State
from marketplace.lookup import did_of, job_opened, request_of
from marketplace.results import Result, Status
from marketplace.verify import Report
from marketplace.watching import ANSWERED, Seen, watch_job

Until = Literal["submitted", "ended"]
"""submitted: the node answered, or never will. ended: money has moved too."""
_STATES: dict[Until, frozenset[State]] = {"submitted": ANSWERED, "ended": END_STATES}


class Jobs:
    """The jobs of a wallet, oldest first."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __getitem__(self, job_id: str) -> Job:
        """A job by its id, 0x-hex; anybody's can be looked at. Raises NotFoundError, or InputError for no id."""
        return Job(self._place, request_of(job_opened(self._place.chain, parse_digest(job_id, "job id"))))

    def __iter__(self) -> Iterator[Job]:
        for event in jobs.opened_by(self._place.chain, self._place.address):
            yield Job(self._place, request_of(event))


class Job:
    """A job on somebody else's data."""

    def __init__(self, place: Place, request: Request) -> None:
        self._place = place
        self.request = request

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    @property
    def id(self) -> str:
        """0x-hex, as commands take it."""
        return "0x" + self.request.job_id.hex()

    @property
    def state(self) -> State:
        """Its state at the newest confirmed block."""
        chain = self._place.chain
        return chain.job(self.request.job_id, block=chain.confirmed_head()).state

    @property
    def status(self) -> Status:
        """State, history, and the reason where it was rejected or failed (`.note`)."""
        return results.status(self._place.chain, self._place.store, self.request.job_id)

    def watch(self, *, until: Until = "submitted", timeout: float | None = None) -> Iterator[Seen]:
        """Yields what changes: `.state` on chain, or `.live`, the node's word by way of the hub, which nothing proves.

        timeout: seconds. Raises UnavailableError where the time ran out; the job goes on.
        """
        hub = self._place.settings.hub
        return watch_job(
            self._place.chain, self.request.job_id, hub=hub, until=_STATES[until], timeout=timeout
        )

    def wait(self, timeout: float | None = None, *, until: Until = "submitted") -> State:
        """As `watch`, in silence; returns the state that it ended in."""
        for seen in self.watch(until=until, timeout=timeout):
            self._place.say(str(seen))
        return self.state

    def result(self, timeout: float | None = None) -> Model:
        """What came back, opened with the key that this home made for the job, every digest checked; waits for it.

        Raises RefusedError where there is none and why, IntegrityError where anything does not fit the receipt.
        """
        place = self._place
        self.wait(timeout)
        opened = results.open_result(place.chain, place.store, place.keyring, self.request.job_id)
        return Model(self, opened)

    def expire(self) -> State:
        """After its deadline without an answer: everything back to the buyer. Raises RefusedError before it."""
        settlement.expire(self._place.chain, self._place.account, self.request)
        return self.state

    def dispute(self, ground: Literal["unavailable", "malformed", "other"], words: str = "") -> State:
        """Disputes a result or a fault within its window, and stakes the market's challenge bond.

        words: what is wrong; everybody can read it. Raises RefusedError where the offer names no judge of that.
        """
        place = self._place
        case = disputes.case_of(place.chain, place.store, self.request.job_id)
        disputes.dispute(place.chain, place.store, place.account, case, Ground[ground], words)
        return self.state

    def verify(self) -> Report:
        """Audits the job. `.ok`, `.checks` (proved and claimed lines), `.failures()`."""
        return verify.verify(self._place.chain, self._place.store, self.request.job_id)


class Model:
    """A job's opened output. `files`: content by name, as the algorithm declared them."""

    def __init__(self, job: Job, opened: Result) -> None:
        self.job = job
        self.files: dict[str, bytes] = opened.files
        self.receipt: Receipt = opened.receipt
        self._place = job._place

    def __repr__(self) -> str:
        return f"Model({self.job.id!r}, files={sorted(self.files)})"

    @property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds; empty where there is no such file."""
        data = self.files.get("metrics.json", b"{}")
        found = parse_json(data, what="metrics.json", limit=len(data))
        return found if isinstance(found, dict) else {}

    def save(self, folder: str | Path) -> list[Path]:
        """Writes the files into a folder that must be new or empty; all of them or none."""
        return results.write_files(self.files, Path(folder))

    def verify(self) -> Report:
        """Audits the job that made it. `.ok`, `.checks` (proved and claimed lines), `.failures()`."""
        return self.job.verify()

    def accept(self) -> State:
        """Settles the job now: the provider is credited. Raises RefusedError unless it is submitted."""
        settlement.accept(self._place.chain, self._place.account, self.job.request)
        return self.job.state

    def dispute(self, ground: Literal["unavailable", "malformed", "other"], words: str = "") -> State:
        """As `Job.dispute`."""
        return self.job.dispute(ground, words)

    def register(self, name: str) -> Did:
        """Publishes a card of the model, with its metrics; you own it, the data's owner gets its credit.

        Raises RefusedError unless the job is settled, or where its model is registered already.
        """
        place, request = self._place, self.job.request
        card = results.model_card(place.chain, place.store, place.keyring, request, name, self.metrics)
        _, token = settlement.register_model(place.chain, place.store, place.account, request, card)
        return did_of(place.chain, token)
