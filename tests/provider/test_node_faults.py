"""Algorithms that fail: the fault, the report and the money of each, and nothing left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compute.provider.job_logs import open_log
from compute.sandbox import Sandbox
from compute.sandbox.scratch import default_root
from marketplace.core import bundle
from marketplace.core.events import JobFailed, JobFaulted
from marketplace.core.job import Request, State
from marketplace.core.spec import FailureReport
from tests.support.buyers import Buyer, await_state, new_buyer, note, rejection, report_of
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, FEE, PRICE, Dataset, Works, algorithm, open_works, wait_until

SECRET = b"a value of one single person"
TABLE = b"name,fault\n" + SECRET + b",1\nanother,0\n" * 20

COUNT = algorithm("count", COUNT_ROWS)
CRASH = algorithm("crash", "import sys\nprint(open('/data/inputs/faults.csv').read())\nsys.exit(3)")
RAISE = algorithm("raise", "raise ValueError(open('/data/inputs/faults.csv').read())")
EATER = algorithm(
    "eater", "held = []\nwhile True: held.append(bytearray(8 << 20))", limits="memory_bytes = 134217728"
)
SLEEPER = algorithm("sleeper", "import time\ntime.sleep(600)", limits="wall_seconds = 1")
SOCKET = algorithm("socket", "import socket\nsocket.create_connection(('127.0.0.1', 80))")
UNDECLARED = algorithm(
    "undeclared", COUNT_ROWS + "\nopen('/data/outputs/' + lines[1].split(',')[0], 'w').write('x')"
)
LINK = algorithm("link", COUNT_ROWS + "\nos.symlink('/etc/passwd', '/data/outputs/link')")
NOTHING = algorithm("nothing", "")
NOT_JSON = algorithm(
    "not-json", "open('/data/outputs/result.json', 'w').write(open('/data/inputs/faults.csv').read())"
)
LARGE = algorithm("large", "open('/data/outputs/result.json', 'w').write('[' + '0,' * 40_000 + '0]')")
SAYS_WHY = algorithm(
    "says-why", "print('reading')\nprint('::error \"the column `depth` is not there\"')\nraise SystemExit(2)"
)
ALL = (COUNT, SAYS_WHY, CRASH, RAISE, EATER, SLEEPER, SOCKET, UNDECLARED, LINK, NOTHING, NOT_JSON, LARGE)


@dataclass
class Lab:
    """A node that runs, a dataset that lists every bad algorithm, and a job of each by a buyer of its own."""

    town: Town
    works: Works
    dataset: Dataset
    jobs: dict[bytes, tuple[Buyer, Request]] = field(default_factory=dict)

    def order(self, data: bytes) -> None:
        """Two uses, one of which is spent."""
        buyer = new_buyer(self.town, f"{bundle.digest(data).hex()} in the lab")
        buyer.buy(self.dataset, 2)
        self.jobs[data] = (buyer, buyer.order(self.works, self.dataset, data))

    def fail(self, data: bytes) -> tuple[Buyer, Request, FailureReport]:
        buyer, request = self.jobs[data]
        return buyer, request, report_of(self.town, request)


@pytest.fixture(scope="module")
def lab(town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    works = open_works(town, sandbox, tmp_path_factory.mktemp("lab"), "lab")
    dataset = works.publish(*ALL, slug="faults", table=TABLE)
    lab = Lab(town, works, dataset)
    with works.running(), ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lab.order, ALL[1:]))) == len(ALL) - 1
        yield lab


def faulted(lab: Lab, request: Request) -> JobFaulted:
    return lab.town.market.chain.logs(types=(JobFaulted,), job_id=request.job_id)[0]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (CRASH, "crashed"),
        (RAISE, "crashed"),
        (EATER, "out-of-memory"),
        (SLEEPER, "out-of-time"),
        (NOTHING, "output-refused"),
        (NOT_JSON, "output-refused"),
    ],
    ids=["exits", "raises", "eats memory", "sleeps", "writes nothing", "writes no JSON"],
)
def test_an_algorithms_own_fault_costs_the_fee_and_keeps_the_grant(lab: Lab, data: bytes, code: str) -> None:
    buyer, request, report = lab.fail(data)
    assert (report.fault, report.code) == ("algorithm", code)
    event = faulted(lab, request)
    assert (event.fault, event.fee, event.refund) == (1, FEE, PRICE - FEE)
    assert lab.town.market.chain.balance(buyer.account.address) == PRICE - FEE
    assert lab.town.market.chain.grant(lab.dataset.offer_digest, buyer.account.address).last_day > 0
    assert SECRET.decode() not in json.dumps(report.model_dump())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (SOCKET, "forbidden-call"),
        (UNDECLARED, "output-refused"),
        (LINK, "output-refused"),
        (LARGE, "output-refused"),
    ],
    ids=["opens a socket", "writes a name that it read", "leaves a link", "writes too much"],
)
def test_a_breach_of_policy_ends_the_grant_as_well(lab: Lab, data: bytes, code: str) -> None:
    buyer, request, report = lab.fail(data)
    assert (report.fault, report.code) == ("policy", code)
    assert faulted(lab, request).fee == FEE
    assert lab.town.market.chain.grant(lab.dataset.offer_digest, buyer.account.address).last_day == 0
    assert SECRET.decode() not in json.dumps(report.model_dump())


def test_a_listed_algorithm_tells_the_buyer_why_it_failed_and_the_owner_all_that_it_wrote(lab: Lab) -> None:
    _, request, report = lab.fail(SAYS_WHY)
    assert note(lab.town, request) == "fault of the algorithm: crashed: the column `depth` is not there"
    assert report.detail == "the column `depth` is not there"
    assert log_of(lab, request) == [
        "reading",
        '::error "the column `depth` is not there"',
        "node: exit code 2",
    ]


def test_the_owner_alone_reads_what_a_crash_wrote(lab: Lab) -> None:
    _, request, _ = lab.fail(CRASH)
    assert log_of(lab, request) == [*TABLE.decode().splitlines(), "", "node: exit code 3"]
    assert SECRET not in lab.works.vault.logs.path_of(request.job_id).read_bytes()
    assert not any(SECRET.decode() in line for line in lab.works.said)
    assert any(f"steelyard node log 0x{request.job_id.hex()}" in line for line in lab.works.said)


def log_of(lab: Lab, request: Request) -> list[str]:
    return open_log(lab.works.vault.logs.sealed(request.job_id), lab.works.private)


def test_the_fee_of_a_failed_job_goes_to_the_provider_after_the_window(lab: Lab) -> None:
    _, request, _ = lab.fail(CRASH)
    assert await_state(lab.town, request) is State.failed
    events = lab.town.market.chain.logs(types=(JobFailed,), job_id=request.job_id)
    assert [event.fee for event in events] == [FEE]
    assert lab.town.market.chain.balance(lab.works.owner.address) >= FEE


def test_a_job_opened_before_its_grant_ended_by_a_breach_is_rejected(lab: Lab) -> None:
    buyer = new_buyer(lab.town, "two at once, one bad")
    buyer.buy(lab.dataset, 2)
    bad = buyer.order(lab.works, lab.dataset, SOCKET)
    good = buyer.order(lab.works, lab.dataset, COUNT)
    assert report_of(lab.town, bad).fault == "policy"
    # Judged when it was opened, and again when its turn came: by then the grant was gone.
    assert rejection(lab.town, good) == "access-expired"


def test_nothing_of_the_data_is_left_in_the_scratch_and_nothing_plain_in_the_home(lab: Lab) -> None:
    buyer = new_buyer(lab.town, "the last one")
    buyer.buy(lab.dataset, 2)
    for data in (COUNT, CRASH):
        request = buyer.order(lab.works, lab.dataset, data)
        await_state(lab.town, request, State.submitted, State.faulted, State.settled, State.failed)
    (lab.works.home / "faults.csv").unlink()  # the provider's own file
    wait_until(lambda: not leftovers(), "an empty scratch", seconds=10)
    for path in lab.works.home.rglob("*"):
        assert not path.is_file() or SECRET not in path.read_bytes(), path


def leftovers() -> list[Path]:
    """Job folders of this process in the sandbox's scratch."""
    return list(default_root().glob(f"run-{os.getpid()}-*/job-*"))
