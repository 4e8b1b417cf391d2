"""The demo's market: services as processes, and parties who type commands in homes of their own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx
from ipfs_daemon import IpfsDaemon

from marketplace.core.cid import Cid
from marketplace.storage import LocalStore

STEELYARD = Path(sys.executable).with_name("steelyard")
_PATIENCE = 60.0


class DemoError(Exception):
    """A command of the demo did not end as it should."""


class Party:
    """Somebody with a home. All that it knows of the others comes from chain, gateway and hub."""

    def __init__(self, name: str, home: Path, urls: dict[str, str]) -> None:
        self.name, self.home, self._urls = name, home, urls
        home.mkdir(mode=0o700, exist_ok=True)
        self.passphrase = f"the demo's passphrase of {name}"

    def environment(self, *, hub: bool = True) -> dict[str, str]:
        urls = {key: url for key, url in self._urls.items() if hub or key != "STEELYARD_HUB"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("STEELYARD_")}
        return {
            **kept,
            **urls,
            "STEELYARD_HOME": str(self.home),
            "STEELYARD_PASSPHRASE": self.passphrase,
        }

    def run(self, *words: str, expect: int = 0, hub: bool = True) -> dict[str, Any]:
        """One command; its JSON. Raises DemoError where the exit code is another one."""
        started = time.monotonic()
        command = [str(STEELYARD), *words, "--json"]
        done = subprocess.run(
            command, env=self.environment(hub=hub), capture_output=True, text=True, check=False
        )
        if done.returncode != expect:
            raise DemoError(
                f"`steelyard {' '.join(words)}` gave {done.returncode}: {done.stderr or done.stdout}".strip()
            )
        value: dict[str, Any] = json.loads(done.stdout)
        return {**value, "seconds": round(time.monotonic() - started, 2)}

    def lines(self, *words: str) -> Iterator[dict[str, Any]]:
        """A command that prints one JSON value a line, as they come."""
        command = [str(STEELYARD), *words, "--json"]
        with subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, text=True) as process:
            yield from map(json.loads, _stream(process))
        if process.returncode:
            raise DemoError(f"`steelyard {' '.join(words)}` gave {process.returncode}")


def _stream(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise DemoError("a command has no output")
    return process.stdout


class Market:
    """The services of one demo, ended with it. ipfs: an IPFS daemon holds the shared store in place of the gateway."""

    def __init__(self, folder: Path, *, ipfs: bool) -> None:
        self._folder = folder
        self._ipfs = IpfsDaemon(folder / "ipfs") if ipfs else None
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._urls: dict[str, str] = {}
        self._said: dict[str, list[str]] = {}
        self._parties: list[Party] = []
        self._changed: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for name in list(self._processes):
            self._stop(name)
        if self._ipfs:
            self._ipfs.kill()

    @property
    def store_name(self) -> str:
        """What holds the shared store, as the story says it."""
        return "an IPFS daemon" if self._ipfs else "a gateway"

    def party(self, name: str) -> Party:
        """A new party; the deployment file, its trust root, is handed to it."""
        party = Party(name, self._folder / name, self._urls)
        shutil.copy(self._folder / "chain" / "deployment.json", party.home)
        self._parties.append(party)
        return party

    def start_services(self, *, window: int, job_time: int) -> None:
        chain = Party("chain", self._folder / "chain", self._urls)
        times = ("--window", str(window), "--job-time", str(job_time))
        chain_ready = self._start("chain", chain, "chain", "run", "--port", "0", *times)
        if self._ipfs:
            self._ipfs.start()
            self._urls["STEELYARD_IPFS"] = self._ipfs.url
        else:
            gateway = Party("gateway", self._folder / "gateway", self._urls)
            self._urls["STEELYARD_GATEWAY"] = self._start(
                "gateway", gateway, "gateway", "run", "--port", "0"
            )()["url"]
        self._urls["STEELYARD_RPC"] = chain_ready()["url"]
        self._hub_ready = self._start("hub", self.party("hub"), "hub", "run", "--port", "0")

    def wait_for_hub(self) -> None:
        """From here on everybody knows the hub."""
        self._urls["STEELYARD_HUB"] = self._hub_ready()["url"]

    def start_node(self, provider: Party) -> None:
        self._start("node", provider, "node", "run")()

    def _start(self, name: str, party: Party, *words: str) -> Callable[[], dict[str, Any]]:
        """Starts a service; returns a function that waits for its first line, which says that it is ready."""
        process = subprocess.Popen(
            [str(STEELYARD), *words, "--json"],
            env=party.environment(),
            stdout=subprocess.PIPE,
            stderr=(self._folder / f"{name}.log").open("w"),
            text=True,
        )
        self._processes[name] = process

        def ready() -> dict[str, Any]:
            line = _stream(process).readline()
            if not line:
                raise DemoError(f"{name} did not start: {(self._folder / f'{name}.log').read_text()}")
            said = self._said.setdefault(name, [])
            threading.Thread(target=said.extend, args=(_stream(process),), daemon=True).start()
            value: dict[str, Any] = json.loads(line)
            return value

        return ready

    def stop_hub(self) -> None:
        self._stop("hub")

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_until_listed(self, buyer: Party, words: str) -> dict[str, Any]:
        """The first dataset that the hub finds; it needs a moment to index what was just published."""
        return self._wait(
            lambda: next(iter(buyer.run("dataset", "list", words)["datasets"]), None), "a listing"
        )

    def wait_until_node_says(self, words: str, job: str) -> None:
        """Until the provider reads that of a job in the node's log."""
        said = self._said["node"]
        self._wait(lambda: any(words in line and job in line for line in said) or None, f"`{job} {words}`")

    def _wait(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(0.1)
        raise DemoError(f"{what} did not come within {_PATIENCE:.0f} s")

    def transaction(self, transaction: str) -> dict[str, Any]:
        """Hash and gas of a transaction, straight from the RPC endpoint."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [transaction]}
        answer = httpx.post(self._urls["STEELYARD_RPC"], json=body, trust_env=False).json()
        return {"transaction": transaction, "gas": int(answer["result"]["gasUsed"], 16)}

    def flip_byte_of_output(self, submitted: dict[str, Any]) -> str:
        """Changes one byte of the sealed output's body where the store keeps it; returns the block's CID."""
        header = Cid.raw(bytes.fromhex(submitted["details"]["receipt"]["outputDigest"][2:]))
        body = Cid.parse(json.loads(self._path_of(header).read_bytes())["body"])
        self._changed = self._path_of(body)
        _flip_byte(self._changed)
        return str(body)

    def _path_of(self, cid: Cid) -> Path:
        if self._ipfs:
            return self._ipfs.path_of(cid.digest)
        return LocalStore(self._folder / "gateway" / "store").path_of(cid)

    def keep(self) -> None:
        """Mends the changed block, starts the hub again, shows the addresses and waits for Ctrl-C."""
        if self._changed:
            _flip_byte(self._changed)
        port = self._urls["STEELYARD_HUB"].rpartition(":")[2]
        hub = Party("hub", self._folder / "hub", self._urls)
        self._start("hub", hub, "hub", "run", "--port", port)()
        lines = [f"export {key}={url}" for key, url in self._urls.items()]
        for party in self._parties:
            lines.append(f"STEELYARD_HOME={party.home} STEELYARD_PASSPHRASE={shlex.quote(party.passphrase)}")
        lines.append("Ctrl-C ends it.")
        sys.stderr.write("\n".join(lines) + "\n")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()


def _flip_byte(path: Path) -> None:
    """Changes one byte in the middle of a file; done twice, it is as before."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
