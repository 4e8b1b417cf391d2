"""What services write down: one event a line, and no secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from marketplace.errors import RefusedError
from marketplace.logs import begin, described, teller

JOB = b"\7" * 32


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_an_event_is_one_json_object_a_line_whatever_strangers_wrote(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin(as_json=True)
    teller("node")("rejected: a\nb\x1b[2J", job=JOB, transaction=b"\1\2", gas=5)
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found.pop("time"))).total_seconds()) < 5
    assert found == {
        "level": "info",
        "logger": "steelyard.node",
        "event": "rejected: a\nb\x1b[2J",
        "job": "0x" + JOB.hex(),
        "transaction": "0x0102",
        "gas": 5,
    }


def test_people_read_a_line_that_cannot_move_their_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    begin(as_json=False)
    teller("node")("submitted\x1b[2J\n", job=JOB)
    assert capsys.readouterr().out == f"job 0x{JOB.hex()} submitted[2J\n"


def test_foreign_libraries_tell_no_urls_and_foreign_errors_no_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin(as_json=True)
    logging.getLogger("httpx").info("HTTP Request: POST http://user:s3cret@host/")
    try:
        float("a patient's name")
    except ValueError as error:
        logging.getLogger("elsewhere").error("went wrong", exc_info=True)
        assert described(error).startswith("ValueError in test_foreign_libraries")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"].startswith("ValueError in ")
    assert "patient" not in line


def test_an_error_of_ours_is_told_whole() -> None:
    assert described(RefusedError("no", got="x", do="Ask.")) == "no; got x. Ask."
