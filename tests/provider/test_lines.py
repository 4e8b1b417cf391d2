"""Lines of a log that mean something: progress, and what a listed algorithm says of its own failure."""

from __future__ import annotations

import json

import pytest

from compute.provider.lines import MAX_ERROR, Lines


def said(*lines: str, listed: bool = True) -> tuple[str, list[str], list[tuple[int, int]]]:
    """The error, the log and the progress."""
    log: list[str] = []
    steps: list[tuple[int, int]] = []
    sorted_ = Lines(log.append, lambda stage, done, of: steps.append((done, of)), listed=listed)
    for line in lines:
        sorted_(line)
    return sorted_.error, log, steps


def test_the_last_error_line_counts_and_stays_in_the_log() -> None:
    lines = ('::error "first"', "between", '  ::error "the target `x` is no column"  ', "after")
    assert said(*lines) == ("the target `x` is no column", list(lines), [])


@pytest.mark.parametrize(
    "line",
    [
        "::error",
        "::error text",
        "::error 'text'",
        '::error "open',
        '::error "a" "b"',
        '::error "bad \\x escape"',
        '::error ["a"]',
        '::error {"a": "b"}',
        '::error ""',
        '::error "\\u0000\\u001b"',
        '::error  "two spaces"',
        'x ::error "not at the start"',
        '::Error "text"',
        f'::error "{"x" * (MAX_ERROR + 1)}"',
    ],
)
def test_a_malformed_error_line_is_ignored_and_takes_no_good_one_away(line: str) -> None:
    assert said(line)[0] == ""
    assert said('::error "good"', line)[0] == "good"
    assert said(line)[1] == [line]


def test_an_error_may_be_as_long_as_it_may_and_in_any_script() -> None:
    for text in ("x" * MAX_ERROR, "ä" * MAX_ERROR, "Spalte „Größe“ 列 🙂"):
        for ascii_only in (True, False):
            assert said(f"::error {json.dumps(text, ensure_ascii=ascii_only)}")[0] == text


def test_nothing_in_an_error_moves_a_cursor_or_turns_the_writing() -> None:
    text = "a\x1b[2Jb\x00\x07\r\nc\u202ed\u2028e\ud800f"
    assert said(f"::error {json.dumps(text)}")[0] == "a[2Jbcdef"


def test_no_word_of_an_algorithm_that_is_not_listed_is_taken() -> None:
    assert said('::error "a row of the data"', listed=False) == ("", ['::error "a row of the data"'], [])


def test_progress_is_told_for_listed_algorithms_alone_and_kept_out_of_the_log() -> None:
    for listed, told in ((True, [(1, 3)]), (False, [])):
        assert said('::progress {"done": 1, "of": 3}', "x", listed=listed) == ("", ["x"], told)
