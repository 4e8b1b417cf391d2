"""Untrusted bytes from a pipe, as lines: bounded in length, in number, and in what they can do to a terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

LINE_BYTES = 4096
TAIL_CHARACTERS = 16 * 1024
_CHUNK = 64 * 1024
_BREAK = re.compile(rb"\r\n|\n|\r(?!$)")
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")


class LineReader:
    """Reads a pipe that never blocks; holds at most one line and the tail.

    on_line gets each line, <= 4 KiB as UTF-8 (longer ones come in pieces), until `limit` bytes have been
    read; what follows is dropped but for the tail. Its exceptions pass through.
    """

    def __init__(self, descriptor: int, limit: int, on_line: Callable[[str], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._left = limit
        self._on_line = on_line
        self._pending = b""
        self._tail = ""
        self.ended = False

    @property
    def cut(self) -> bool:
        """Whether lines were dropped."""
        return self._left < 0

    @property
    def tail(self) -> str:
        """The last lines, at most 16 KiB."""
        return self._tail

    def read(self) -> bool:
        """Take what is there, at most 64 KiB. False if nothing was."""
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.ended = True
            self.finish()
            return False
        lines = _BREAK.split(self._pending + chunk)
        self._pending = lines.pop()
        for line in lines:
            self._deliver(line)
        while len(self._pending) > LINE_BYTES:
            self._deliver(self._pending[:LINE_BYTES])
            self._pending = self._pending[LINE_BYTES:]
        return True

    def finish(self) -> None:
        """Deliver the last line, if it did not end with a newline."""
        if self._pending:
            self._deliver(self._pending)
            self._pending = b""

    def _deliver(self, line: bytes) -> None:
        for start in range(0, len(line) or 1, LINE_BYTES):
            piece = line[start : start + LINE_BYTES]
            text = clean(piece)
            self._tail = f"{self._tail}{text}\n"[-TAIL_CHARACTERS:]
            if self._left >= 0:
                self._left -= len(piece) + 1
            if self._left >= 0:
                self._on_line(text)


def clean(line: bytes) -> str:
    """Text that is safe to print: UTF-8 with replacements, no escapes, no control or formatting characters.

    At most 4 KiB when encoded again: replacement characters are longer than what they replace.
    """
    text = _ESCAPE.sub("", line.decode(errors="replace"))
    printable = "".join(character for character in text if character == "\t" or character.isprintable())
    return printable.encode()[:LINE_BYTES].decode(errors="ignore")
