"""The hub as a process beside a real chain and gateway: it fills, streams, falls behind, recovers, ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from marketplace.chain.deployment import Deployment
from marketplace.core.job import Progress
from tests.chain.conftest import lying_rpc
from tests.support.catalogue import Town, running_town

PROGRAM = Path(__file__).with_name("hub_process.py")
ROOT = PROGRAM.parents[2]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


def start(
    home: Path, deployment: Deployment, *, rpc: str, gateway: str, port: int = 0
) -> subprocess.Popen[str]:
    home.mkdir(exist_ok=True)
    (home / "deployment.json").write_bytes(deployment.to_bytes())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STEELYARD_HOME": str(home),
        "STEELYARD_RPC": rpc,
        "STEELYARD_GATEWAY": gateway,
        "STEELYARD_TIMEOUT": "5",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, PROGRAM, str(port)], env=environment, stdout=pipe, stderr=pipe, text=True
    )


@contextlib.contextmanager
def hub(
    town: Town, home: Path, *, rpc: str | None = None
) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    process = start(
        home, town.market.chain.deployment, rpc=rpc or town.market.embedded.url, gateway=town.gateway
    )
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr and process.stderr.read()
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
            yield client, process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_trade_is_searched_watched_and_reported_through_the_process(town: Town, tmp_path: Path) -> None:
    market = town.market
    with hub(town, tmp_path / "home") as (client, process):
        asset = town.publish(b"\1" * 32)
        offer = market.offer(asset)
        town.announce(offer)
        market.chain.send(
            "ParticipantRegistry", "setNode", (market.node.address, b"\7" * 32, 0), market.provider
        )
        market.pledge(market.provider)
        found = wait_for(
            lambda: [hit for hit in client.get("/v1/assets?query=valves").json()["assets"] if hit["offers"]]
        )
        assert [(hit["id"], hit["slug"], hit["price"]) for hit in found] == [
            (str(asset), "valves", 2_000_000)
        ]
        whole = client.get(f"/v1/assets/{asset}").json()
        assert whole["listing"]["document"]["name"] == "Valve readings"
        assert whole["offers"][0]["offer"] == offer.to_json()

        digest = market.buy(offer)
        request = market.open(digest)
        path = f"/v1/jobs/0x{request.job_id.hex()}"
        wait_for(lambda: client.get(path).status_code == 200)
        with client.stream("GET", f"{path}/events") as stream:
            lines = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
            assert next(lines)["state"] == "open"
            progress = Progress(request.job_id, 1, "training", 2, 5)
            body = {
                "progress": progress.to_json(),
                "signature": "0x" + market.sign(progress, market.node).hex(),
            }
            assert client.post(f"{path}/progress", json=body).status_code == 202
            assert next(lines)["stage"] == "training"
            receipt = market.receipt(request.job_id, b"w" * 80)
            call = (receipt.to_tuple(), market.sign(receipt, market.node), b"w" * 80)
            submitted = market.chain.send("Market", "submit", call, market.node)
            state = next(lines)
            assert (state["state"], state["history"][-1]["transaction"]) == (
                "submitted",
                submitted.transaction,
            )
            market.chain.send("Market", "accept", (request.to_tuple(),), market.buyer)
            assert next(lines)["state"] == "settled"
            assert list(lines) == []
        grant = client.get(f"/v1/grants/0x{digest.hex()}/{market.buyer.address}").json()
        assert (grant["jobs_paid"], grant["jobs_opened"]) == (1, 1)

        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest, errors) == (0, "ended\n", "")


def test_a_signal_ends_the_process_although_streams_are_open(town: Town, tmp_path: Path) -> None:
    market = town.market
    offer = market.offer(town.publish(b"\2" * 32))
    request = market.open(market.buy(offer))
    with hub(town, tmp_path / "home") as (client, process):
        path = f"/v1/jobs/0x{request.job_id.hex()}"
        wait_for(lambda: client.get(path).status_code == 200)
        with client.stream("GET", f"{path}/events") as stream:
            lines = stream.iter_lines()
            while next(lines) != "event: state":
                pass
            process.send_signal(signal.SIGINT)
            assert [line for line in lines if line.startswith("event: ")] == []
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


@pytest.mark.slow
def test_while_the_chain_is_silent_the_hub_says_so_and_serves_what_it_has(town: Town, tmp_path: Path) -> None:
    asset = town.publish(b"\3" * 32)
    with (
        lying_rpc(town.market.embedded.url) as endpoint,
        hub(town, tmp_path / "home", rpc=endpoint.url) as (client, _),
    ):
        wait_for(lambda: client.get(f"/v1/assets/{asset}").status_code == 200)
        endpoint.raw = lambda handler: None
        health = wait_for(lambda: (found := client.get("/health").json())["status"] == "behind" and found)
        assert "endpoint" in health["trouble"]
        assert client.get(f"/v1/assets/{asset}").status_code == 200
        endpoint.raw = None
        wait_for(lambda: client.get("/health").json()["status"] == "ok")


@pytest.mark.slow
def test_a_hub_goes_on_where_it_was_killed(town: Town, tmp_path: Path) -> None:
    first = town.publish(b"\4" * 32)
    with hub(town, tmp_path / "home") as (client, process):
        wait_for(lambda: client.get(f"/v1/assets/{first}").status_code == 200)
        process.kill()
        process.wait()
    second = town.publish(b"\5" * 32)
    with hub(town, tmp_path / "home") as (client, _):
        assert client.get(f"/v1/assets/{first}").status_code == 200
        wait_for(lambda: client.get(f"/v1/assets/{second}").status_code == 200)


@pytest.mark.slow
def test_a_deployment_of_another_chain_a_taken_port_and_a_missing_file_are_refused(
    town: Town, tmp_path: Path
) -> None:
    deployment, rpc = town.market.chain.deployment, town.market.embedded.url
    other = start(tmp_path / "a", replace(deployment, genesis=b"\1" * 32), rpc=rpc, gateway=town.gateway)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = start(tmp_path / "b", deployment, rpc=rpc, gateway=town.gateway, port=port)
        dead = start(tmp_path / "c", deployment, rpc="http://127.0.0.1:1", gateway=town.gateway)
        ends = [(process.communicate(timeout=60), process.returncode) for process in (other, busy, dead)]
    words = [
        "RefusedError: a deployment file of another chain",
        "UnavailableError: the address",
        "UnavailableError",
    ]
    for ((_, errors), code), start_of_errors in zip(ends, words, strict=True):
        assert code == 1 and errors.startswith(start_of_errors) and "Traceback" not in errors
