"""Asking a hub: what it says is shown, never trusted; a hub that is away, odd or endless does no harm."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from marketplace.errors import IntegrityError, UnavailableError, VersionError
from marketplace.hub import HubClient, Live, printable
from tests.flows.conftest import Stall
from tests.support.hubs import running_hub
from tests.support.works import wait_until

JOB = b"\1" * 32
ASSET = {
    "id": "7",
    "owner": "0x" + "11" * 20,
    "slug": "valves",
    "name": "Valve readings",
    "rows": 40,
    "price": 1,
    "did": "did:steelyard:1:0x:7",
    "kind": "dataset",
    "publisher": "0x" + "11" * 20,
    "metadata": "0x" + "22" * 32,
    "epoch": 0,
    "status": "active",
    "jobs": 0,
    "block": 1,
    "description": "",
    "purposes": [],
    "offers": 1,
}


class OddHub:
    """A hub that answers every question with `body`; endless: and goes on for ever."""

    def __init__(self) -> None:
        self.status, self.body, self.endless, self.url = 200, b"", False, ""
        self.kind = "application/json"

    def says(self, value: Any) -> HubClient:
        self.body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return HubClient(self.url, 1.0)


@pytest.fixture
def odd() -> Iterator[OddHub]:
    found = OddHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(found.status)
            self.send_header("content-type", found.kind)
            self.end_headers()
            try:
                self.wfile.write(found.body)
                while found.endless:
                    self.wfile.write(b" " * 65_536)
            except OSError:
                return  # the client had enough

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    found.endless = False
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_real_hub_finds_datasets_by_their_words(stall: Stall, tmp_path: Path) -> None:
    with running_hub(stall.town, tmp_path) as url:
        client = HubClient(url, 10)
        token = str(stall.dataset.token)
        (hit,) = wait_until(
            lambda: [hit for hit in client.search("valve") if hit["id"] == token and hit["slug"]],
            "the dataset",
        )
        assert hit["slug"] == "valves"
        assert (hit["owner"], hit["name"], hit["rows"]) == (stall.works.owner.address, "Valve readings", 40)
        assert client.search("nothing-of-the-kind") == []
        assert client.progress(JOB) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>", b"\xff", b"[" * 100_000, [], "text", None, {}, {"assets": None}, {"assets": [1]},
        {"assets": [None]}, {"assets": [{}]}, {"assets": [ASSET | {"id": "many"}]}, {"assets": [ASSET | {"id": None}]},
        {"assets": [ASSET | {"rows": "\x1b[2J"}]}, {"assets": [ASSET | {"price": {"a": 1}}]},
        b'{"assets":[{"id":1e999,"owner":""}]}', {"assets": {"a": 1}},
    ],
)  # fmt: skip
def test_a_search_answer_that_does_not_parse_is_said(odd: OddHub, answer: Any) -> None:
    with pytest.raises(IntegrityError):
        odd.says(answer).search("valves")


def test_what_a_hub_writes_reaches_no_terminal_with_control_characters(odd: OddHub) -> None:
    hostile = ASSET | {"slug": "\x1b[2Jvalves", "name": "\x07owned\u202e"}
    (hit,) = odd.says({"assets": [hostile], "next": None}).search("valves")
    assert (hit["slug"], hit["name"]) == ("[2Jvalves", "owned")
    with pytest.raises(IntegrityError, match="assets/0/owner"):
        odd.says({"assets": [ASSET | {"owner": "0x\x9b1m"}], "next": None}).search("valves")
    assert printable("a\nb\tc\0d", 6) == "abc"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_hub_that_refuses_does_not_answer(odd: OddHub, status: int) -> None:
    odd.status = status
    with pytest.raises(UnavailableError, match="hub does not answer"):
        odd.says({"assets": []}).search("valves")
    assert odd.says({}).progress(JOB) is None


@pytest.mark.parametrize(
    "found",
    [
        None, [], "x", 1, {}, {"stage": "s"}, {"stage": "s", "done": "x", "of": 1},
        {"stage": "s", "done": None, "of": 1}, {"stage": "s", "done": [], "of": 1},
    ],
)  # fmt: skip
def test_progress_that_does_not_parse_is_none(odd: OddHub, found: Any) -> None:
    assert odd.says({"progress": found}).progress(JOB) is None
    assert odd.says(found).progress(JOB) is None


@pytest.mark.parametrize(("done", "of"), [(5, 3), (-1, 3), (0, 1 << 33), (1 << 60, 1 << 60)])
def test_progress_with_impossible_numbers_shows_none_of_them(odd: OddHub, done: int, of: int) -> None:
    live = odd.says({"progress": {"stage": "running", "done": done, "of": of}}).progress(JOB)
    assert live in (Live("running", 0, 0), None)


def test_fields_of_a_newer_hub_are_ignored_and_missing_ones_named(odd: OddHub) -> None:
    newer = {"assets": [ASSET | {"stars": 5}], "next": None, "spelling": "new"}
    assert odd.says(newer).search("valves")[0]["slug"] == "valves"
    older = {name: value for name, value in ASSET.items() if name != "price"}
    with pytest.raises(IntegrityError, match="assets/0/price: Field required"):
        odd.says({"assets": [older], "next": None}).search("valves")


def test_a_hub_of_another_version_is_told_from_one_that_is_away(odd: OddHub) -> None:
    odd.status = 404
    with pytest.raises(UnavailableError, match="older than this client"):
        odd.says({"error": "NotFoundError"}).search("valves")
    odd.kind = "application/problem+json"
    problem = {
        "type": "urn:steelyard:problem:version",
        "title": "Version",
        "detail": "d",
        "instance": "/v1/assets",
    }
    said = {
        "what": "this hub does not speak that version",
        "got": "1",
        "expected": "version 2",
        "do": "Up\x1bdate.",
    }
    odd.status = 400
    with pytest.raises(VersionError, match="the hub says: this hub does not speak") as caught:
        odd.says(problem | said | {"status": 400}).search("valves")
    assert (caught.value.expected, caught.value.do) == ("version 2", "Update.")
    with pytest.raises(UnavailableError, match="HTTP 400"):
        odd.says({"what": 1}).search("valves")


def test_a_list_that_goes_round_in_circles_is_cut_off(odd: OddHub) -> None:
    client = odd.says({"assets": [ASSET], "next": "again"})
    with pytest.raises(IntegrityError, match="does not end"):
        list(client.assets())


def test_an_answer_without_end_is_cut_off(odd: OddHub) -> None:
    odd.endless = True
    client, started = odd.says(b"["), time.monotonic()
    with pytest.raises(IntegrityError, match="does not end"):
        client.search("valves")
    assert client.progress(JOB) is None
    assert time.monotonic() - started < 10


def test_a_hub_that_never_answers_is_left_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client, started = HubClient(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.3), time.monotonic()
        with pytest.raises(UnavailableError):
            client.search("valves")
        assert client.progress(JOB) is None
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[:::", "no url", "file:///etc/passwd", ""])
def test_a_url_where_no_hub_is_is_said(url: str) -> None:
    with pytest.raises(UnavailableError, match="Unset STEELYARD_HUB"):
        HubClient(url, 1).search("valves")
    assert HubClient(url, 1).progress(JOB) is None
