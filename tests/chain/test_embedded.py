"""The development chain starts, mines what is sent, and ends with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from marketplace.chain.anvil import find_anvil
from marketplace.chain.embedded import ETHER, EURO, EmbeddedChain
from marketplace.errors import InputError, UnavailableError
from tests.support.chain import RunningMarket

ROOT = Path(__file__).resolve().parents[2]


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_it_is_chain_31337_under_the_cancun_rules() -> None:
    with EmbeddedChain() as chain:
        assert chain.rpc.request("eth_chainId") == hex(31_337)
        assert chain.rpc.request("anvil_nodeInfo")["hardFork"].lower() == "cancun"
        assert chain.rpc.request("eth_accounts") == []


def test_it_listens_on_loopback_only() -> None:
    with EmbeddedChain() as chain:
        port = int(chain.url.rsplit(":", 1)[1])
        addresses = {
            line.split()[1]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        }
    assert addresses == {f"0100007F:{port:04X}"}


def test_it_ends_when_closed_and_may_be_closed_twice() -> None:
    chain = EmbeddedChain()
    chain.start()
    pid = chain.pid
    assert pid and alive(pid)
    chain.close()
    chain.close()
    assert not alive(pid)
    with pytest.raises(UnavailableError, match="does not run"):
        chain.faucet("0x" + "1" * 40)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_its_parent_is_killed(number: signal.Signals) -> None:
    code = (
        "import time\nfrom marketplace.chain.embedded import EmbeddedChain\n"
        "with EmbeddedChain() as chain:\n    print(chain.pid, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, number)
        parent.wait()
    assert wait_until_gone(pid)


def test_nothing_is_mined_while_nothing_is_sent() -> None:
    with EmbeddedChain() as chain:
        time.sleep(0.5)
        assert chain.rpc.request("eth_blockNumber") == "0x0"


def test_a_transaction_is_mined_and_followed_by_an_empty_block(market: RunningMarket) -> None:
    before = market.chain.head()
    sent = market.chain.send("Market", "announceApproval", (1, b"\1" * 32, b"\2" * 32), market.provider)
    time.sleep(0.3)
    assert sent.block == before + 1
    assert market.chain.head() == before + 2
    assert sent.seconds < 3


def test_a_transaction_caught_by_a_block_that_was_to_be_empty_is_followed_too(market: RunningMarket) -> None:
    chain = market.chain
    for number in range(5):
        account = market.account(f"caught {number}")
        sent: list[int] = []
        sender = threading.Thread(
            target=lambda: sent.append(  # noqa: B023 - joined below
                chain.send("Market", "announceApproval", (1, b"\1" * 32, b"\2" * 32), account).block  # noqa: B023
            )
        )
        sender.start()
        while sender.is_alive() and not market.embedded.rpc.request("txpool_content")["pending"]:
            time.sleep(0.001)
        market.embedded.mine()  # as the second block of the miner's pair would
        sender.join(5)
        assert sent, "a mined transaction has no successor"


def test_the_clock_of_the_chain_does_not_run_ahead(market: RunningMarket) -> None:
    market.embedded.mine(200)
    assert market.chain.block_time(market.chain.head()) <= time.time() + 1


def test_the_faucet_gives_ether_and_accounts_get_euros(market: RunningMarket) -> None:
    account = market.account("rich", euros=12)
    assert market.chain.token_balance(account.address) == 12 * EURO
    assert market.chain.ether(account.address) == 100 * ETHER
    market.embedded.faucet(account.address, 7)
    assert market.chain.ether(account.address) == 7


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"Anvil does not start; got port {port}"):
            EmbeddedChain(port, timeout=1).start()


def test_the_port_of_another_chain_is_told() -> None:
    with EmbeddedChain() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(UnavailableError, match="Anvil does not start"):
            EmbeddedChain(port).start()
        assert first.rpc.request("eth_chainId") == hex(31_337)


def test_two_chains_run_beside_each_other() -> None:
    with EmbeddedChain() as one, EmbeddedChain() as two:
        assert one.url != two.url
        one.mine(3)
        assert two.rpc.request("eth_blockNumber") == "0x0"


def test_a_program_that_is_missing_or_no_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"Anvil is not installed.*Run scripts/setup"):
        find_anvil(tmp_path / "anvil")
    (tmp_path / "anvil").write_text("not executable")
    with pytest.raises(UnavailableError, match="Anvil is not installed"):
        find_anvil(tmp_path / "anvil")


def test_a_program_that_ends_at_once_is_told(tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(UnavailableError, match="Anvil does not start"):
        EmbeddedChain(binary=program).start()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(InputError, match="not a port"):
        EmbeddedChain(port)
