"""People of the demo: each has a home, a wallet, a passphrase in a file, and types commands."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from marketplace.cli import build
from marketplace.cli.addresses import demo_settings, write_addresses
from marketplace.cli.output import Output
from marketplace.cli.session import Session
from marketplace.errors import SteelyardError
from marketplace.settings import Settings
from marketplace.storage.disk import write_atomically

_building = threading.Lock()


class Person:
    """Somebody with a home below the demo's. Its commands run in this process, one at a time."""

    def __init__(self, name: str, settings: Settings) -> None:
        """settings: of the demo, whose home is the folder of all homes."""
        self.name, self.home = name, settings.home / name
        self.settings = demo_settings(settings, self.home)
        self._typing = threading.Lock()
        self.home.mkdir(mode=0o700, exist_ok=True)
        if not (self.home / "passphrase").exists():
            write_atomically(self.home / "passphrase", secrets.token_hex(16).encode() + b"\n", mode=0o600)
        write_addresses(self.home, self.settings)

    def session(self) -> Session:
        """Its view of the market; the caller closes it."""
        return Session(_Collected(), self.settings)

    def run(self, *words: str) -> dict[str, Any]:
        """What a command gives as JSON. Raises SteelyardError where it does not end with 0."""
        with _building:  # commands that join a group join it once
            command = typer.main.get_command(build(words))
        output = _Collected()
        here = Session(output, self.settings)
        try:
            with self._typing:
                code = command.main([*words], prog_name="steelyard", standalone_mode=False, obj=here)
        finally:
            here.close()
        if code:
            raise SteelyardError(f"`steelyard {' '.join(words)}` of {self.name} ended with code {code}")
        return output.value


class _Collected(Output):
    """Keeps the result instead of showing it."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.value: dict[str, Any] = {}

    def result(
        self, value: dict[str, Any], lines: Iterable[str | Text | Table] = (), *, then: str | None = None
    ) -> None:
        self.value = value

    def step(self, text: str) -> None:
        """Nobody looks."""

    say = step
