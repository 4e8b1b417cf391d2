"""Logs that only the owner opens: sealed on the disk as they come, bounded, never in the way of the job."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.provider import job_logs
from compute.provider.job_logs import MOST_LOGS, JobLogs, open_log
from marketplace.core import envelope
from marketplace.errors import IntegrityError, NotFoundError, RefusedError, SteelyardError

PRIVATE = b"\5" * 32
PUBLIC = envelope.public_key(PRIVATE)
JOB = b"\7" * 32
SECRET = "a value of one single person"


@pytest.fixture
def logs(tmp_path: Path) -> JobLogs:
    return JobLogs(tmp_path / "logs")


def kept(logs: JobLogs, job_id: bytes = JOB) -> list[str]:
    return open_log(logs.sealed(job_id), PRIVATE)


def write(logs: JobLogs, *lines: str, job_id: bytes = JOB) -> None:
    with logs.writing(job_id, PUBLIC) as log:
        for line in lines:
            log(line)


@pytest.mark.parametrize(
    "lines",
    [[], [""], ["one"], ["one", "", "ä ö 🙂\tz"], [f"line {n}" for n in range(5_000)], ["x" * 4096] * 99],
)
def test_the_owner_reads_the_lines_as_they_were_written(logs: JobLogs, lines: list[str]) -> None:
    write(logs, *lines)
    assert kept(logs) == lines


def test_a_log_on_the_disk_is_ciphertext_in_a_file_and_a_folder_that_nobody_else_may_enter(
    logs: JobLogs,
) -> None:
    write(logs, SECRET)
    path = logs.path_of(JOB)
    assert path.name == f"0x{JOB.hex()}.log"
    assert SECRET.encode() not in path.read_bytes()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with pytest.raises(RefusedError):
        open_log(logs.sealed(JOB), b"\6" * 32)


def test_a_log_that_was_changed_is_not_shown(logs: JobLogs) -> None:
    write(logs, SECRET)
    path = logs.path_of(JOB)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"nonce":"', b'"nonce":"00', 1))
    with pytest.raises(SteelyardError):
        kept(logs)
    at = data.index(b'"ciphertext":"') + 20
    path.write_bytes(data[:at] + (b"B" if data[at : at + 1] == b"A" else b"A") + data[at + 1 :])
    with pytest.raises(IntegrityError):
        kept(logs)


def test_a_second_run_of_a_job_replaces_the_first_ones_log(logs: JobLogs) -> None:
    write(logs, "first", "and more")
    write(logs, "second")
    assert kept(logs) == ["second"]


def test_a_log_that_was_never_kept_is_said(logs: JobLogs) -> None:
    with pytest.raises(NotFoundError, match="keeps no log") as missing:
        logs.sealed(JOB)
    assert missing.value.do


def test_lines_are_on_the_disk_while_the_job_runs(logs: JobLogs) -> None:
    with logs.writing(JOB, PUBLIC) as log:
        log("the first at once")
        assert kept(logs) == ["the first at once"]
        log("a burst")
        time.sleep(0.6)
        log("after a pause")
        assert kept(logs) == ["the first at once", "a burst", "after a pause"]


WRITER = """
import sys, time
from pathlib import Path
from compute.provider.job_logs import JobLogs
with JobLogs(Path(sys.argv[1])).writing(b"\\7" * 32, bytes.fromhex(sys.argv[2])) as log:
    log("before the kill")
    print("written", flush=True)
    time.sleep(600)
"""


def test_the_log_of_a_node_that_was_killed_opens_as_far_as_it_got(logs: JobLogs) -> None:
    folder = logs.path_of(JOB).parent
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), PUBLIC.hex()], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stdout.readline() == "written\n"
    finally:
        process.kill()
        process.communicate()
    assert kept(logs) == ["before the kill"]
    with logs.path_of(JOB).open("ab") as file:
        file.write(b'{"ciphertext":"cut in the mid')
    assert kept(logs) == ["before the kill"]


def test_only_the_newest_logs_are_kept(logs: JobLogs) -> None:
    for number in range(MOST_LOGS + 3):
        write(logs, f"{number}", job_id=number.to_bytes(32, "big"))
        os.utime(logs.path_of(number.to_bytes(32, "big")), (number, number))
    write(logs, "newest")
    names = {path.name for path in logs.path_of(JOB).parent.iterdir()}
    assert len(names) == MOST_LOGS
    assert kept(logs) == ["newest"]
    assert logs.path_of(bytes(32)).name not in names
    assert logs.path_of((MOST_LOGS + 2).to_bytes(32, "big")).name in names


def test_logs_that_are_too_large_together_go_the_oldest_first(
    logs: JobLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_logs, "MOST_BYTES", 30_000)
    jobs = [bytes([number]) * 32 for number in range(3)]
    for age, job in enumerate(jobs):
        write(logs, "x" * 9_000, job_id=job)
        os.utime(logs.path_of(job), (age, age))
    write(logs, "short")
    assert [logs.path_of(job).exists() for job in jobs] == [False, True, True]
    assert kept(logs) == ["short"]


def test_a_disk_that_takes_no_log_costs_the_log_and_not_the_job(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    write(JobLogs(tmp_path / "logs"), "a line")


def test_a_job_that_fails_keeps_its_log_and_its_error(logs: JobLogs) -> None:
    with pytest.raises(KeyError), logs.writing(JOB, PUBLIC) as log:
        log("a burst")
        log("and its end")
        raise KeyError
    assert kept(logs) == ["a burst", "and its end"]
