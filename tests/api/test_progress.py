"""Progress and streams over real HTTP: who may write, what is shown, and that watching ends well."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from marketplace.api import progress as board
from marketplace.api.progress import ProgressBoard, Reporter
from marketplace.core.eip712 import Domain
from marketplace.core.events import JobRejected, JobSettled, NodeSet, ReceiptSubmitted
from marketplace.core.job import Progress, Receipt, State
from marketplace.errors import TooManyError

from .conftest import BUYER, DEPLOYMENT, DOMAIN, JOB, JOB_TEXT, NODE, PROVIDER, RunningHub, at, signed


def events(hub: RunningHub) -> Iterator[tuple[str, dict[str, object]]]:
    """The job's stream, as (event, data)."""
    with hub.client.stream("GET", f"/v1/jobs/{JOB_TEXT}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


def test_the_node_of_the_provider_may_post_and_everybody_reads(fresh: RunningHub) -> None:
    assert fresh.post(sequence=1, stage="opening data").status_code == 202
    assert fresh.post(sequence=2, stage="training").status_code == 202
    shown = fresh.client.get(f"/v1/jobs/{JOB_TEXT}").json()["progress"]
    assert shown == {"jobId": JOB_TEXT, "sequence": 2, "stage": "training", "done": 1, "of": 5}


@pytest.mark.parametrize("forger", [BUYER, PROVIDER])
def test_progress_signed_by_anyone_else_is_refused_and_not_shown(fresh: RunningHub, forger: object) -> None:
    answer = fresh.post(by=forger)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["what"]) == (403, "progress is signed by someone else")
    assert fresh.client.get(f"/v1/jobs/{JOB_TEXT}").json()["progress"] is None


def test_progress_signed_for_another_market_is_refused(fresh: RunningHub) -> None:
    message = signed(Progress(JOB, 1, "training", 0, 0), NODE, Domain(1, DEPLOYMENT.market))
    assert fresh.client.post(f"/v1/jobs/{JOB_TEXT}/progress", json=message).status_code == 403


def test_a_replaced_node_may_no_longer_post_and_its_successor_may(fresh: RunningHub) -> None:
    fresh.add(NodeSet(at(5), DEPLOYMENT.participants, PROVIDER.address, BUYER.address, b"\x0c" * 32, 2, 7))
    assert fresh.post(by=NODE).status_code == 403
    assert fresh.post(by=BUYER).status_code == 202


def test_a_message_counts_once_and_only_while_the_sequence_rises(fresh: RunningHub) -> None:
    assert fresh.post(sequence=5).status_code == 202
    assert fresh.post(sequence=5).json()["what"] == "progress does not rise"
    assert fresh.post(sequence=4).status_code == 403
    assert fresh.post(sequence=6).status_code == 202


def test_progress_of_one_job_is_not_taken_under_another_and_unknown_jobs_have_none(fresh: RunningHub) -> None:
    body = signed(Progress(b"\x01" * 32, 1, "training", 0, 0), NODE)
    assert (
        fresh.client.post(f"/v1/jobs/{JOB_TEXT}/progress", json=body).json()["what"]
        == "the progress is of another job"
    )
    assert fresh.post(job=b"\x01" * 32).status_code == 404


@pytest.mark.parametrize("stage", ["", "x" * 65, "two\nlines", "\x1b[31m"])
def test_a_stage_is_a_short_printable_word(fresh: RunningHub, stage: str) -> None:
    assert fresh.post(stage=stage).status_code == 422


def test_a_job_that_is_not_open_has_no_progress_to_report(fresh: RunningHub) -> None:
    fresh.add(JobRejected(at(5), DEPLOYMENT.market, JOB, b"wrong-asset".ljust(32, b"\0"), 100))
    assert fresh.post().json()["what"] == "the job is not running"
    assert fresh.client.get(f"/v1/jobs/{JOB_TEXT}").json()["reason"] == "wrong-asset"


def test_a_node_that_posts_without_end_is_slowed_down_and_other_jobs_are_not() -> None:
    now = [0.0]
    lines = ProgressBoard(DOMAIN, clock=lambda: now[0])
    reporter = Reporter(State.open, NODE.address)

    def post(sequence: int, job: bytes = JOB) -> None:
        message = Progress(job, sequence, "training", 0, 0)
        lines.post(message, bytes(NODE.unsafe_sign_hash(message.digest(DOMAIN)).signature), reporter)

    for sequence in range(int(board.RATE.burst)):
        post(sequence)
    with pytest.raises(TooManyError):
        post(1_000)
    post(1, job=b"\x01" * 32)
    now[0] = 1 / board.RATE.per_second
    post(1_000)
    last = lines.last(JOB)
    assert last and last.sequence == 1_000


def test_the_board_forgets_the_quietest_job_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "MAX_JOBS", 2)
    lines, reporter = ProgressBoard(DOMAIN), Reporter(State.open, NODE.address)
    for number in (1, 2, 1, 3):
        job = bytes([number]) * 32
        before = lines.last(job)
        message = Progress(job, before.sequence + 1 if before else 1, "training", 0, 0)
        lines.post(message, bytes(NODE.unsafe_sign_hash(message.digest(DOMAIN)).signature), reporter)
    assert [lines.last(bytes([number]) * 32) is not None for number in (1, 2, 3)] == [True, False, True]


def test_a_stream_shows_progress_and_states_and_ends_with_the_job(fresh: RunningHub) -> None:
    digest = b"\x01" * 32
    receipt = Receipt(JOB, digest, digest, digest, digest, 0, 1, 2)
    stream = events(fresh)
    name, state = next(stream)
    assert (name, state["state"]) == ("state", "open")
    fresh.post(sequence=3)
    name, progress = next(stream)
    assert (name, progress["sequence"]) == ("progress", 3)
    fresh.add(ReceiptSubmitted(at(5), DEPLOYMENT.market, JOB, receipt, b"s", b"w", 2**33))
    assert next(stream)[1]["state"] == "submitted"
    fresh.add(JobSettled(at(6), DEPLOYMENT.market, JOB, PROVIDER.address, 100))
    name, state = next(stream)
    assert (name, state["state"], state["credited"]) == ("state", "settled", {"provider": 100, "buyer": 0})
    assert [step["state"] for step in state["history"]] == ["open", "submitted", "settled"]  # type: ignore[attr-defined]
    assert list(stream) == []


def test_a_stream_of_a_job_that_was_reorganised_away_says_so(fresh: RunningHub) -> None:
    from marketplace.catalogue.apply import roll_back

    stream = events(fresh)
    assert next(stream)[0] == "state"
    with fresh.hub.database.write() as connection:
        roll_back(connection, 3)
    fresh.hub.pulse.beat()
    assert [name for name, _ in stream] == ["gone"]


def test_streams_are_counted_given_back_and_refused_beyond_their_number(
    fresh: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.api.stream.MAX_STREAMS", 2)
    first, second = events(fresh), events(fresh)
    next(first), next(second)
    full = fresh.client.get(f"/v1/jobs/{JOB_TEXT}/events")
    assert (full.status_code, full.json()["what"]) == (503, "too many streams are open")
    first.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        third = events(fresh)
        try:
            assert next(third)[0] == "state"
            return
        except AssertionError:
            time.sleep(0.05)
    pytest.fail("the place of a client that went was not given back")


def test_idle_streams_are_kept_alive_with_comments(
    fresh: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    with fresh.client.stream("GET", f"/v1/jobs/{JOB_TEXT}/events") as answer:
        assert any(line.startswith(": ") for line in answer.iter_lines())


def test_closing_the_hub_ends_its_streams(fresh: RunningHub) -> None:
    stream = events(fresh)
    next(stream)
    threading.Timer(0.1, fresh.hub.pulse.close).start()
    started = time.monotonic()
    try:
        rest = list(stream)
    except httpx.HTTPError as error:
        pytest.fail(f"the stream was cut: {error}")
    assert rest == [] and time.monotonic() - started < 3
