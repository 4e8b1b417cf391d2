"""Real attacks that go around the walls: hidden forms of calls, other ways out, other kinds of exhaustion."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from compute.sandbox import Ending, Wall

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack

MIB = 1024 * 1024


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
