"""Real attacks: each forbidden call ends the job and is named, in children and threads too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compute.sandbox import Ending, Wall
from compute.sandbox.calls import FORBIDDEN, NUMBERS

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack

FAMILIES = {2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 38: "AF_ALG", 40: "AF_VSOCK"}

# One filter serves both walls; that each asks it is seen by the calls below.
one_wall_is_enough = pytest.mark.parametrize("wall", [Wall.bubblewrap], indirect=True)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_socket_of_the_family_ends_the_job(attack: Attack, family: int) -> None:
    seen = attack(f"call(41, {family}, 1 if {family} < 16 else 3, 0); print('still here')")
    assert seen.ending is Ending.forbidden_call
    assert f"socket({FAMILIES[family]})" in seen.outcome.detail
    assert seen.lines == []


def test_a_number_in_the_place_of_an_address_family_is_told_to_the_owner_and_not_in_the_words(
    attack: Attack,
) -> None:
    seen = attack("call(41, 0xdeadbeef, 1, 0); print('still here')")
    assert seen.outcome.detail == "made a forbidden system call: socket(an unknown address family)"
    assert "first argument 0x" in seen.outcome.exact and seen.outcome.exact.endswith("deadbeef")


@pytest.mark.parametrize("code", [1, 77, 255, -9])
def test_an_exit_code_is_told_to_the_owner_and_not_in_the_words(attack: Attack, code: int) -> None:
    seen = attack(f"os.kill(os.getpid(), {-code})" if code < 0 else f"os._exit({code})")
    assert seen.outcome.detail == "ended with an error"
    assert (seen.outcome.exit_code, seen.outcome.exact) == (code, f"exit code {code}")


@pytest.mark.slow
@one_wall_is_enough
@pytest.mark.parametrize("family", [family for family in range(2, 46) if family not in FAMILIES])
def test_a_socket_of_any_other_family_ends_the_job(attack: Attack, family: int) -> None:
    assert attack(f"call(41, {family}, 3, 0); print('still here')").ending is Ending.forbidden_call


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ptrace", "0, 0, 0, 0"),
        ("mount", "b'none', b'/tmp', b'tmpfs', 0, 0"),
        ("unshare", "0x10000000"),
        ("setns", "0, 0"),
        ("bpf", "0, 0, 0"),
        ("io_uring_setup", "1, 0"),
        ("keyctl", "0, 0, 0"),
        ("perf_event_open", "0, 0, -1, -1, 0"),
        ("userfaultfd", "0"),
        ("process_vm_readv", "1, 0, 0, 0, 0, 0"),
        ("clock_settime", "0, 0"),
        ("init_module", "0, 0, b''"),
    ],
)
def test_the_call_ends_the_job_and_is_named(attack: Attack, name: str, arguments: str) -> None:
    seen = attack(f"call({NUMBERS[name]}, {arguments}); print('still here')")
    assert seen.ending is Ending.forbidden_call
    assert seen.outcome.detail == f"made a forbidden system call: {name}()"
    assert seen.lines == []


@pytest.mark.slow
@one_wall_is_enough
@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_every_forbidden_call_ends_the_job(attack: Attack, name: str) -> None:
    seen = attack(f"call({NUMBERS[name]}, 0, 0, 0, 0, 0, 0); print('still here')")
    assert f"{name}()" in seen.outcome.detail


def test_a_new_user_namespace_by_clone_ends_the_job(attack: Attack) -> None:
    assert "clone()" in attack("call(56, 0x10000000 | 17, 0, 0, 0, 0)").outcome.detail


def test_typing_into_a_terminal_by_ioctl_ends_the_job(attack: Attack) -> None:
    assert "ioctl()" in attack("call(16, 0, 0xdead00005412, b'x')").outcome.detail


def test_a_filter_of_its_own_cannot_hide_calls(attack: Attack) -> None:
    assert "prctl()" in attack("call(157, 22, 2, 0)").outcome.detail


def test_an_x32_call_ends_the_job(attack: Attack) -> None:
    assert "x32" in attack("call(0x40000000 | 39); print('still here')").outcome.detail


def test_a_32_bit_call_ends_the_job_or_does_not_exist_here(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        import mmap
        # mov eax, 20 (getpid); int 0x80; ret
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("b814000000cd80c3"))
        function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        print("got", function() == os.getpid())
        """
    )
    died = seen.outcome.exit_code == -11  # a kernel without 32-bit emulation
    # gVisor takes it for the 64-bit call of that number, and so does the filter.
    assert died or wall is Wall.gvisor or "another architecture" in seen.outcome.detail
    assert "got True" not in seen.text


def test_a_hidden_child_that_calls_ends_the_job(attack: Attack) -> None:
    seen = attack(
        """
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                call(41, 2, 1, 0)
            os._exit(0)
        os.wait()
        time.sleep(30)
        print("nothing happened")
        """
    )
    assert "socket(AF_INET)" in seen.outcome.detail
    assert seen.lines == []


def test_a_child_whose_death_is_swallowed_still_counts(attack: Attack) -> None:
    seen = attack(
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        import subprocess
        subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], stderr=subprocess.DEVNULL)
        print("all fine")
        """
    )
    assert seen.ending is Ending.forbidden_call
    assert seen.lines == []


def test_a_thread_that_calls_ends_the_job(attack: Attack) -> None:
    seen = attack(
        """
        import threading
        threading.Thread(target=call, args=(41, 2, 1, 0)).start()
        time.sleep(30)
        """
    )
    assert seen.ending is Ending.forbidden_call


def test_calls_that_are_not_here_are_answered_and_do_not_end_the_job(attack: Attack) -> None:
    names = [
        "memfd_create",
        "clone3",
        "shmget",
        "mq_open",
        "get_mempolicy",
        "splice",
        "landlock_create_ruleset",
    ]
    numbers = [NUMBERS[name] for name in names] + [999]
    seen = attack(f"print([call(number, 0, 0, 0, 0, 0)[1] for number in {numbers}])")
    assert seen.lines == [str([38] * len(numbers))]
    assert seen.outcome.exit_code == 0


def test_unix_sockets_and_their_pairs_work(attack: Attack) -> None:
    seen = attack(
        """
        one, two = socket.socketpair()
        one.send(b"hello")
        print(two.recv(5).decode())
        """
    )
    assert seen.lines == ["hello"]
