"""Checks of this machine and this home: Python, platform, disk, key files, ports."""

from __future__ import annotations

import platform
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from marketplace.chain.anvil import bindable, find_anvil
from marketplace.cli.findings import Finding, Level, of_error, ok, warning, wrong
from marketplace.cli.session import Session
from marketplace.cli.up import LOCK
from marketplace.errors import SteelyardError
from marketplace.settings import ADDRESSES
from marketplace.storage.locks import holder

_GIB = 1024**3
_LEAST, _LITTLE = _GIB // 4, 4 * _GIB
_PORTS = {"chain": 8545, "gateway": 8080, "hub": 8000}


def interpreter(here: Session) -> Iterator[Finding]:
    yield ok("python", f"Python {platform.python_version()}")
    system = f"{platform.system()} {platform.machine()}, kernel {platform.release()}"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        yield ok("platform", system)
    else:
        yield wrong(
            "platform", system, "Use Linux on x86-64: nodes and the development chain run there alone."
        )


def home(here: Session) -> Iterator[Finding]:
    path = here.home
    if not path.is_dir():
        yield warning(
            "home", f"{path} is not there yet", "Begin: steelyard up, or steelyard wallet new NAME."
        )
    elif path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield wrong("home", f"others can write to {path}", f"chmod 700 {path}")
    else:
        yield ok("home", str(path))
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    what = f"{free / _GIB:.1f} GiB free at {there}"
    if free < _LEAST:
        yield wrong("disk", what, "Free some space: chain, vault and store write there.")
    elif free < _LITTLE:
        yield warning(
            "disk", what, "Free some space before you publish: sealed data is as large as the data."
        )
    else:
        yield ok("disk", what)


def keys(here: Session) -> Iterator[Finding]:
    folder = here.home / "keys"
    if not folder.is_dir():
        yield ok("keys", "none in this home yet")
        return
    if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield wrong("keys", f"others can write to {folder}", f"chmod 700 {folder}")
    try:
        wallets, sealing = here.keyring.wallets(), here.keyring.sealing_keys()
    except SteelyardError as error:
        yield of_error("keys", error)
        return
    yield ok("keys", f"{len(wallets)} wallets, {len(sealing)} sealing keys, readable by you alone")
    yield _passphrase(here)


def _passphrase(here: Session) -> Finding:
    """Whether a service could open the keys; it is never read here."""
    file = here.settings.passphrase_file
    if file is None:
        set_ = bool(here.settings.passphrase.get_secret_value())
        return ok("passphrase", "from STEELYARD_PASSPHRASE" if set_ else "asked on the terminal")
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return wrong(
            "passphrase", f"no passphrase file: {error.strerror}", "Check STEELYARD_PASSPHRASE_FILE."
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning(
            "passphrase", "its file is open to others", "chmod 600 the file of STEELYARD_PASSPHRASE_FILE"
        )
    return ok("passphrase", "from a file that you alone can read")


def services(here: Session) -> Iterator[Finding]:
    """Whether `steelyard up` runs in this home, and if not, whether it could."""
    running = holder(here.home / LOCK)
    if running:
        where = (
            "starting" if not (here.home / ADDRESSES).is_file() else f"addresses in {here.home / ADDRESSES}"
        )
        yield ok("up", f"`steelyard up` runs here: {running}; {where}")
        return
    if (here.home / ADDRESSES).is_file():
        yield warning("up", "`steelyard up` was killed here and does not run", "Start it again: steelyard up")
    else:
        yield ok("up", "`steelyard up` does not run in this home")
    yield from _development_chain()
    taken = [f"{port} ({name})" for name, port in _PORTS.items() if not bindable(port)]
    if taken:
        options = " ".join(f"--port-{name} 0" for name, port in _PORTS.items() if not bindable(port))
        yield warning(
            "ports", f"in use already: {', '.join(taken)}", f"If not by your services: steelyard up {options}"
        )
    else:
        yield ok("ports", "those of chain, gateway and hub are free")


def _development_chain() -> Iterator[Finding]:
    try:
        yield ok("anvil", str(Path(find_anvil())))
    except SteelyardError as error:
        yield of_error("anvil", error, level=Level.warning)
