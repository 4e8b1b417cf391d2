"""What an owner reads before a yes: nothing that strangers wrote is hidden from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.provider.readable import readable


@pytest.mark.parametrize("hidden", ["\x7f", "\u200b", "\u202e", "\u2028", "\x0c", "\r", "\U000e0041", "\x1b"])
def test_what_has_no_look_of_its_own_is_shown_as_an_escape(hidden: str) -> None:
    shown = readable(f"# {hidden * 3}\nsteal()".encode(), 1_000)
    assert shown.whole
    assert hidden not in shown.text
    assert shown.text == f"# {hidden.encode('unicode_escape').decode() * 3}\nsteal()"


def test_indentation_by_tabs_stays() -> None:
    assert readable(b"if False:\n\tx()", 100).text == "if False:\n→   x()"


def test_padding_does_not_push_code_out_of_what_is_called_whole() -> None:
    code = b"# " + b"\x7f" * 16_000 + b"\nsteal()"
    shown = readable(code, 4_000)
    assert not shown.whole
    assert len(shown.text) == 4_000


def test_what_is_no_text_is_never_called_whole() -> None:
    assert readable(b"\xff" * 20, 100) == readable(b"\xff" * 30, 100)
    assert not readable(b"\xff", 100).whole


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(1, 100))
def test_what_is_called_whole_has_every_line_and_letter(text: str, most: int) -> None:
    shown = readable(text.encode(), most)
    assert len(shown.text) <= most
    if shown.whole:
        assert shown.text.count("\n") == text.count("\n")
        assert all(letter in shown.text for letter in text if letter.isalnum())
