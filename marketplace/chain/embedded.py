"""A development chain on this machine: Anvil as a child process on loopback, mined only when there is work.

Not for money: whoever reaches its port can set any balance. It forgets everything when it ends, unless it is given a
folder: then a block gets its successor only once it is on the disk, so that nothing confirmed is ever forgotten.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from eth_account import Account

from marketplace.chain.anvil import bindable, find_anvil, launch
from marketplace.chain.client import ETHER, Chain
from marketplace.chain.deployment import DEVELOPMENT_CHAIN
from marketplace.chain.kept import KeptState
from marketplace.chain.rpc import Rpc, fields, quantity
from marketplace.errors import InputError, RefusedError, SteelyardError, UnavailableError

EURO = 1_000_000
"""Token units in a euro."""

_MINING_INTERVAL = 0.05
_START_SECONDS = 15.0
_RESTART_SECONDS = 3.0
_ATTEMPTS = 5


class EmbeddedChain:
    """Anvil, chain id 31337, on 127.0.0.1; a context manager.

    Transactions are mined within about 50 ms, and one empty block follows them, so that one confirmation comes at once.
    Start it from a thread that lives on: the kernel ends Anvil with the thread that started it.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        binary: Path | None = None,
        timeout: float = 20.0,
        keep: Path | None = None,
    ) -> None:
        """port: 0 takes a free one. timeout: seconds for an answer. keep: folder for its state, which outlives it."""
        if not 0 <= port <= 65_535:
            raise InputError("not a port", got=port, expected="0 to 65535")
        self._port = port
        self._binary = binary
        self._timeout = timeout
        self._keep = keep
        self._kept: KeptState | None = None
        self._stop = threading.Event()
        self._mining = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._rpc: Rpc | None = None
        self._miner: threading.Thread | None = None
        self.url = ""
        self.went_on = False
        """Whether it was started from a state that was kept."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Anvil's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def rpc(self) -> Rpc:
        """A connection of its own, for the calls that only Anvil has. Raises UnavailableError before the start."""
        if self._rpc is None:
            raise UnavailableError("the development chain does not run", do="Start it first.")
        return self._rpc

    def start(self) -> None:
        """Starts Anvil and its miner. Raises UnavailableError where it is missing or does not come up."""
        binary = find_anvil(self._binary)
        self._kept = KeptState(self._keep) if self._keep else None
        self._folder = tempfile.TemporaryDirectory(prefix="steelyard-chain-")
        try:
            self._come_up(binary, self._folder.name)
        except BaseException:
            self.close()
            raise
        self._stop.clear()
        self._miner = threading.Thread(target=self._mine, name="miner", daemon=True)
        self._miner.start()

    def close(self) -> None:
        """Ends miner and Anvil; may be called twice. What is kept is kept first."""
        self._stop.set()
        if self._miner:
            self._miner.join(timeout=10)
            with suppress(SteelyardError):
                self._keep_state()
        self._end_process()
        if self._rpc:
            self._rpc.close()
        if self._folder:
            self._folder.cleanup()
        if self._kept:
            self._kept.close()
        self._miner = self._rpc = self._folder = self._kept = None

    def faucet(self, address: str, wei: int = 100 * ETHER) -> None:
        """Sets an account's ether."""
        self.rpc.request("anvil_setBalance", address, hex(wei))

    def mine(self, blocks: int = 1) -> None:
        """Mines at once, whether there is work or not."""
        for _ in range(blocks):
            self.rpc.request("evm_mine")

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is mined meanwhile unless `mine` is called: a chain that does not go on."""
        with self._mining:
            yield

    def _come_up(self, binary: Path, folder: str) -> None:
        state = self._kept.options() if self._kept else []
        for _ in range(1 if self._port else _ATTEMPTS):
            port = self._free_port()
            if not port:
                break
            self._process = launch(binary, folder, port, state)
            self.url = f"http://127.0.0.1:{port}"
            self._rpc = Rpc(self.url, timeout=self._timeout)
            if self._answers():
                self.went_on = bool(state)
                if state:
                    self._go_on()
                return
            self._end_process()
            self._rpc.close()
        raise UnavailableError(
            "Anvil does not start",
            got=" ".join([*([f"port {self._port}"] if self._port else []), *state]) or None,
            do="Is the port taken? Choose another one.",
        )

    def _go_on(self) -> None:
        """Sets a loaded chain's clock, and mines: Anvil has no state of blocks before the one that it loaded."""
        head = fields(self.rpc.request("eth_getBlockByNumber", "latest", False), "block")
        self.rpc.request(
            "evm_setTime", max(int(time.time()), quantity(head.get("timestamp"), "block time") + 1)
        )
        self.mine()

    def _free_port(self) -> int:
        """A port for Anvil, or 0. The one of a chain that was just killed is free in a moment."""
        deadline = time.monotonic() + (_RESTART_SECONDS if self._kept else 0)
        while not (port := bindable(self._port)) and time.monotonic() < deadline:
            time.sleep(_MINING_INTERVAL)
        return port

    def _answers(self) -> bool:
        """Whether Anvil came up; False once it has ended."""
        deadline = time.monotonic() + _START_SECONDS
        while self._process and self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.rpc.request("eth_chainId")
                return self._process.poll() is None
            except UnavailableError:
                time.sleep(0.01)
        return False

    def _end_process(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _mine(self) -> None:
        while not self._stop.wait(_MINING_INTERVAL):
            try:
                with self._mining:
                    while not self._stop.is_set() and self._has_work():
                        self._keep_state()
                        self.mine()
                    self._keep_state()
            except SteelyardError:
                # Anvil is busy or has ended; whoever waits for a block says so in time.
                self._start_again_if_kept()

    def _keep_state(self) -> None:
        """Before a block gets a successor: with one confirmation, what is confirmed is on the disk."""
        if self._kept:
            self._kept.keep(self.rpc)

    def _start_again_if_kept(self) -> None:
        """On the same port, from the last state on the disk; tried again and again."""
        if self._kept is None or self._folder is None or (self._process and self._process.poll() is None):
            return
        port, self._port = self._port, int(self.url.rpartition(":")[2])
        self.rpc.close()
        try:
            self._come_up(find_anvil(self._binary), self._folder.name)
        except SteelyardError:
            self._stop.wait(_RESTART_SECONDS)
        finally:
            self._port = port

    def _has_work(self) -> bool:
        """Whether something waits to be mined, or was mined and has no successor: a block that was to be empty may
        have caught a transaction that came in between."""
        pool = fields(self.rpc.request("txpool_status"), "pool")
        newest = self.rpc.request("eth_getBlockTransactionCountByNumber", "latest")
        return quantity(pool.get("pending"), "pool") > 0 or quantity(newest, "transactions") > 0


def fund(chain: Chain, address: str, euros: int) -> None:
    """Gives an account ether for a long time and mints whole test euros to it, 0 or more.

    Raises RefusedError on any chain but a development chain.
    """
    if chain.deployment.chain_id != DEVELOPMENT_CHAIN:
        raise RefusedError(
            "money can be made on a development chain only",
            got=f"chain id {chain.deployment.chain_id}",
            expected=DEVELOPMENT_CHAIN,
        )
    chain.rpc.request("anvil_setBalance", address, hex(100 * ETHER))
    if euros:
        minter = Account.create()
        chain.rpc.request("anvil_setBalance", minter.address, hex(ETHER))
        chain.send("TestEuro", "mint", (address, euros * EURO), minter)
