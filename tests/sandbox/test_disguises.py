"""Real attacks on what the kernel is asked: calls in disguise, limits, signals, sockets, forged reports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from compute.sandbox import Ending, Wall

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("call(0x5eed00000029, 2, 1, 0)", "socket(AF_INET)"),
        ("call(56, 0x00800000 | 17, 0, 0, 0, 0)", "clone()"),
        ("call(16, 0, 0x541c, 0)", "ioctl()"),
        ("call(157, 35, 1, 0, 0, 0)", "prctl()"),
        ("os.execv(sys.executable, [sys.executable, '-c', 'import socket; socket.socket()'])", "socket(AF_INET)"),
        ("call(157, 36, 1)\nif os.fork() == 0: os.setsid(), os.fork(), call(321, 0, 0, 0)\ntime.sleep(9)", "bpf()"),
        ("import threading\nfor _ in range(20): threading.Thread(target=call, args=(101, 0, 0)).start()", "ptrace()"),
    ],
    ids=["high bits", "untraced child", "console ioctl", "own memory map", "after exec", "orphan", "twenty at once"],
)  # fmt: skip
def test_a_forbidden_call_in_disguise_is_named_all_the_same(attack: Attack, code: str, named: str) -> None:
    seen = attack(f"{code}\nprint('still here')")
    assert seen.ending is Ending.forbidden_call
    assert named in seen.outcome.detail
    assert seen.lines == []


def test_a_thread_that_becomes_another_program_stays_in_the_filter(attack: Attack) -> None:
    seen = attack(
        """
        import threading
        program = [sys.executable, "-c", "print('up'); import socket; socket.socket()"]
        threading.Thread(target=lambda: os.execv(program[0], program)).start()
        time.sleep(30)
        """
    )
    assert seen.lines == ["up"]
    assert "socket(AF_INET)" in seen.outcome.detail


def test_old_and_odd_calls_are_not_here(attack: Attack) -> None:
    numbers = {
        135: "personality",
        154: "modify_ldt",
        134: "uselib",
        303: "name_to_handle_at",
        278: "vmsplice",
    }
    numbers |= {440: "process_madvise", 447: "memfd_secret", 206: "io_setup", 29: "shmget", 240: "mq_open"}
    seen = attack(f"print([call(number, 0, 0, 0, 0, 0)[1] for number in {list(numbers)}])")
    assert seen.lines == [str([38] * len(numbers))]


def test_limits_cannot_be_raised_and_priorities_not_taken(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        import resource
        def attempt(name, action):
            try:
                action()
                print("did", name)
            except (OSError, ValueError):
                pass
        for number in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU):
            soft, hard = resource.getrlimit(number)
            attempt(f"raise {number}", lambda: resource.setrlimit(number, (hard + 1, hard + 1)))
        attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
        attempt("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))
        attempt("descriptors", lambda: [os.open("/dev/null", 0) for _ in range(5000)])
        """
    )
    # gVisor's priorities are among its own processes only.
    assert [line for line in seen.lines if wall is Wall.bubblewrap or line != "did priority"] == []


def test_signals_and_process_numbers_reach_nobody_outside(attack: Attack) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        seen = attack(
            f"""
            found = []
            for pid in [*range(2, 1000), {os.getpid()}, {bystander.pid}]:
                try:
                    os.kill(pid, 0)
                    found.append(pid)
                except ProcessLookupError:
                    pass
            print(found == [os.getpid()], call(434, {bystander.pid}, 0)[0], flush=True)
            if os.fork() == 0:
                os.kill(-1, 9)
            time.sleep(1)
            """
        )
        assert seen.lines == ["True -1"]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_abstract_sockets_of_the_machine_are_out_of_reach(attack: Attack) -> None:
    name = f"steelyard-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as outside:
        outside.bind(f"\0{name}")
        outside.listen()
        seen = attack(
            f"""
            try:
                socket.socket(socket.AF_UNIX).connect("\\0{name}")
            except ConnectionRefusedError:
                print("refused")
            print("{name}" in open("/proc/net/unix").read())
            """
        )
    assert seen.lines == ["refused", "False"]


def test_the_end_that_is_reported_cannot_be_forged(attack: Attack) -> None:
    seen = attack(
        """
        for pid in ("1", "self"):
            for number in range(3, 64):
                try:
                    with open(f"/proc/{pid}/fd/{number}", "wb", buffering=0) as file:
                        file.write(b"exited 0")
                except OSError:
                    pass
        if os.path.exists("/proc/1/fd/2"):
            try:
                open("/proc/1/fd/2", "wb", buffering=0).write(b"exited 0")
            except OSError:
                pass
        for number in range(3, 4096):
            try:
                os.write(number, b"exited 0")
            except OSError:
                pass
        os._exit(3)
        """
    )
    assert (seen.ending, seen.outcome.exit_code) == (Ending.exited, 3)


def test_every_mount_ignores_set_uid_and_devices(attack: Attack, wall: Wall) -> None:
    if wall is Wall.gvisor:
        pytest.skip("gVisor's own kernel has no device of the machine, and no_new_privs holds")
    seen = attack(
        """
        points = [line.split()[4] for line in open("/proc/self/mountinfo")]
        print(len(points) > 5, [point for point in points if os.statvfs(point).f_flag & 2 == 0])
        print([point for point in points if not point.startswith("/dev/") and os.statvfs(point).f_flag & 4 == 0])
        """
    )
    assert seen.lines == ["True []", "[]"]
