"""What `steelyard doctor` looks at for a node: sandbox, memory and swap, packages, the node itself."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from compute.provider.alone import LOCK
from compute.provider.place import registered_key
from compute.sandbox import Isolation, Sandbox, Wall, most_memory
from compute.sandbox.scratch import default_root
from marketplace import bonds
from marketplace.cli.findings import Finding, ok, warning, wrong
from marketplace.cli.session import Session
from marketplace.core.readable import euros
from marketplace.errors import RefusedError, SteelyardError
from marketplace.keys import NODE_WALLET, SEALING_KEY
from marketplace.storage.locks import holder

_GIB = 1024**3
_AGAIN = "steelyard node init"
_USUAL_JOB = 4 * _GIB
_EXACT = Isolation.CGROUP_MEMORY | Isolation.CGROUP_PIDS | Isolation.CGROUP_CPU
_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=15000"),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "allow bubblewrap user namespaces by an AppArmor profile, or"
        " sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
}
"""Files of the kernel, the value that forbids user namespaces, and what to do about it."""


def sandbox(here: Session) -> Iterator[Finding]:
    """The walls, tried by small attacks in a scratch folder of their own."""
    wall = Wall(here.settings.wall)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="steelyard-doctor-", dir=default_root().parent) as folder,
            Sandbox(Path(folder) / "scratch", wall=wall) as tried,
        ):
            reached = tried.probe()
    except RefusedError as error:
        yield wrong("sandbox", f"{error.what}; {error.got or error.expected}", _mended(error))
        return
    yield ok("sandbox", f"{wall.value} holds: {reached.name}")
    if missing := _EXACT & ~reached:
        yield warning(
            "cgroups",
            f"limits are polled, not exact: {missing.name} is out of reach",
            "Delegate the controllers memory and pids to the node, or run it as root.",
        )
    with suppress(SteelyardError):  # without a node, or where the chain is away: other lines say so
        registered = Isolation(here.chain.isolation_of(here.address))
        if here.chain.node_of(here.address) and registered != reached:
            yield wrong("isolation", f"{registered.name} is registered, so the node refuses to run", _AGAIN)
    if wall is Wall.bubblewrap:
        found = shutil.which("runsc")
        yield ok(
            "gvisor", f"there as a second wall: {found}" if found else "not installed; the wall is bubblewrap"
        )


def _mended(error: RefusedError) -> str:
    forbidden = [do for path, (value, do) in _SWITCHES.items() if _reads(path) == value]
    return "; ".join(forbidden) if forbidden and os.geteuid() else error.do or ""


def _reads(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return ""


def room(here: Session) -> Iterator[Finding]:
    """Memory for jobs, shared memory for their plaintext, and where memory may end up on a disk."""
    most, shared = most_memory(), shutil.disk_usage(default_root().parent).total
    if most < _USUAL_JOB:
        do = "Jobs that ask for more are rejected: use a larger machine, or list smaller algorithms."
        yield warning("memory", f"{most / _GIB:.1f} GiB for a job", do)
    else:
        yield ok("memory", f"{most / _GIB:.1f} GiB for a job")
    if shared < _GIB:
        do = "Plaintext lies there during a job: mount -o remount,size=50% /dev/shm (containers: --shm-size)."
        yield warning("shared memory", f"{shared / _GIB:.2f} GiB in {default_root().parent}", do)
    else:
        yield ok(
            "shared memory", f"{shared / _GIB:.1f} GiB in {default_root().parent} for the plaintext of jobs"
        )
    bare = [device for device in _swaps() if not _is_private(device)]
    if bare:
        do = "Plaintext in memory may reach that disk: swapoff, or encrypt it (cryptsetup with a random key)."
        yield warning("swap", f"unencrypted: {', '.join(bare)}", do)
    else:
        yield ok("swap", "none, or none that outlives a reboot in the clear")


def _swaps() -> list[str]:
    return [line.split()[0] for line in _reads("/proc/swaps").splitlines()[1:]]


def _is_private(device: str) -> bool:
    """Whether a swap is in memory (zram) or on a volume that dm-crypt encrypts. A file's own disk is not looked at."""
    name = Path(device).resolve().name
    return name.startswith("zram") or _reads(f"/sys/block/{name}/dm/uuid").startswith("CRYPT-")


def packages(here: Session) -> Iterator[Finding]:
    """What a node needs beside the market: the packages of the extra `compute`, in their pinned versions."""
    wrong_ones = [text for name, pinned in _pinned("compute") if (text := _differs(name, pinned))]
    if wrong_ones:
        yield wrong(
            "packages", ", ".join(wrong_ones), "Run scripts/setup, or pip install 'steelyard[compute]'."
        )
    else:
        yield ok("packages", f"torch {version('torch')} and the rest, as pinned")


def _pinned(extra: str) -> list[tuple[str, str]]:
    """Name and version of each `name==version` of an extra of ours."""
    lines = [line for line in requires("steelyard") or [] if f'extra == "{extra}"' in line]
    pairs = (line.partition(";")[0].strip().partition("==") for line in lines)
    return [(name.strip(), pinned.strip()) for name, _, pinned in pairs]


def _differs(name: str, pinned: str) -> str:
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is missing"
    return "" if found.partition("+")[0] == pinned else f"{name} {found}, expected {pinned}"


def node(here: Session) -> Iterator[Finding]:
    """Keys, registration, bond, and whether it runs. Its gas is among the wallets."""
    hot, sealing = here.keyring.wallets().get(NODE_WALLET), here.keyring.sealing_keys().get(SEALING_KEY)
    if hot is None:
        yield ok("node", "none in this home; to offer data: steelyard node init")
        return
    try:
        yield from _registered(here, hot, sealing)
    except SteelyardError as error:
        yield warning(
            "node", f"not compared with the chain: {error.what}", error.do or "See the chain's line."
        )
    running = holder(here.home / LOCK)
    if running:
        yield ok("node", f"runs: {running}")
    else:
        yield warning("node", "does not run: jobs on your data expire and cost your bond", "steelyard up")


def _registered(here: Session, hot: str, sealing: bytes | None) -> Iterator[Finding]:
    registered = registered_key(here.chain, here.address)
    if registered != hot:
        yield wrong("node", f"its key {hot} is not the registered one: {registered or 'none'}", _AGAIN)
        return
    if here.chain.sealing_key_of(here.address) != sealing:
        yield wrong("node", "its sealing key is not the registered one: it could open no order", _AGAIN)
    else:
        yield ok("node", f"{hot} is registered for {here.address}")
    missing = bonds.missing(here.chain, here.address)
    if missing:
        yield wrong("bond", f"{euros(missing)} too little: nobody can buy from you", _AGAIN)
    else:
        yield ok("bond", euros(here.chain.bond(here.address).staked))
