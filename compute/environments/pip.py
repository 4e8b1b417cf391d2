"""Fetches pinned packages by pip, as a program of its own: wheels alone, so that nothing of them runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from compute.environments.requirements import Pin
from marketplace.errors import UnavailableError

_SHOWN = ("Collecting", "Downloading", "Installing", "Using cached")
_LAST_LINES = 4


def install(pins: Sequence[Pin], target: Path, on_step: Callable[[str], None]) -> None:
    """Installs these packages, and no others, into a new folder; indexes are those of pip's own configuration.

    Raises UnavailableError with pip's own words where it cannot.
    """
    wanted = target.with_suffix(".txt")
    wanted.write_text("".join(pin.line() + "\n" for pin in pins), "utf-8")
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"),
        *("--no-deps", "--only-binary", ":all:", "--progress-bar", "off"),
        *("--target", str(target), "--requirement", str(wanted)),
    ]
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own interpreter, pins that were parsed
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            text = line.strip()
            said = [*said[1 - _LAST_LINES :], text]
            if text.startswith(_SHOWN):
                on_step(text[:200])
    if process.returncode:
        raise UnavailableError(
            "pip could not install the packages",
            got=" / ".join(said),
            do="See that each is there, as a wheel for this Python and machine.",
        )
    wanted.unlink()
