"""The node's own database: what it noted is there after a restart, and damage is said."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from pathlib import Path

import pytest

from compute.provider.journal import WAITS_FOR_OWNER, Entry, Journal, Step
from compute.provider.requests import waiting
from marketplace.core.job import Request
from marketplace.errors import IntegrityError, NotFoundError, UnavailableError
from tests.support.chain import account_named

NOW = 1_800_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "node.db")


def entry(number: int, step: Step = Step.judge, *, block: int = 10, until: int = NOW + 600) -> Entry:
    request = Request(bytes([number]) * 32, account_named("buyer").address, number, b"\2" * 32, b"\3" * 32)
    return Entry(
        request.job_id, block, step, (1 << 248) + number, until, request, {"text": "ä", "n": [1, None]}
    )


def test_what_was_noted_is_there_after_a_restart(journal: Journal, tmp_path: Path) -> None:
    journal.put(entry(1))
    journal.note_approval(b"\5" * 32, b"\6" * 32, 10)
    journal.refuse(entry(1).job_id)
    journal.note_block(10, b"\7" * 32)
    again = Journal(tmp_path / "node.db")
    assert again.get(entry(1).job_id) == entry(1)
    assert again.approvals(b"\5" * 32) == [b"\6" * 32]
    assert again.is_refused(entry(1).job_id)
    assert again.known() == [(10, b"\7" * 32)]


def test_entries_come_in_the_order_of_the_chain_and_done_ones_only_on_request(journal: Journal) -> None:
    for number, block in ((3, 12), (1, 10), (2, 11)):
        journal.put(entry(number, block=block))
    journal.put(entry(2, Step.done, block=11))
    assert [found.request.index for found in journal.entries()] == [1, 3]
    assert [found.request.index for found in journal.entries(active=False)] == [1, 2, 3]


def test_a_step_keeps_the_data_of_those_before_it() -> None:
    moved = entry(1).to(Step.run, review=True).to(Step.submit, until=5, receipt={"a": 1})
    assert moved.data == {"text": "ä", "n": [1, None], "review": True, "receipt": {"a": 1}}
    assert (moved.step, moved.until, entry(1).until) == (Step.submit, 5, NOW + 600)


def test_only_what_waits_for_the_owner_is_shown_as_waiting(journal: Journal) -> None:
    for number, step in enumerate(Step, start=1):
        journal.put(entry(number, step))
    assert {found.step for found in waiting(journal)} == WAITS_FOR_OWNER


def test_an_unknown_job_is_not_found(journal: Journal) -> None:
    assert not journal.knows(b"\1" * 32)
    with pytest.raises(NotFoundError):
        journal.get(b"\1" * 32)


def test_a_reorganisation_forgets_what_later_blocks_said_and_keeps_what_the_owner_said(
    journal: Journal,
) -> None:
    for number, block in ((1, 10), (2, 11), (3, 12)):
        journal.put(entry(number, block=block))
        journal.note_approval(bytes([number]) * 32, b"\6" * 32, block)
        journal.note_block(block, bytes([number]) * 32)
    journal.refuse(entry(3).job_id)
    journal.roll_back(11)
    assert [found.request.index for found in journal.entries()] == [1, 2]
    assert journal.approvals(b"\2" * 32) and not journal.approvals(b"\3" * 32)
    assert [number for number, _ in journal.known()] == [10, 11]
    assert journal.is_refused(entry(3).job_id)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(Step.window, Step.check), (Step.run, Step.run), (Step.review, Step.review), (Step.submit, Step.submit)],
)
def test_after_a_reorganisation_answers_to_older_jobs_are_looked_up_again(
    journal: Journal, step: Step, expected: Step
) -> None:
    journal.put(entry(1, step))
    journal.roll_back(20)
    assert journal.get(entry(1).job_id).step is expected


@pytest.mark.parametrize(("ended", "expected"), [(19, Step.done), (20, Step.done), (21, Step.check)])
def test_an_end_is_looked_up_again_where_its_block_is_gone(
    journal: Journal, ended: int, expected: Step
) -> None:
    journal.put(entry(1, Step.window))
    journal.end(entry(1).job_id, ended)
    assert journal.get(entry(1).job_id).step is Step.done
    journal.roll_back(20)
    assert journal.get(entry(1).job_id).step is expected


def test_blocks_are_kept_for_a_while_only(journal: Journal) -> None:
    for number in (1, 500, 1_001):
        journal.note_block(number, b"\7" * 32)
    assert [number for number, _ in journal.known()] == [500, 1_001]


def test_the_owners_commands_can_write_while_the_node_does(journal: Journal, tmp_path: Path) -> None:
    def node() -> None:
        for number in range(60):
            journal.put(entry(number % 250, Step.review))

    thread = threading.Thread(target=node)
    thread.start()
    owner = Journal(tmp_path / "node.db")
    for number in range(60):
        owner.refuse(bytes([number]) * 32)
    thread.join()
    assert len(owner.entries()) == 60
    assert all(journal.is_refused(bytes([number]) * 32) for number in range(60))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("step", "dancing"),
        ("request", "{"),
        ("request", "{}"),
        ("request", "[]"),
        ("data", "{"),
        ("asset", "many"),
    ],
)
def test_a_damaged_row_is_said(journal: Journal, tmp_path: Path, column: str, value: str) -> None:
    journal.put(entry(1))
    with sqlite3.connect(tmp_path / "node.db") as db:
        db.execute(f"UPDATE jobs SET {column} = ?", (value,))
    db.close()
    with pytest.raises(IntegrityError, match="journal is damaged"):
        journal.get(entry(1).job_id)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"not a database" * 100)
    with pytest.raises(UnavailableError, match="does not answer"):
        Journal(tmp_path / "node.db")


def test_a_journal_in_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be opened"):
        Journal(tmp_path / "nowhere" / "node.db")


def test_an_entry_with_its_dataset_is_else_the_same() -> None:
    placed = entry(1).on(7)
    assert placed == dataclasses.replace(entry(1), asset=7)
