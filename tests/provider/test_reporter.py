"""Progress on its way to a hub: signed, rising, thinned out, and never in the way of a job."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from compute.provider.reporter import Reporter
from marketplace.core.eip712 import Domain
from marketplace.core.job import Progress
from tests.support.buyers import new_buyer
from tests.support.catalogue import Town
from tests.support.chain import account_named
from tests.support.hubs import running_hub
from tests.support.works import COUNT_ROWS, Works, algorithm, wait_until

DOMAIN = Domain(31_337, "0x" + "11" * 20)
NODE = account_named("a reporting node")
JOB, OTHER = b"\1" * 32, b"\2" * 32


class Inbox:
    """A server that keeps what is posted to it. answer: the status that it gives."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.answer = 202
        self.url = ""

    def stages(self) -> list[tuple[str, int, int]]:
        bodies = [body["progress"] for _, body in self.posts]
        return [(body["stage"], body["done"], body["of"]) for body in bodies]

    def sequences(self) -> list[int]:
        return [body["progress"]["sequence"] for _, body in self.posts]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    found = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.posts.append((self.path, json.loads(body)))
            self.send_response(found.answer)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_report_is_signed_by_the_node_for_this_market(inbox: Inbox) -> None:
    Reporter(inbox.url + "/", NODE, DOMAIN).report(JOB, "running", 1, 5)
    wait_until(lambda: inbox.posts, "the report")
    path, body = inbox.posts[0]
    assert path == f"/v1/jobs/0x{JOB.hex()}/progress"
    progress = Progress.from_json(body["progress"])
    assert (progress.job_id, progress.stage, progress.done, progress.of) == (JOB, "running", 1, 5)
    assert progress.signer(DOMAIN, bytes.fromhex(body["signature"][2:])) == NODE.address


def test_sequences_rise_also_across_a_restart(inbox: Inbox) -> None:
    first = Reporter(inbox.url, NODE, DOMAIN)
    for number in range(5):
        first.report(JOB, f"stage {number}")
    wait_until(lambda: len(inbox.posts) == 5, "five reports")
    Reporter(inbox.url, NODE, DOMAIN).report(JOB, "again")
    wait_until(lambda: len(inbox.posts) == 6, "the sixth")
    assert inbox.sequences() == sorted(set(inbox.sequences()))


def test_steps_of_one_stage_are_thinned_out_but_not_the_last(inbox: Inbox) -> None:
    reporter = Reporter(inbox.url, NODE, DOMAIN)
    reporter.report(JOB, "running")
    for done in range(1, 1_001):
        reporter.report(JOB, "running", done, 1_000)
    wait_until(lambda: ("running", 1_000, 1_000) in inbox.stages(), "the last step")
    assert len(inbox.posts) < 20


def test_an_algorithm_that_counts_for_ever_cannot_flood_the_hub(inbox: Inbox) -> None:
    reporter = Reporter(inbox.url, NODE, DOMAIN)
    started = time.monotonic()
    for number in range(5_000):
        of = 5 + number % 2
        reporter.report(JOB, "running", of if number % 3 else 9_999, of)
    seconds = time.monotonic() - started
    reporter.report(OTHER, "queued")
    wait_until(lambda: any(stage == "queued" for stage, _, _ in inbox.stages()), "the other job's report")
    assert len(inbox.posts) <= 4 + seconds / 0.2
    assert all(done <= of for _, done, of in inbox.stages())


@pytest.mark.parametrize("status", [404, 422, 429, 500])
def test_a_hub_that_refuses_is_told_the_next_step_all_the_same(inbox: Inbox, status: int) -> None:
    inbox.answer = status
    reporter = Reporter(inbox.url, NODE, DOMAIN)
    for stage in ("queued", "accepted", "running"):
        reporter.report(JOB, stage)
    wait_until(lambda: len(inbox.posts) == 3, "three reports")


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9", "http://[:::", "not a url", "file:///etc/passwd"])
def test_a_hub_that_cannot_be_reached_costs_a_job_nothing(url: str) -> None:
    reporter = Reporter(url, NODE, DOMAIN)
    started = time.monotonic()
    for number in range(200):
        reporter.report(JOB, f"stage {number}")
    assert time.monotonic() - started < 1
    time.sleep(0.1)  # an error in its thread would fail this test


def test_a_hub_that_never_answers_costs_a_job_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reporter = Reporter(f"http://127.0.0.1:{listener.getsockname()[1]}", NODE, DOMAIN)
        started = time.monotonic()
        for number in range(3_000):  # more than it keeps
            reporter.report(JOB, f"stage {number}")
        assert time.monotonic() - started < 2


def test_a_real_hub_takes_the_registered_nodes_word_and_nobody_elses(
    town: Town, works: Works, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = works.publish(algorithm("count", COUNT_ROWS))
    buyer = new_buyer(town, "who watches")
    buyer.buy(dataset)
    job = buyer.open(dataset, b"\1" * 32, b"\2" * 32).job_id
    domain = town.market.chain.domain
    with running_hub(town, tmp_path_factory.mktemp("hub")) as url, httpx.Client(base_url=url) as client:
        wait_until(lambda: client.get(f"/v1/jobs/0x{job.hex()}").status_code == 200, "the job at the hub")
        Reporter(url, buyer.account, domain).report(job, "done already")
        Reporter(url, works.hot, Domain(1, domain.contract)).report(job, "of another market")
        Reporter(url, works.hot, domain).report(job, "running", 2, 5)

        def progress() -> Any:
            return client.get(f"/v1/jobs/0x{job.hex()}").json()["progress"]

        wait_until(progress, "the report")
        time.sleep(0.3)
        assert (progress()["stage"], progress()["done"], progress()["of"]) == ("running", 2, 5)
