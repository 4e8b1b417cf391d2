"""A development chain with a folder: killed at any moment, it comes back with everything that was confirmed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from marketplace.chain.client import ETHER, Chain
from marketplace.chain.deploy import deploy
from marketplace.chain.deployment import Deployment
from marketplace.chain.embedded import EmbeddedChain
from marketplace.chain.follow import Batch, Follower, Reorganised
from marketplace.chain.rpc import Rpc
from marketplace.core.events import ApprovalAnnounced, Event
from marketplace.errors import RefusedError, SteelyardError, UnavailableError
from tests.support.chain import account_named, limits_of, powers_of
from tests.support.works import wait_until

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = account_named("somebody on a kept chain")
EMBEDDER = """
import json, sys, time
from pathlib import Path
from marketplace.chain.embedded import EmbeddedChain
with EmbeddedChain(int(sys.argv[1]), keep=Path(sys.argv[2])) as chain:
    print(json.dumps({"url": chain.url, "anvil": chain.pid}), flush=True)
    time.sleep(600)
"""


@contextmanager
def embedder(folder: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A process with a kept chain; its URL and Anvil's pid."""
    command = [sys.executable, "-c", EMBEDDER, str(port), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        try:
            yield process, said["url"], said["anvil"]
        finally:
            process.kill()


def deployed(url: str) -> Deployment:
    with Rpc(url, timeout=5) as rpc:
        rpc.request("anvil_setBalance", ACCOUNT.address, hex(100 * ETHER))
    return deploy(url, ACCOUNT, limits=limits_of(), powers=powers_of(ACCOUNT))


def announce(chain: Chain, number: int) -> None:
    call = (number, number.to_bytes(32, "big"), bytes(32))
    chain.send("Market", "announceApproval", call, ACCOUNT)


def announced(events: list[Event]) -> list[int]:
    return [event.asset_id for event in events if isinstance(event, ApprovalAnnounced)]


def test_it_goes_on_where_it_was_after_an_orderly_end(tmp_path: Path) -> None:
    with EmbeddedChain(keep=tmp_path) as first:
        deployment = deployed(first.url)
        with Chain(first.url, deployment, confirmations=1, timeout=5) as chain:
            announce(chain, 1)
            seen, head = chain.logs(), chain.block(chain.head() - 1)
    with (
        EmbeddedChain(keep=tmp_path) as second,
        Chain(second.url, deployment, confirmations=1, timeout=5) as chain,
    ):
        assert chain.logs() == seen
        assert chain.block(head.number) == head
        announce(chain, 2)
        assert announced(chain.logs()) == [1, 2]


def test_a_folder_has_one_chain(tmp_path: Path) -> None:
    with EmbeddedChain(keep=tmp_path), pytest.raises(RefusedError, match="keeps its state there"):
        EmbeddedChain(keep=tmp_path).start()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="cannot be kept"):
        EmbeddedChain(keep=tmp_path / "file").start()


def test_a_state_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "chain.state").write_text("{")
    with pytest.raises(UnavailableError, match=r"does not parse; got .*chain\.state"):
        EmbeddedChain(keep=tmp_path).start()


def test_a_dump_that_was_cut_off_by_a_kill_does_not_count(tmp_path: Path) -> None:
    with EmbeddedChain(keep=tmp_path) as first:
        deployment = deployed(first.url)
    (tmp_path / "chain.partial").write_bytes((tmp_path / "chain.state").read_bytes()[:1000])
    with (
        EmbeddedChain(keep=tmp_path) as second,
        Chain(second.url, deployment, confirmations=1, timeout=5) as chain,
    ):
        announce(chain, 1)


def test_anvil_killed_alone_is_started_again_on_its_port_and_a_sender_notices_nothing(tmp_path: Path) -> None:
    with EmbeddedChain(keep=tmp_path) as embedded, ThreadPoolExecutor(1) as pool:
        deployment = deployed(embedded.url)
        with Chain(embedded.url, deployment, confirmations=1, timeout=5) as chain:
            for number in range(3):
                with embedded.still():
                    sending = pool.submit(announce, chain, number)
                    wait_until(lambda: embedded.rpc.request("txpool_content")["pending"], "it in the pool")
                    if number:
                        embedded.mine(number - 1)  # in the pool only, or in a block that is not on the disk
                    assert embedded.pid
                    os.kill(embedded.pid, signal.SIGKILL)
                sending.result(30)
            assert announced(chain.logs()) == [0, 1, 2]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_whatever_was_confirmed_outlives_kills_at_random_moments(tmp_path: Path, kills: int) -> None:
    """Of Anvil or of its embedder; a follower never sees a block with events taken back, nor an event twice."""
    dice, number = random.Random(kills), 0
    told: list[int] = []
    followed: list[int] = []
    known: tuple[tuple[int, bytes], ...] = ()
    deployment: Deployment | None = None
    for _ in range(kills + 1):
        with embedder(tmp_path) as (process, url, anvil):
            deployment = deployment or deployed(url)
            with Chain(url, deployment, confirmations=1, timeout=5, patience=2) as chain:
                assert set(told) <= set(announced(chain.logs()))
                follower = Follower(chain, deployment.first_block, known=known)
                victim = dice.choice([process.pid, anvil])
                killer = threading.Timer(dice.uniform(0.05, 0.5), os.kill, (victim, signal.SIGKILL))
                killer.start()
                try:
                    for _ in range(3):
                        number += 1
                        announce(chain, number)
                        told.append(number)
                        follow(follower, followed)
                except SteelyardError:
                    pass  # killed meanwhile: it was not told
                known = follower.known
                killer.join()
    with embedder(tmp_path) as (_, url, _):
        assert deployment
        with Chain(url, deployment, confirmations=1, timeout=5) as chain:
            announce(chain, 0)
            follow(Follower(chain, deployment.first_block, known=known), followed)
            assert followed == announced(chain.logs())
            assert set(told) <= set(followed)


def follow(follower: Follower, found: list[int]) -> None:
    """Adds what is announced, as it comes: a kill meanwhile raises."""
    while step := follower.poll():
        assert not isinstance(step, Reorganised), "what was confirmed is no more"
        if isinstance(step, Batch):
            found += announced(list(step.events))
