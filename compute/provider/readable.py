"""Strangers' files as a terminal may show them to somebody who decides by what is read: nothing is hidden.

A character that has no look of its own (controls, joiners, marks of direction, other separators of lines) stands as an
escape. Covered: text that is cut is called so. Not covered: letters that look like others.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_HIDDEN = ("C", "Zl", "Zp")


@dataclass(frozen=True)
class Readable:
    """text: what is shown. whole: whether that is everything."""

    text: str
    whole: bool


def readable(data: bytes, most: int) -> Readable:
    """The first `most` characters of a text, escapes counted; of what is no UTF-8 the beginning in hex."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Readable(f"(not text; begins {data[:16].hex()})", whole=False)
    shown = "".join(map(_visible, text[: most + 1]))
    whole = len(text) <= most and len(shown) <= most
    return Readable(shown if whole else shown[:most], whole)


def _visible(character: str) -> str:
    """Only a line feed breaks a line; a tab has a sign and a width, since code is indented by it."""
    if character == "\t":
        return "→   "
    if character == "\n" or not unicodedata.category(character).startswith(_HIDDEN):
        return character
    return character.encode("unicode_escape").decode()
