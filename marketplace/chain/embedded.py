"""A development chain on this machine: Anvil as a child process on loopback, mined only when there is work.

Not for money: whoever reaches its port can set any balance. It forgets everything when it ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from eth_account import Account

from marketplace.chain.client import ETHER, Chain
from marketplace.chain.deployment import DEVELOPMENT_CHAIN
from marketplace.chain.rpc import Rpc, fields, quantity
from marketplace.errors import InputError, RefusedError, SteelyardError, UnavailableError

EURO = 1_000_000
"""Token units in a euro."""

_MINING_INTERVAL = 0.05
_START_SECONDS = 15.0
_ATTEMPTS = 5
_PACKAGE = Path("node_modules", "@foundry-rs", "anvil-linux-amd64", "bin", "anvil")
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def find_anvil(binary: Path | None = None) -> Path:
    """The program: `binary`, else on PATH, else of the project's node_modules. Raises UnavailableError."""
    if binary is not None:
        candidates = [binary]
    else:
        found = shutil.which("anvil")
        root = Path(__file__).resolve().parents[2]
        candidates = [Path(found)] if found else []
        candidates += [root / _PACKAGE, Path.cwd() / _PACKAGE]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise UnavailableError(
        "Anvil is not installed",
        got=", ".join(map(str, candidates)),
        expected="a program",
        do="Run scripts/setup in the project's folder, or put `anvil` on PATH.",
    )


class EmbeddedChain:
    """Anvil, chain id 31337, on 127.0.0.1; a context manager.

    Transactions are mined within about 50 ms, and one empty block follows them, so that one confirmation comes at once.
    Start it from a thread that lives on: the kernel ends Anvil with the thread that started it.
    """

    def __init__(self, port: int = 0, *, binary: Path | None = None, timeout: float = 20.0) -> None:
        """port: 0 takes a free one. timeout: seconds for an answer."""
        if not 0 <= port <= 65_535:
            raise InputError("not a port", got=port, expected="0 to 65535")
        self._port = port
        self._binary = binary
        self._timeout = timeout
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._rpc: Rpc | None = None
        self._miner: threading.Thread | None = None
        self.url = ""

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
        """Ends miner and Anvil; may be called twice."""
        self._stop.set()
        if self._miner:
            self._miner.join(timeout=10)
        self._end_process()
        if self._rpc:
            self._rpc.close()
        if self._folder:
            self._folder.cleanup()
        self._miner = self._rpc = self._folder = None

    def faucet(self, address: str, wei: int = 100 * ETHER) -> None:
        """Sets an account's ether."""
        self.rpc.request("anvil_setBalance", address, hex(wei))

    def mine(self, blocks: int = 1) -> None:
        """Mines at once, whether there is work or not."""
        for _ in range(blocks):
            self.rpc.request("evm_mine")

    def _come_up(self, binary: Path, folder: str) -> None:
        for _ in range(1 if self._port else _ATTEMPTS):
            port = _bindable(self._port)
            if not port:
                break
            self._process = _launch(binary, folder, port)
            self.url = f"http://127.0.0.1:{port}"
            self._rpc = Rpc(self.url, timeout=self._timeout)
            if self._answers():
                return
            self._end_process()
            self._rpc.close()
        raise UnavailableError(
            "Anvil does not start",
            got=f"port {self._port}" if self._port else None,
            do="Is the port taken? Choose another one.",
        )

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
                while not self._stop.is_set() and self._has_work():
                    self.mine()
            except SteelyardError:
                continue  # Anvil is busy or ends; whoever waits for a block says so in time

    def _has_work(self) -> bool:
        """Whether something waits to be mined, or was mined and has no successor: a block that was to be empty may
        have caught a transaction that came in between."""
        pool = fields(self.rpc.request("txpool_status"), "pool")
        newest = self.rpc.request("eth_getBlockTransactionCountByNumber", "latest")
        return quantity(pool.get("pending"), "pool") > 0 or quantity(newest, "transactions") > 0


def _bindable(port: int) -> int:
    """The port, or a free one for 0; 0 where somebody else has it, who would answer in Anvil's place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def _launch(binary: Path, folder: str, port: int) -> subprocess.Popen[bytes]:
    network = f"--host 127.0.0.1 --port {port} --no-cors"
    rules = f"--chain-id {DEVELOPMENT_CHAIN} --hardfork cancun --no-mining --accounts 0"
    return subprocess.Popen(  # noqa: S603  # our own program with numbers and a folder of ours
        [str(binary), *network.split(), *rules.split(), "--quiet", "--cache-path", folder],
        env={"HOME": folder},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C is ours to handle
        preexec_fn=_die_with_parent(),
    )


def _die_with_parent() -> Callable[[], None]:
    """What the child runs before it becomes Anvil: the kernel ends it with us, however we end (Linux)."""
    library, parent = ctypes.CDLL(None), os.getpid()

    def ask_kernel() -> None:
        library.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


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
