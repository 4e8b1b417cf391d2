"""node.db: where each job stands at this node, so that a restart goes on where it was.

The chain decides what a job is; the journal only remembers what this node has done about it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from marketplace.core.job import Request
from marketplace.errors import InputError, IntegrityError, NotFoundError, UnavailableError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  job_id BLOB PRIMARY KEY, block INTEGER NOT NULL, step TEXT NOT NULL, asset TEXT NOT NULL,
  until INTEGER NOT NULL, request TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS approvals (subject BLOB, document BLOB, block INTEGER, PRIMARY KEY (subject, document));
CREATE TABLE IF NOT EXISTS refusals (job_id BLOB PRIMARY KEY);
CREATE TABLE IF NOT EXISTS shown (job_id BLOB PRIMARY KEY, subject BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS runs (algorithm BLOB NOT NULL, asset TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
"""
_KEEP_BLOCKS = 1_000
_KEEP_RUNS = 1_000


class Step(StrEnum):
    """What the node does next about a job."""

    judge = "judge"  # fetch the spec and decide
    approval = "approval"  # waits for the owner's Approval of the algorithm
    run = "run"  # waits for the sandbox, or is in it
    review = "review"  # waits for the owner's Release of the output
    submit = "submit"  # the receipt is signed
    reject = "reject"
    fail = "fail"
    window = "window"  # on chain; waits for the window's end
    check = "check"  # ended on chain, as far as one sees; waits for the event of it
    done = "done"


WAITS_FOR_OWNER = frozenset({Step.approval, Step.review})


@dataclass(frozen=True)
class Entry:
    """One job at this node. until: Unix seconds. data: what the next step needs, plain JSON."""

    job_id: bytes
    block: int
    step: Step
    asset: int
    until: int
    request: Request
    data: dict[str, Any]

    def to(self, step: Step, *, until: int | None = None, **data: Any) -> Entry:
        """The entry at another step, with more data."""
        return replace(
            self, step=step, until=self.until if until is None else until, data={**self.data, **data}
        )

    def on(self, asset: int) -> Entry:
        """The entry with the dataset that it was found to be about."""
        return replace(self, asset=asset)


class Journal:
    """The node's own database; the owner's commands read it and leave refusals in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._session() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self._path, timeout=10)
        except sqlite3.Error as error:
            raise UnavailableError(f"the node's journal cannot be opened: {error}", got=self._path) from error
        try:
            with db:
                yield db
        except sqlite3.DatabaseError as error:
            raise UnavailableError(f"the node's journal does not answer: {error}", got=self._path) from error
        finally:
            db.close()

    def put(self, entry: Entry) -> None:
        values = (
            entry.job_id,
            entry.block,
            str(entry.step),
            str(entry.asset),
            entry.until,
            json.dumps(entry.request.to_json()),
            json.dumps(entry.data),
        )
        with self._session() as db:
            db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def get(self, job_id: bytes) -> Entry:
        with self._session() as db:
            row = db.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFoundError("this node knows no such job", got="0x" + job_id.hex())
        return _entry(row)

    def knows(self, job_id: bytes) -> bool:
        with self._session() as db:
            return db.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is not None

    def entries(self, *, active: bool = True) -> list[Entry]:
        """Jobs in the order in which they were opened; only those with something left to do, or all."""
        with self._session() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE step != 'done' OR ? ORDER BY block, rowid", (not active,)
            ).fetchall()
        return [_entry(row) for row in rows]

    def note_approval(self, subject: bytes, document: bytes, block: int) -> None:
        with self._session() as db:
            db.execute("INSERT OR IGNORE INTO approvals VALUES (?, ?, ?)", (subject, document, block))

    def approvals(self, subject: bytes) -> list[bytes]:
        """Digests of the documents announced for an algorithm or a job; not yet verified."""
        with self._session() as db:
            rows = db.execute("SELECT document FROM approvals WHERE subject = ?", (subject,)).fetchall()
        return [bytes(row[0]) for row in rows]

    def note_shown(self, job_id: bytes, subject: bytes) -> None:
        """The owner was shown the algorithm or the output of that digest."""
        with self._session() as db:
            db.execute("INSERT OR REPLACE INTO shown VALUES (?, ?)", (job_id, subject))

    def was_shown(self, job_id: bytes, subject: bytes) -> bool:
        """Whether that digest is what the owner was shown last."""
        with self._session() as db:
            query = "SELECT 1 FROM shown WHERE job_id = ? AND subject = ?"
            return db.execute(query, (job_id, subject)).fetchone() is not None

    def refuse(self, job_id: bytes) -> None:
        """The owner says no; the node acts on it."""
        with self._session() as db:
            db.execute("INSERT OR IGNORE INTO refusals VALUES (?)", (job_id,))

    def is_refused(self, job_id: bytes) -> bool:
        with self._session() as db:
            return db.execute("SELECT 1 FROM refusals WHERE job_id = ?", (job_id,)).fetchone() is not None

    def note_run(self, entry: Entry, seconds: float) -> None:
        """How long a job was in the sandbox; the newest count."""
        with self._session() as db:
            values = (entry.request.algorithm, str(entry.asset), seconds)
            db.execute("INSERT INTO runs VALUES (?, ?, ?)", values)
            db.execute("DELETE FROM runs WHERE rowid <= (SELECT max(rowid) FROM runs) - ?", (_KEEP_RUNS,))

    def durations(self) -> dict[tuple[bytes, int], list[float]]:
        """Seconds of the newest runs, by algorithm and dataset."""
        with self._session() as db:
            rows = db.execute("SELECT algorithm, asset, seconds FROM runs").fetchall()
        found: dict[tuple[bytes, int], list[float]] = {}
        try:
            for algorithm, asset, seconds in rows:
                found.setdefault((bytes(algorithm), int(asset)), []).append(float(seconds))
        except (TypeError, ValueError) as error:
            raise _damaged(error) from error
        return found

    def known(self) -> list[tuple[int, bytes]]:
        """(number, hash) of blocks whose events are in the journal, ascending: shows what changed meanwhile."""
        with self._session() as db:
            rows = db.execute("SELECT number, hash FROM blocks ORDER BY number").fetchall()
        try:
            return [(int(number), bytes(block_hash)) for number, block_hash in rows]
        except (TypeError, ValueError) as error:
            raise _damaged(error) from error

    def note_block(self, number: int, block_hash: bytes) -> None:
        """Everything up to this block is in the journal."""
        with self._session() as db:
            db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (number, block_hash))
            db.execute("DELETE FROM blocks WHERE number <= ?", (number - _KEEP_BLOCKS,))

    def end(self, job_id: bytes, block: int) -> None:
        """A confirmed event of that block ended the job; nothing where this node does not know it."""
        if self.knows(job_id):
            self.put(self.get(job_id).to(Step.done, ended=block))

    def roll_back(self, block: int) -> None:
        """Forgets what later blocks said: a reorganisation took them back. What comes again is judged again.

        An answer to an older job, or its end, may be gone as well: it is looked up.
        """
        with self._session() as db:
            for table, column in (("jobs", "block"), ("approvals", "block"), ("blocks", "number")):
                db.execute(f"DELETE FROM {table} WHERE {column} > ?", (block,))  # noqa: S608  # fixed names
            db.execute(
                "UPDATE jobs SET step = 'check' WHERE step = 'window'"
                " OR (step = 'done' AND json_extract(data, '$.ended') > ?)",
                (block,),
            )


@lru_cache(maxsize=4_096)
def _entry(row: tuple[Any, ...]) -> Entry:
    """A row as an entry; the node reads all of its open jobs several times a second, and most have not changed."""
    job_id, block, step, asset, until, request, data = row
    try:
        return Entry(
            job_id,
            block,
            Step(step),
            int(asset),
            until,
            Request.from_json(json.loads(request)),
            json.loads(data),
        )
    except (TypeError, ValueError, InputError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> IntegrityError:
    return IntegrityError(f"the node's journal is damaged: {error}", do="Restore node.db, or delete it.")
