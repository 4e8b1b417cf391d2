"""What a command shows: tables and progress for people on a terminal, one JSON value for programs."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from marketplace.errors import SteelyardError

_SAFE_INTEGER = 1 << 53


class Output:
    """Results go to stdout, everything else to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def step(self, text: str) -> None:
        """Progress: one line on stderr, for people."""
        if not self.as_json:
            self._err.print(Text(f"  {text}", style="dim"))

    def say(self, text: str) -> None:
        """A remark on stderr."""
        if self.as_json:
            sys.stderr.write(json.dumps({"note": text}, ensure_ascii=False) + "\n")
        else:
            self._err.print(_line(text))

    def result(
        self, value: dict[str, Any], lines: Iterable[str | Text | Table] = (), *, then: str | None = None
    ) -> None:
        """The result: `value` as JSON, or `lines` for people, with the next command at the end."""
        if self.as_json:
            json.dump(plain({**value, "next": then} if then else value), sys.stdout, ensure_ascii=False)
            sys.stdout.write("\n")
            sys.stdout.flush()
            return
        for line in lines:
            self._out.print(_line(line) if isinstance(line, str) else line)
        if then:
            self._out.print(Text(f"next: {then}", style="bold"))

    def text(self, text: str) -> None:
        """A whole document on stdout, as it is; for people and pipes."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def event(self, value: dict[str, Any], line: str | Text) -> None:
        """One of many results, as it comes: a line of JSON, or of text."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            self._out.print(_line(line) if isinstance(line, str) else line)

    def error(self, error: SteelyardError) -> None:
        if self.as_json:
            sys.stderr.write(json.dumps(error.to_json(), ensure_ascii=False) + "\n")
        else:
            self._err.print(Text.assemble(("error: ", "bold red"), _line(str(error))))

    def usage(self, message: str, usage: str) -> None:
        if self.as_json:
            sys.stderr.write(json.dumps({"error": "UsageError", "what": message}) + "\n")
        else:
            if message:
                self._err.print(Text.assemble(("error: ", "bold red"), message))
            if usage:
                self._err.print(Text(usage, style="dim"))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table for people; cells are plain text, never markup. A job's id and its state fit into 80 columns."""
    found = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for column in columns:
        found.add_column(column, overflow="fold")
    for row in rows:
        found.add_row(*(_line(str(cell)) for cell in row))
    return found


def table_or(
    empty: str, title: str, columns: Sequence[str], rows: Collection[Sequence[object]]
) -> str | Table:
    """A table, or one sentence where it would be empty."""
    return table(title, columns, rows) if rows else empty


def clean(text: str) -> str:
    """Text as a terminal may show it: what strangers wrote must not move the cursor or turn the writing."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C")


def _line(text: str) -> Text:
    return Text(clean(text))


def plain(value: Any) -> Any:
    """JSON that every program reads alike: bytes as 0x-hex, integers beyond 2^53 as texts."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE_INTEGER:
        return str(value)
    return value


def short(value: bytes | int | str) -> str:
    """The beginning and end of an id, for tables."""
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 20 else f"{text[:10]}…{text[-6:]}"
