"""The log reader against bytes that an adversary chose."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from compute.sandbox.logs import LINE_BYTES, TAIL_CHARACTERS, LineReader, clean


def read_all(chunks: list[bytes], limit: int = 1 << 20) -> tuple[list[str], LineReader]:
    lines: list[str] = []
    reading, writing = os.pipe()
    reader = LineReader(reading, limit, lines.append)
    for chunk in chunks:
        os.write(writing, chunk)
        while reader.read():
            pass
    os.close(writing)
    while reader.read():
        pass
    os.close(reading)
    return lines, reader


def test_lines_are_split_at_every_kind_of_line_break() -> None:
    assert read_all([b"a\nb\r\nc\rd"])[0] == ["a", "b", "c", "d"]
    assert read_all([b"a\r", b"\nb\n"])[0] == ["a", "b"]


def test_an_empty_pipe_gives_no_line_and_does_not_block() -> None:
    reading, writing = os.pipe()
    reader = LineReader(reading, 100, lambda _: None)
    assert reader.read() is False
    assert not reader.ended
    os.close(writing)
    assert reader.read() is False
    assert reader.ended
    os.close(reading)


def test_escapes_and_control_characters_are_stripped() -> None:
    assert clean(b"\x1b[31mred\x1b[0m\x07\x00 \x1b]0;title\x07x\ty") == "red x\ty"
    assert clean("right\u202eleft\u2028".encode()) == "rightleft"


@given(st.lists(st.binary(max_size=9000), max_size=6))
def test_whatever_is_written_lines_are_short_and_printable(chunks: list[bytes]) -> None:
    lines, reader = read_all(chunks)
    assert all(len(line.encode()) <= LINE_BYTES for line in lines)
    assert all(character == "\t" or character.isprintable() for line in lines for character in line)
    assert len(reader.tail) <= TAIL_CHARACTERS


@given(st.text(alphabet=st.characters(blacklist_categories=("C", "Z")), max_size=300))
def test_plain_text_passes_unchanged(text: str) -> None:
    assert read_all([text.encode() + b"\n"])[0] == [text]


def test_after_the_limit_lines_are_dropped_but_the_tail_goes_on() -> None:
    lines, reader = read_all([b"12345678\n" * 100, b"end\n"], limit=50)
    assert lines == ["12345678"] * 5
    assert reader.cut
    assert reader.tail.endswith("end\n")
