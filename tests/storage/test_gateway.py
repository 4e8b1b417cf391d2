"""The gateway: takes only what fits its name, gives what lies there, says what was wrong in our words."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from marketplace.core.cid import Cid
from marketplace.storage import MAX_BLOCK, LocalStore
from marketplace.wire.problem import Problem

BLOCK = b"a block"
CID = Cid.of("raw", BLOCK)


@pytest.fixture
def http(tmp_path: Path, serve: Callable[[Path], str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve(tmp_path), trust_env=False) as client:
        yield client


def assert_is_our_error(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status
    assert Problem.model_validate_json(answer.content).type == f"urn:steelyard:problem:{kind}"


def test_it_answers_while_it_runs(http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "ok"}


def test_a_block_that_fits_its_name_is_taken_and_given(http: httpx.Client) -> None:
    assert http.put(f"/ipfs/{CID}", content=BLOCK).status_code == 201
    answer = http.get(f"/ipfs/{CID}")
    assert answer.content == BLOCK
    assert answer.headers["content-type"] == "application/vnd.ipld.raw"
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = http.head(f"/ipfs/{CID}")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "7")


def test_stored_bytes_are_given_unchecked(http: httpx.Client, tmp_path: Path) -> None:
    http.put(f"/ipfs/{CID}", content=BLOCK)
    LocalStore(tmp_path).path_of(CID).write_bytes(b"tampered")
    assert http.get(f"/ipfs/{CID}").content == b"tampered"


def test_a_block_that_does_not_fit_its_name_is_refused(http: httpx.Client, tmp_path: Path) -> None:
    assert_is_our_error(http.put(f"/ipfs/{CID}", content=b"other"), 422, "input")
    assert not LocalStore(tmp_path).has(CID)


def test_a_block_that_is_too_large_is_refused(http: httpx.Client) -> None:
    assert_is_our_error(http.put(f"/ipfs/{CID}", content=bytes(MAX_BLOCK + 1)), 413, "too-large")


def test_a_body_without_end_is_refused(http: httpx.Client) -> None:
    def forever() -> Iterator[bytes]:
        while True:
            yield bytes(65_536)

    # The gateway answers and hangs up; a sender that does not listen meanwhile may only notice the latter.
    with suppress(httpx.TransportError):
        assert_is_our_error(http.put(f"/ipfs/{CID}", content=forever()), 413, "too-large")
    assert http.get("/health").status_code == 200


def test_a_missing_block_is_not_found(http: httpx.Client) -> None:
    assert_is_our_error(http.get(f"/ipfs/{CID}"), 404, "not-found")
    assert http.head(f"/ipfs/{CID}").status_code == 404


@pytest.mark.parametrize(
    "name", ["x", str(CID)[:-1], str(CID).upper(), "%2e%2e", "%00", "a" * 5000, "%ff%fe", "é"]
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_name_that_is_no_content_identifier_is_refused(http: httpx.Client, method: str, name: str) -> None:
    assert_is_our_error(http.request(method, f"/ipfs/{name}"), 422, "input")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/ipfs/", 404),
        ("GET", f"/ipfs/{CID}/more", 404),
        ("GET", "/ipfs/..%2f..%2fetc", 404),
        ("DELETE", f"/ipfs/{CID}", 405),
        ("POST", f"/ipfs/{CID}", 405),
    ],
)
def test_what_is_not_served_is_said_in_our_words(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path)
    assert_is_our_error(answer, status, "not-found" if status == 404 else "input")


def test_a_sender_that_hangs_up_harms_nobody(http: httpx.Client, tmp_path: Path) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 80)) as connection:
        connection.sendall(f"PUT /ipfs/{CID} HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\na b".encode())
    assert http.get("/health").status_code == 200
    assert not LocalStore(tmp_path).has(CID)
