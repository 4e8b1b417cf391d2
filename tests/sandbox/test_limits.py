"""Real exhaustion: memory, processes, time, outputs, log; and being told to stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from compute.sandbox import Ending, Isolation, Limits, Sandbox, Wall
from marketplace.errors import InputError

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack

MIB = 1024 * 1024


def test_a_memory_bomb_ends_in_memory(attack: Attack, sandbox: Sandbox) -> None:
    seen = attack("hold = [bytearray(os.urandom(65536)) for _ in range(10**6)]", memory_bytes=128 * MIB)
    if Isolation.CGROUP_MEMORY in sandbox.probe():
        assert (seen.ending, seen.outcome.exit_code) == (Ending.memory, None)
    else:  # its own heap meets RLIMIT_DATA at once
        assert seen.ending is Ending.memory or "MemoryError" in seen.text


def test_a_memory_bomb_of_many_processes_ends_in_memory(attack: Attack) -> None:
    seen = attack(
        """
        for _ in range(8):
            if os.fork() == 0:
                hold = bytearray(os.urandom(1 << 20)) * 32
                time.sleep(30)
        time.sleep(30)
        """,
        memory_bytes=128 * MIB,
    )
    assert seen.ending is Ending.memory


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/data/outputs"])
def test_files_in_memory_count_as_memory_or_meet_a_quota(attack: Attack, folder: str) -> None:
    seen = attack(
        f"with open('{folder}/x', 'wb') as file:\n  while True: file.write(bytes(1 << 20))",
        memory_bytes=128 * MIB,
        output_bytes=64 * MIB,
    )
    if folder == "/data/outputs":
        assert seen.ending is Ending.output
    else:  # without a cgroup the folder's own size may come first
        assert seen.ending is Ending.memory or "No space left" in seen.outcome.log_tail


COUNTED = Isolation.CGROUP_PIDS | Isolation.GVISOR
"""By the kernel, or by the supervisor that traces: either counts processes and threads."""


def test_a_fork_bomb_ends_in_processes(attack: Attack, sandbox: Sandbox) -> None:
    seen = attack("while True:\n  os.fork()", processes=32, wall_seconds=5)
    if sandbox.probe() & COUNTED:
        assert seen.ending is Ending.processes
    else:
        assert "Resource temporarily unavailable" in seen.outcome.log_tail


def test_a_thread_bomb_ends_in_processes(attack: Attack, sandbox: Sandbox) -> None:
    if not sandbox.probe() & COUNTED:
        pytest.skip("threads are refused, not counted, without cgroups")
    seen = attack(
        "import threading\nfor _ in range(100): threading.Thread(target=time.sleep, args=(30,)).start()",
        processes=32,
    )
    assert seen.ending is Ending.processes


def test_spinning_ends_in_cpu_time(attack: Attack) -> None:
    started = time.monotonic()
    seen = attack("while True: pass", cpu_seconds=1)
    assert seen.ending is Ending.cpu_time
    assert time.monotonic() - started < 20


def test_cpu_time_of_ended_children_counts(attack: Attack) -> None:
    seen = attack(
        """
        while True:
            if os.fork() == 0:
                end = time.process_time() + 0.2
                while time.process_time() < end:
                    pass
                os._exit(0)
            os.wait()
        """,
        cpu_seconds=1,
    )
    assert seen.ending is Ending.cpu_time


def test_sleeping_ends_in_wall_time(attack: Attack) -> None:
    seen = attack("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", wall_seconds=1)
    assert seen.ending is Ending.wall_time
    assert 1 <= seen.outcome.finished_at - seen.outcome.started_at <= 10


def test_a_disk_bomb_ends_in_output_and_nothing_above_the_quota_is_kept(attack: Attack) -> None:
    seen = attack("open('/data/outputs/x', 'wb').write(bytes(10 << 20))", output_bytes=MIB)
    assert seen.ending is Ending.output
    assert sum(map(len, seen.files.values())) <= MIB


def test_a_million_inodes_end_in_output(attack: Attack) -> None:
    seen = attack("for number in range(10**6): os.mkdir(f'/data/outputs/{number}')", output_files=50)
    assert seen.ending is Ending.output


# The file system is the same behind either wall, and through gVisor 65,536 files take a minute and a half.
@pytest.mark.parametrize("wall", [Wall.bubblewrap], indirect=True)
def test_a_million_inodes_elsewhere_meet_a_quota(attack: Attack) -> None:
    seen = attack(
        "for number in range(10**6): open(f'/tmp/{number}', 'w').close()",
        wall_seconds=120,
        memory_bytes=1024 * MIB,
    )
    assert seen.ending in (Ending.exited, Ending.memory)
    assert seen.outcome.exit_code != 0
    assert "No space left" in seen.outcome.log_tail or seen.ending is Ending.memory


def test_a_log_bomb_neither_grows_nor_ends_the_runner(attack: Attack) -> None:
    seen = attack("while True: os.write(1, b'x' * 65536)", log_bytes=100_000, wall_seconds=2)
    assert seen.ending is Ending.wall_time
    assert sum(len(line) + 1 for line in seen.lines) <= 100_000
    assert max(map(len, seen.lines)) <= 4096
    assert len(seen.outcome.log_tail) <= 16 * 1024
    assert "its log was cut at 100000 bytes" in seen.outcome.detail


def test_the_end_of_a_long_log_is_in_its_tail(attack: Attack) -> None:
    seen = attack("for number in range(20_000): print('line', number)", log_bytes=1000)
    assert seen.lines[0] == "line 0"
    assert seen.outcome.log_tail.endswith("line 19999\n")


def test_a_job_that_is_told_to_stop_stops(attack: Attack) -> None:
    stop = threading.Event()
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        stop.set()

    seen = attack("print('up')\nwhile True: time.sleep(1)", on_line=on_line, stop=stop)
    assert (seen.ending, lines) == (Ending.stopped, ["up"])


def test_an_error_of_the_listener_ends_the_job_and_reaches_the_caller(
    attack: Attack, processes_below: Callable[[int], set[int]]
) -> None:
    before = processes_below(os.getpid())  # of other tests in this process

    def on_line(_: str) -> None:
        assert processes_below(os.getpid()) - before
        raise KeyError("listener")

    with pytest.raises(KeyError, match="listener"):
        attack("print(1); time.sleep(60)", on_line=on_line)
    assert not processes_below(os.getpid()) - before


def test_limits_below_their_least_are_refused() -> None:
    for values in ({"memory_bytes": 1}, {"processes": 0}, {"wall_seconds": 0}, {"output_bytes": -1}):
        with pytest.raises(InputError, match="too low"):
            Limits(**values)
