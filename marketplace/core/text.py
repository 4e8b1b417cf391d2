"""What people write into documents: names, lines, texts, URLs, checked before they are published. Pure."""

from __future__ import annotations

import re
import unicodedata

from marketplace.core.exact import brief
from marketplace.errors import InputError

MAX_LINE = 200
MAX_TEXT = 2_000
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_URL = re.compile(r"https?://[!-~]{1,490}")
# Controls, lone surrogates and the marks that turn the direction of writing: what is read is not what stands.
_HIDDEN = {"Cc", "Cs"}
_TURNING = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_slug(text: str, what: str) -> None:
    """Raises InputError unless `text` is 1 to 64 of a-z, 0-9 and single hyphens between them."""
    if not _SLUG.fullmatch(text) or len(text) > 64:
        raise InputError(
            f"{what} cannot be used", got=brief(text), expected="1 to 64 of a-z, 0-9, - between them"
        )


def check_line(text: str, what: str, *, most: int = MAX_LINE) -> None:
    """Raises InputError unless `text` is one line of 1 to `most` visible characters, no space at its ends."""
    check_text(text, what, most=most)
    if "\n" in text or "\t" in text:
        raise InputError(f"{what} is more than one line", do="Write it without line breaks and tabs.")


def check_text(text: str, what: str, *, most: int = MAX_TEXT) -> None:
    """Raises InputError unless `text` has 1 to `most` characters, none hidden, no space at its ends."""
    if not text or text != text.strip() or len(text) > most:
        raise InputError(
            f"{what} is empty, too long or has space at its ends",
            got=f"{len(text)} characters",
            expected=f"1 to {most}",
        )
    if any((unicodedata.category(c) in _HIDDEN and c not in "\n\t") or c in _TURNING for c in text):
        raise InputError(f"{what} holds control characters", do="Remove them: they hide what is written.")


def check_texts(texts: tuple[str, ...], what: str, *, most: int = MAX_TEXT) -> None:
    """Raises InputError unless there are at most 32 texts, each of 1 to `most` characters."""
    if len(texts) > 32:
        raise InputError(f"{what} has too many entries", got=len(texts), expected="at most 32")
    for text in texts:
        check_text(text, what, most=most)


def check_url(text: str, what: str) -> None:
    """Raises InputError unless `text` is an http or https URL of at most 498 plain characters."""
    if not _URL.fullmatch(text):
        raise InputError(f"{what} is not a URL", got=brief(text), expected="https://... without spaces")
