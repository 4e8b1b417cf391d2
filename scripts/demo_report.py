"""What the demo shows: a story with progress while it runs, a table at its end; or one JSON object."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def euros(units: int) -> str:
    return f"{units / 1_000_000:.2f} EUR"


class Report:
    """Collects what happened. quiet: print nothing but the JSON object."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._started = quiet, time.monotonic()
        self._console = Console(highlight=False, soft_wrap=True)
        self._rows: list[tuple[str, str, str, str]] = []
        self._last = self._started
        self.value: dict[str, Any] = {"jobs": [], "refunds": [], "gas": {}}

    def act(self, text: str) -> None:
        self._print(Text(f"\n{time.monotonic() - self._started:5.1f} s  {text}", style="bold"))

    def say(self, text: str) -> None:
        self._print(Text(f"         {text}"))

    def progress(self, seen: dict[str, Any]) -> None:
        if seen["source"] == "chain":
            self.say(f"chain: {seen['state']}")
        else:
            bar = (
                f" {'█' * (20 * seen['done'] // seen['of'])} {seen['done']}/{seen['of']}"
                if seen["of"]
                else ""
            )
            self.say(f"node: {seen['stage']}{bar}")

    def row(self, step: str, done: dict[str, Any]) -> None:
        """One transaction; its time is what passed since the row before."""
        now = time.monotonic()
        gas = f"{done['gas']:,}" if "gas" in done else ""
        self._rows.append((step, str(done.get("transaction", ""))[:18], gas, f"{now - self._last:.1f}"))
        self._last = now
        self.say(f"{step}  [{gas} gas]" if gas else step)

    def end(self) -> None:
        self.value["seconds"] = round(time.monotonic() - self._started, 1)
        if self._quiet:
            sys.stdout.write(json.dumps(self.value) + "\n")
            return
        table = Table(
            title=f"One job, end to end: {self.value['seconds']} s", header_style="bold", title_justify="left"
        )
        for name in ("step", "transaction", "gas", "seconds"):
            table.add_column(name, justify="right" if name in ("gas", "seconds") else "left")
        for row in self._rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print()
        self._console.print(table)

    def _print(self, text: Text) -> None:
        if not self._quiet:
            self._console.print(text)
