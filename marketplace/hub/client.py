"""The client of a hub: what it lists and says, as types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from marketplace.core.canonical import JsonValue, canonical, sha256
from marketplace.core.forward import ForwardRequest
from marketplace.core.job import END_STATES
from marketplace.errors import IntegrityError, SteelyardError
from marketplace.hub.asking import Asking, M, printable
from marketplace.hub.stream import follow
from marketplace.wire import assets as listed
from marketplace.wire import events as told
from marketplace.wire import sponsor as carried
from marketplace.wire import trade

T = TypeVar("T")

SPONSOR_SECONDS = 180.0
"""How long a sponsor may take until a call is confirmed."""

_ENDS = frozenset(state.name for state in END_STATES)


@dataclass(frozen=True)
class Live:
    """A node's last word about a job, as the hub passes it on; not proved."""

    stage: str
    done: int
    of: int


class HubClient:
    """One hub. url: as `http://127.0.0.1:8000`.

    Lists are read page by page as they are walked through. All methods but `progress` raise IntegrityError for an
    answer that does not parse, UnavailableError where the hub does not answer, and what its problems stand for.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._hub = Asking(url, timeout)
        self.close = self._hub.close

    def search(self, words: str) -> list[dict[str, Any]]:
        """Datasets that fit the words, newest first, at most 100; each has id, owner, slug, name, rows, price."""
        found = self._hub.get(listed.Assets, "/assets", {"query": words, "kind": "dataset", "limit": "100"})
        return [_shown(hit) for hit in found.assets]

    def progress(self, job_id: bytes) -> Live | None:
        """Live progress, or None: a hub that is away or odd is no reason to stop watching."""
        try:
            found = self._hub.json(f"/jobs/0x{job_id.hex()}", {})
            value = found.get("progress") if isinstance(found, dict) else None
            if value is None:
                return None
            word = self._hub.typed(trade.Progress, value)
        except SteelyardError:
            return None
        fits = word.done <= word.of
        return Live(printable(word.stage, 80), word.done if fits else 0, word.of if fits else 0)

    def health(self) -> listed.Health:
        """How far the hub has read."""
        return self._hub.get(listed.Health, "/health", {}, versioned=False)

    def deployment_digest(self) -> bytes:
        """SHA-256 of the deployment file that the hub follows."""
        return sha256(canonical(self._hub.json("/deployment", {})))

    def assets(self, query: str = "", **filters: str) -> Iterator[listed.Hit]:
        """All assets that fit, newest first. filters: kind, owner, max_price, purpose."""
        given = {"query": query, **filters}
        return self._walk(listed.Assets, "/assets", given, lambda page: (page.assets, page.next))

    def asset(self, asset: str) -> listed.Asset:
        """One asset, by token id or DID."""
        return self._hub.get(listed.Asset, f"/assets/{asset}", {})

    def offers(self, asset: str) -> Iterator[listed.Offer]:
        """All offers that were announced for an asset, newest first."""
        return self._walk(listed.Offers, f"/assets/{asset}/offers", {}, lambda page: (page.offers, page.next))

    def models(self, **filters: str) -> Iterator[listed.Model]:
        """All models that fit, newest first. filters: owner, holder."""
        return self._walk(listed.Models, "/models", filters, lambda page: (page.models, page.next))

    def jobs(self, **filters: str) -> Iterator[trade.JobSummary]:
        """All jobs that fit, newest first. filters: buyer, provider, asset, state."""
        return self._walk(trade.Jobs, "/jobs", filters, lambda page: (page.jobs, page.next))

    def job(self, job_id: bytes) -> trade.LiveJob:
        """One job with its history and live progress."""
        return self._hub.get(trade.LiveJob, f"/jobs/0x{job_id.hex()}", {})

    def grants(self, **filters: str) -> Iterator[trade.Grant]:
        """All grants that fit. filters: buyer, provider, asset."""
        return self._walk(trade.Grants, "/grants", filters, lambda page: (page.grants, page.next))

    def participants(self) -> Iterator[trade.Participant]:
        """Everybody who traded."""
        return self._walk(
            trade.Participants, "/participants", {}, lambda page: (page.participants, page.next)
        )

    def participant(self, account: str) -> trade.Participant:
        """What an account has traded."""
        return self._hub.get(trade.Participant, f"/participants/{account}", {})

    def watch(self, job_id: bytes) -> Iterator[trade.Job | trade.Progress]:
        """The job whenever the chain changed it, and its node's word meanwhile; ends when the job has, or is gone."""
        for event in follow(self._hub, f"/jobs/0x{job_id.hex()}/events"):
            if event.kind == "gone":
                return
            if event.kind == "progress":
                yield self._hub.typed(trade.Progress, event.data)
            elif event.kind == "state":
                job = self._hub.typed(trade.Job, event.data)
                yield job
                if job.state in _ENDS:
                    return

    def events(self, *, after: str | None = None) -> Iterator[told.MarketEvent | told.Reorganised]:
        """The market's events, without end and without gaps. after: the id of an event, or `start`; None: from now.

        A `Reorganised` names events that the chain took back.
        """
        for event in follow(self._hub, "/events", after=after):
            if event.kind == "reorganised":
                yield self._hub.typed(told.Reorganised, event.data)
            elif event.kind == "event":
                yield self._hub.typed(told.MarketEvent, event.data)

    def carry(self, request: ForwardRequest, signature: bytes) -> bytes:
        """Has the hub's operator pay the gas of a signed call; the transaction's hash, 32 bytes, not yet believed.

        Raises RefusedError or InputError with the hub's reason, UnavailableError without an answer: then the call may
        still be carried, until its deadline.
        """
        call: JsonValue = {"request": request.to_json(), "signature": "0x" + signature.hex()}
        found = self._hub.post(carried.Carried, "/sponsor", call, timeout=SPONSOR_SECONDS)
        return bytes.fromhex(found.transaction[2:])

    def _walk(
        self,
        model: type[M],
        path: str,
        query: dict[str, str],
        parts: Callable[[M], tuple[list[T], str | None]],
    ) -> Iterator[T]:
        seen: set[str] = set()
        asked = {"limit": "100", **query}
        while True:
            entries, following = parts(self._hub.get(model, path, asked))
            yield from entries
            if following is None:
                return
            if following in seen:
                raise IntegrityError("the hub's list does not end", got=following[:80])
            seen.add(following)
            asked["after"] = following


def _shown(hit: listed.Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "owner": hit.owner,
        "slug": printable(hit.slug, 64),
        "name": printable(hit.name, 200),
        "rows": hit.rows,
        "price": hit.price,
    }
