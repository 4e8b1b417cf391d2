"""Anvil as a child process: the program, a port for it, and how it is started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from marketplace.chain.deployment import DEVELOPMENT_CHAIN
from marketplace.children import die_with_parent
from marketplace.errors import UnavailableError

_PACKAGE = Path("node_modules", "@foundry-rs", "anvil-linux-amd64", "bin", "anvil")


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


def bindable(port: int) -> int:
    """The port, or a free one for 0; 0 where somebody else has it, who would answer in Anvil's place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def launch(binary: Path, folder: str, port: int, more: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Starts Anvil on loopback; it ends with the thread that started it. folder: for what it writes. more: options."""
    network = f"--host 127.0.0.1 --port {port} --no-cors"
    rules = f"--chain-id {DEVELOPMENT_CHAIN} --hardfork cancun --no-mining --accounts 0"
    return subprocess.Popen(  # noqa: S603  # our own program with numbers and folders of ours
        [str(binary), *network.split(), *rules.split(), *more, "--quiet", "--cache-path", folder],
        env={"HOME": folder},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C is ours to handle
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
