"""Real attacks that go around the walls: other ways to the machine's room, memory, time, files, terminals."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from compute.sandbox import Ending

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack

MIB = 1024 * 1024


def test_the_limit_of_memory_is_the_jobs_own_not_the_walls(attack: Attack) -> None:
    seen = attack("hold = bytearray(b'x') * (114 << 20); time.sleep(1)", memory_bytes=64 * MIB)
    assert seen.ending is Ending.memory or "MemoryError" in seen.text


def test_memory_shared_between_processes_counts(attack: Attack) -> None:
    seen = attack(
        """
        import mmap
        hold = []
        while True:
            hold.append(mmap.mmap(-1, 1 << 20))
            hold[-1].write(b"x" * (1 << 20))
            if len(hold) % 16 == 0 and os.fork() == 0:
                time.sleep(60)
        """,
        memory_bytes=128 * MIB,
    )
    assert seen.ending is Ending.memory or "Cannot allocate memory" in seen.outcome.log_tail


def test_a_job_that_stops_and_silences_itself_still_ends_in_time(attack: Attack) -> None:
    seen = attack(
        """
        os.closerange(0, 3)
        if os.fork():
            os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            time.sleep(1)
        """,
        wall_seconds=1,
    )
    assert seen.ending is Ending.wall_time


def test_a_swarm_that_forks_while_it_is_killed_leaves_nobody(
    attack: Attack, processes_below: Callable[[int], set[int]]
) -> None:
    before = processes_below(os.getpid())
    stop = threading.Event()
    seen = attack(
        """
        for _ in range(4):
            os.fork()
        os.setsid() if os.getpid() != os.getpgid(0) else None
        print("up")
        while True:
            if os.fork():
                os._exit(0)
        """,
        on_line=lambda _: stop.set(),
        stop=stop,
    )
    assert seen.ending in (Ending.stopped, Ending.exited)
    assert not processes_below(os.getpid()) - before


def test_nothing_in_proc_and_sys_can_be_written_and_no_secret_of_the_kernel_read(attack: Attack) -> None:
    seen = attack(
        """
        for top in ("/proc", "/sys"):
            for folder, folders, files in os.walk(top):
                folders[:] = [name for name in folders if not name.isdigit() and name not in ("self", "thread-self")]
                for name in files:
                    try:
                        os.close(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_NONBLOCK))
                        print("opened", f"{folder}/{name}")
                    except OSError:
                        pass
        for path in ("/proc/kcore", "/proc/kmsg", "/proc/sysrq-trigger", "/dev/mem", "/dev/kvm", "/sys/kernel/security",
                     "/proc/1/mem", "/proc/1/root/etc", "/sys/class/net/eth0", "/sys/block/vda"):
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                print("read", path)
            except OSError:
                pass
        try:
            print([line for line in open("/proc/kallsyms") if int(line.split()[0], 16)][:1])
        except OSError:
            print([])
        """
    )
    assert seen.lines == ["[]"]


def test_nothing_of_a_job_waits_for_the_next_one(attack: Attack) -> None:
    plant = """
        for path in ("/tmp/sitecustomize.py", "/dev/shm/x", "/data/outputs/sitecustomize.py", "/tmp/.config",
                     "/tmp/__pycache__"):
            if path.endswith("__"):
                os.mkdir(path)
            else:
                open(path, "w").write("print('planted')")
    """
    assert attack(plant).outcome.exit_code == 0
    seen = attack(
        "print([name for folder in ('/tmp', '/dev/shm', '/data/outputs') for name in os.listdir(folder)])"
    )
    assert seen.lines == ["[]"]


def test_a_library_put_into_a_writable_folder_cannot_be_loaded(attack: Attack) -> None:
    seen = attack(
        """
        import glob, shutil
        library = glob.glob("/usr/lib/**/libm.so.6", recursive=True)[0]
        for folder in ("/tmp", "/dev/shm", "/data/outputs"):
            shutil.copy(library, folder + "/libm.so")
            try:
                ctypes.CDLL(folder + "/libm.so")
                print("loaded from", folder)
            except OSError:
                pass
        """
    )
    assert seen.lines == []
    assert seen.outcome.exit_code in (0, -11)  # gVisor maps it, and the machine then refuses to run it


def test_inputs_cannot_be_linked_or_moved_out_and_no_root_above_is_found(attack: Attack) -> None:
    seen = attack(
        """
        for action in (os.link, os.rename):
            try:
                action("/data/inputs/id/0", "/data/outputs/taken")
                print("took it")
            except OSError:
                pass
        print(sorted(os.listdir("/proc/self/root/../../..")) == sorted(os.listdir("/")))
        """,
        inputs={"id/0": b"data"},
    )
    assert seen.lines == ["True"]
    assert seen.files == {}


def test_names_and_attributes_do_not_stretch_the_quota_of_outputs(attack: Attack) -> None:
    seen = attack(
        """
        os.chdir("/data/outputs")
        open("x", "w").write("x")
        try:
            for number in range(10_000):
                os.setxattr("x", f"user.a{number}", bytes(1024))
        except OSError:
            print("refused")
        try:
            for _ in range(100):
                os.mkdir("d" * 255)
                os.chdir("d" * 255)
        except OSError:
            print("full")
        """,
        output_files=50,
    )
    assert seen.lines == ["refused", "full"]
    assert set(seen.files) <= {"x"}
    assert all(len(refusal) < 5000 for refusal in seen.outcome.refused)


def test_escapes_in_the_log_reach_no_terminal(attack: Attack) -> None:
    seen = attack(
        r"""
        os.write(1, b"\x1b]0;title\x07\x1b[2Jplain\x00\xff\x9b31m\n\x1bP1$r\x1b\\\r::progress\n")
        """
    )
    assert all(character.isprintable() for line in seen.lines for character in line)
    assert "plain" in seen.lines[0]
    assert "\x1b" not in seen.outcome.log_tail


def test_timers_end_with_the_job(attack: Attack) -> None:
    started = time.monotonic()
    seen = attack(
        """
        signal.signal(signal.SIGALRM, lambda *_: os.fork())
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
        """,
        processes=64,
    )
    assert seen.ending in (Ending.exited, Ending.processes)
    assert time.monotonic() - started < 30
