"""A node's own port for its operator, on loopback alone: `/metrics`, `/health`, `/ready`. Nothing else calls a node.

Covered: figures without names: no job, buyer, dataset or algorithm stands in them.
Not covered: other users of this machine can read them too.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from compute.provider.journal import Step
from compute.provider.place import Place
from compute.provider.resources import folder_bytes, scratch_free
from marketplace.errors import SteelyardError, UnavailableError
from marketplace.readings import (
    CONTENT_TYPE,
    Lately,
    Reading,
    Watch,
    behind,
    exposition,
    obstacle,
    registry_of,
)

_WALK_SECONDS = 60.0
_ENDS = ("settled", "rejected", "failed", "expired", "disputed")


@contextmanager
def operations(place: Place, vault: Path, port: int) -> Iterator[str]:
    """Answers on 127.0.0.1 while the `with` lasts; the URL. port: 0 takes a free one.

    Raises UnavailableError where the port cannot be had.
    """
    watch = watch_of(place, vault)
    registry = registry_of(watch)

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, exposition(registry), CONTENT_TYPE)
            elif self.path == "/health":
                self._answer(200, json.dumps({"status": "ok"}).encode())
            elif self.path == "/ready":
                obstacles = watch.obstacles()
                found = {"status": "not ready" if obstacles else "ready", "reasons": obstacles}
                self._answer(503 if obstacles else 200, json.dumps(found).encode())
            else:
                self._answer(404, b"{}")

        def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: who scrapes, does so all day."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UnavailableError(
            "the port for metrics cannot be had",
            got=f"127.0.0.1:{port}: {error.strerror}",
            do="Choose another one: --metrics PORT.",
        ) from None
    with server:
        thread = threading.Thread(target=server.serve_forever, name="operations", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def watch_of(place: Place, vault: Path) -> Watch:
    """The figures of the node at `place`; each scrape asks its chain twice and walks the vault once a minute."""
    chain, facts = place.chain, place.facts
    walked = (float("-inf"), 0)

    def vault_bytes() -> int:
        nonlocal walked
        if time.monotonic() - walked[0] > _WALK_SECONDS:
            walked = (time.monotonic(), folder_bytes(vault))
        return walked[1]

    def readings() -> Iterator[Reading]:
        for end in _ENDS:
            says = "Jobs of this provider by their end, since the start."
            yield Reading("jobs", says, facts.ends[end], {"end": end}, total=True)
        entries = place.journal.entries()
        queue = sum(entry.step is Step.run for entry in entries)
        yield Reading("open_jobs", "Jobs that are not over.", len(entries))
        yield Reading("queue_jobs", "Of these, in the sandbox or waiting for it.", queue)
        yield Reading("running_seconds", "Of the job in the sandbox; 0 without one.", facts.running_seconds())
        yield Reading("gas", "Units of gas that answers took, since the start.", facts.gas, total=True)
        yield Reading("block", "The last block that was followed.", facts.block)
        yield Reading("block_age_seconds", "Since a new block was seen.", time.monotonic() - facts.block_at)
        yield Reading("vault_bytes", "Bytes of the vault.", vault_bytes())
        yield Reading("scratch_free_bytes", "Bytes of memory left for jobs in hand.", scratch_free())
        try:
            yield Reading("lag_blocks", "Confirmed blocks not followed yet.", _lag(place))
            yield Reading(
                "hot_key_wei", "What the node's key has for gas.", chain.ether(place.account.address)
            )
        except SteelyardError:
            return  # `/ready` says so

    def obstacles() -> Iterator[str]:
        try:
            yield from behind(_lag(place), facts.looked_at)
        except SteelyardError:
            yield "the chain does not answer"
        yield from obstacle("the journal does not answer", lambda: place.journal.knows(b""))
        yield from obstacle("the shared store does not answer", place.touch_store)

    return Watch(readings, Lately(obstacles))


def _lag(place: Place) -> int:
    return max(0, place.chain.confirmed_head() - place.facts.block)
