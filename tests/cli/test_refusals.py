"""What is there but must not, cannot or will not: exit codes 1 and 2, no traceback, no secret, within the timeout."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.support.buyers import Buyer
from tests.support.catalogue import Town
from tests.support.homes import PASSPHRASE, STEELYARD, Home
from tests.support.works import Dataset, Works

JOB = "0x" + "11" * 32
WALLETS = ("access", "list")
"""A command that needs chain and wallet, but no passphrase."""


# Deployment files


def test_a_missing_deployment_file_is_said_with_where_it_should_be(
    command: Command, empty_home: Home
) -> None:
    file = empty_home.path / "deployment.json"
    file.unlink()
    ran = command(empty_home, "dataset", "list")
    assert (ran.code, ran.error["what"]) == (2, "no deployment file can be read")
    assert str(file) in ran.error["got"]
    assert command(empty_home, "dataset", "list", DEPLOYMENT=str(empty_home.path)).code == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"{}",
        lambda data: data[:-2],
        lambda data: b"\xff" + data,
        lambda data: b"[" * 100_000,
        lambda data: data + b" " * 300_000,
        lambda data: data.replace(b"0x", b"0y"),
    ],
    ids=["empty", "an empty object", "cut", "not UTF-8", "nested", "too long", "no hex"],
)
def test_a_deployment_file_that_does_not_parse_is_refused(
    command: Command, empty_home: Home, spoil: Callable[[bytes], bytes]
) -> None:
    file = empty_home.path / "deployment.json"
    file.write_bytes(spoil(file.read_bytes()))
    ran = command(empty_home, "dataset", "list")
    assert ran.code == 2
    assert ran.error["error"] == "InputError"


@pytest.mark.parametrize("field", ["chain_id", "genesis", "market"])
def test_a_deployment_file_of_another_chain_is_refused(
    command: Command, empty_home: Home, town: Town, field: str
) -> None:
    file, deployment = empty_home.path / "deployment.json", town.market.chain.deployment
    changed = {
        "chain_id": (b"31337", b"1"),
        "genesis": (deployment.genesis.hex().encode(), b"ab" * 32),
        "market": (deployment.market.encode(), ("0x" + "11" * 20).encode()),
    }[field]
    data = file.read_bytes()
    assert changed[0] in data
    file.write_bytes(data.replace(*changed))
    ran = command(empty_home, "dataset", "list")
    assert (ran.code, ran.error["error"]) == (1, "RefusedError")
    assert "another chain" in ran.error["what"]


# Endpoints


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def babbling() -> Iterator[str]:
    """A server that answers everything with a web page."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "13")
            self.end_headers()
            self.wfile.write(b"<html></html>")

        do_POST = do_GET = do_PUT = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_that_is_away_is_said_without_its_secrets(command: Command, empty_home: Home) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v2/a-secret-api-key"
    ran = command(empty_home, "dataset", "list", RPC=url)
    assert (ran.code, ran.error["error"]) == (1, "UnavailableError")
    assert "a-secret-api-key" not in ran.err


def test_an_endpoint_that_stops_answering_is_left_within_the_timeout(
    command: Command, empty_home: Home, mute: str
) -> None:
    started = time.monotonic()
    ran = command(empty_home, "dataset", "list", RPC=mute, TIMEOUT="0.5")
    assert (ran.code, ran.error["error"]) == (1, "UnavailableError")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["RPC", "GATEWAY"])
def test_an_endpoint_that_talks_nonsense_is_said(
    command: Command, empty_home: Home, listed: Dataset, babbling: str, name: str
) -> None:
    ran = command(empty_home, "dataset", "show", str(listed.token), **{name: babbling})
    assert (ran.code, ran.error["error"]) == (1, "IntegrityError")


@pytest.mark.parametrize(
    "words", [("dataset", "list"), ("dataset", "show", "valves"), ("access", "buy", "valves")], ids=" ".join
)
def test_a_gateway_that_is_away_is_no_empty_market(
    command: Command, idle_home: Home, listed: Dataset, words: tuple[str, ...]
) -> None:
    ran = command(idle_home, *words, GATEWAY=f"http://127.0.0.1:{closed_port()}")
    assert (ran.code, ran.error["error"]) == (1, "UnavailableError")
    assert "gateway" in ran.error["what"]


def test_a_gateway_that_stops_answering_is_left_within_the_timeout(
    command: Command, empty_home: Home, listed: Dataset, mute: str
) -> None:
    started = time.monotonic()
    ran = command(empty_home, "dataset", "show", str(listed.token), GATEWAY=mute, TIMEOUT="0.5")
    assert (ran.code, ran.error["error"]) == (1, "UnavailableError")
    assert time.monotonic() - started < 5


def test_a_hub_that_is_away_is_said_with_the_way_around_it(command: Command, empty_home: Home) -> None:
    ran = command(empty_home, "dataset", "list", HUB=f"http://127.0.0.1:{closed_port()}")
    assert (ran.code, ran.error["do"]) == (1, "Unset STEELYARD_HUB to search the chain itself.")


# Names that nobody has


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("dataset", "show", "no-such-thing"), 2),
        (("dataset", "show", "7"), 2),
        (("dataset", "show", "did:steelyard:1:0x" + "22" * 20 + ":" + str(1 << 248)), 2),
        (("job", "status", JOB), 2),
        (("job", "watch", JOB), 2),
        (("job", "wait", JOB), 2),
        (("job", "result", JOB, "--to", "/nonexistent/x"), 2),
        (("job", "accept", JOB), 2),
        (("job", "finalise", JOB), 1),
        (("request", "show", JOB), 2),
        (("request", "approve", JOB), 2),
        (("request", "refuse", JOB), 2),
        (("model", "register", JOB, "--name", "x"), 2),
        (("access", "refund", "valves"), 2),
        (("audit", "verify", JOB), 2),
        (("audit", "trace", JOB), 2),
        (("audit", "verify", "no-such-thing"), 2),
        (("earnings", "withdraw"), 1),
        (("dataset", "void-offers", "valves"), 1),
        (("dataset", "offer", "valves", "--price", "1"), 2),
        (("job", "start", "valves", "--algorithm", "count", "--purpose", "research"), 1),
    ],
    ids=lambda words: " ".join(words)[:40] if isinstance(words, tuple) else "",
)
def test_what_is_not_there_is_said(
    command: Command, idle_home: Home, listed: Dataset, words: tuple[str, ...], code: int
) -> None:
    ran = command(idle_home, *words)
    assert ran.code == code, ran
    assert ran.error["what"]


@pytest.mark.parametrize("price", ["", "-1", "1,50", "1.0000001", "1e3", "free", "999999999", "٣", "0x10"])
def test_what_is_no_price_is_refused(command: Command, idle_home: Home, listed: Dataset, price: str) -> None:
    ran = command(idle_home, "dataset", "offer", "valves", f"--price={price}")
    assert (ran.code, ran.error["what"]) == (2, "not an amount")


@pytest.mark.parametrize("fee", ["nan", "-1", "21", "inf"])
def test_what_is_no_failure_fee_is_refused(command: Command, idle_home: Home, fee: str) -> None:
    assert command(idle_home, "dataset", "offer", "valves", "--price", "1", f"--failure-fee={fee}").code == 2


@pytest.mark.parametrize("to", ["nobody", "0x12", "0x" + "00" * 20])
def test_money_is_not_sent_to_what_is_no_address(command: Command, idle_home: Home, to: str) -> None:
    ran = command(idle_home, "earnings", "withdraw", "--to", to)
    assert ran.code in (1, 2)
    assert ran.error["what"]


def test_publishing_without_a_node_says_how_to_get_one(
    command: Command, idle_home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    words = ("dataset", "publish", str(file), "--slug", "x", "--name", "x", "--description", "x")
    ran = command(idle_home, *words, "--licence", "MIT", "--creator", "x", "--custom", "approval")
    assert (ran.code, ran.error["do"]) == (2, "Run `steelyard node init` first.")


def test_an_unknown_ready_made_algorithm_and_a_missing_model_are_said(
    command: Command, idle_home: Home, tmp_path: Path
) -> None:
    words = ("dataset", "publish", "x.csv", "--slug", "x", "--name", "x", "--description", "x")
    ran = command(idle_home, *words, "--licence", "MIT", "--creator", "x", "--algorithm", "nonsense")
    assert (ran.code, ran.error["error"]) == (2, "NotFoundError")
    for folder, data in ((tmp_path, "x.csv"), (tmp_path / "missing", "/dev/null")):
        ran = command(idle_home, "model", "evaluate", str(folder), "--data", data, "--target", "x")
        assert ran.code == 2


# As processes of their own


def test_processes_end_with_the_same_codes_and_no_traceback(empty_home: Home) -> None:
    (empty_home.path / "deployment.json").unlink()
    for words, code in (
        (("dataset", "list", "--json"), 2),
        (("nonsense", "--json"), 2),
    ):
        done = empty_home.run(*words)
        assert done.returncode == code, done
        assert "Traceback" not in done.stderr
        assert PASSPHRASE not in done.stdout + done.stderr
        assert done.stdout == ""
        assert json.loads(done.stderr)["error"]


def test_a_reader_that_goes_away_is_no_traceback(empty_home: Home) -> None:
    kept = {**os.environ, **empty_home.environment}
    process = subprocess.Popen(
        [str(STEELYARD), "--help"], env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 1
    assert err == ""


def test_a_command_that_is_interrupted_says_stopped(buyer_home: Home, listed: Dataset, works: Works) -> None:
    buyer = Buyer(works.town, buyer_home.keyring.wallet("startup"))
    buyer.buy(listed)
    job = "0x" + buyer.open(listed, b"\1" * 32, b"\2" * 32).job_id.hex()
    with buyer_home.start("job", "watch", job, "--json") as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline()) == {"source": "chain", "state": "open"}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert json.loads(process.stderr.read())["what"] == "stopped"
