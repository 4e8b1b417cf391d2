"""The filter as a program: run by an interpreter of classic BPF over every call number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compute.sandbox.calls import ALLOWED, FORBIDDEN, NAMES, NUMBERS
from compute.sandbox.seccomp import (
    ALLOW,
    ARCHITECTURE,
    NOT_HERE,
    NOTIFY,
    TRACE,
    X32_BIT,
    describe,
    describe_exactly,
    filter_bytes,
    program,
)

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def answer(number: int, *arguments: int, architecture: int = ARCHITECTURE) -> int:
    """What the filter returns for one call. Source of the semantics: Linux net/core/filter.c."""
    six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = b"".join(
        [
            number.to_bytes(4, "little"),
            architecture.to_bytes(4, "little"),
            bytes(8),
            *(argument.to_bytes(8, "little") for argument in six),
        ]
    )
    instructions, at, value = program(), 0, 0
    while True:
        step = instructions[at]
        at += 1
        match step.code:
            case 0x20:
                value = int.from_bytes(data[step.value : step.value + 4], "little")
            case 0x54:
                value &= step.value
            case 0x15:
                at += step.on_true if value == step.value else step.on_false
            case 0x35:
                at += step.on_true if value >= step.value else step.on_false
            case 0x06:
                return step.value
            case _:
                pytest.fail(f"instruction {step}")


def test_every_number_gets_the_answer_of_its_name() -> None:
    for number in range(600):
        name = NAMES.get(number)
        if name in ALLOWED:
            assert answer(number) == ALLOW, name
        elif name in FORBIDDEN:
            assert answer(number) == NOTIFY, name
        elif name not in ("clone", "socket", "socketpair", "ioctl", "prctl"):
            assert answer(number) == NOT_HERE, (number, name)


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers here")
def test_the_numbers_are_those_of_the_kernels_header() -> None:
    pairs = re.findall(r"__NR_(\w+) (\d+)", HEADER.read_text())
    assert len(pairs) > 350
    assert {name: NUMBERS.get(name) for name, _ in pairs} == {name: int(number) for name, number in pairs}


def test_of_all_socket_families_only_unix_is_allowed() -> None:
    for name in ("socket", "socketpair"):
        allowed = [family for family in range(64) if answer(NUMBERS[name], family, 1) == ALLOW]
        assert allowed == [1]
        assert answer(NUMBERS[name], 2, 1) == NOTIFY


def test_high_bits_of_an_argument_do_not_slip_through() -> None:
    high = 0xDEAD_BEEF << 32
    assert answer(NUMBERS["ioctl"], 0, high | 0x5412) == NOTIFY
    assert answer(NUMBERS["prctl"], high | 22) == NOTIFY
    assert answer(NUMBERS["clone"], high | 0x10000000) == NOTIFY
    assert answer(NUMBERS["socket"], high | 2) == NOTIFY


def test_clone_is_allowed_for_threads_and_children_but_not_with_any_namespace() -> None:
    thread = 0x003D0F00  # glibc's flags of pthread_create
    assert answer(NUMBERS["clone"], thread) == ALLOW
    assert answer(NUMBERS["clone"], 17) == ALLOW
    for flag in (0x800000, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(NUMBERS["clone"], 17 | flag) == NOTIFY
    assert answer(NUMBERS["clone3"]) == NOT_HERE


def test_for_a_tracer_the_filter_differs_only_in_how_calls_are_told() -> None:
    told = filter_bytes().replace(NOTIFY.to_bytes(4, "little"), TRACE.to_bytes(4, "little"))
    assert filter_bytes(traced=True) == told != filter_bytes()


def test_harmless_forms_of_ioctl_and_prctl_are_allowed() -> None:
    assert answer(NUMBERS["ioctl"], 1, 0x5401) == ALLOW
    assert answer(NUMBERS["prctl"], 15) == ALLOW


def test_other_architectures_and_x32_are_never_allowed() -> None:
    for number in range(500):
        assert answer(number, architecture=0x40000003) == NOTIFY
        assert answer(number | X32_BIT) == NOTIFY


def test_the_program_fits_the_kernels_limit_and_no_jump_leaves_it() -> None:
    instructions = program()
    assert len(filter_bytes()) == 8 * len(instructions) <= 8 * 4096
    for at, step in enumerate(instructions):
        assert max(step.on_true, step.on_false) <= 255
        assert at + 1 + max(step.on_true, step.on_false) < len(instructions) or step.code == 0x06


def test_a_forbidden_call_is_described_by_its_name_and_family() -> None:
    assert describe(NUMBERS["socket"], ARCHITECTURE, 40) == "socket(AF_VSOCK)"
    assert describe(NUMBERS["socket"], ARCHITECTURE, 99) == "socket(an unknown address family)"
    assert describe(NUMBERS["ptrace"], ARCHITECTURE, 0) == "ptrace()"
    assert "x32" in describe(X32_BIT | 41, ARCHITECTURE, 2)
    assert "another architecture" in describe(102, 0x40000003, 0)


def test_no_number_that_the_caller_chose_is_in_the_description() -> None:
    words = {
        describe(number, architecture, argument)
        for number in (*range(600), 7_000_123, *(X32_BIT | number for number in range(600)))
        for architecture in (ARCHITECTURE, 0x40000003, 0xC00000B7)
        for argument in (0, 0xDEADBEEF, 2**63 + 7_000_123)
    }
    known = {f"{name}()" for name in NUMBERS} | {"clone()"}
    others = {
        "a call of another architecture",
        "a call of the x32 interface",
        "an unknown call",
        "socket(an unknown address family)",
        "socketpair(an unknown address family)",
    }
    assert words <= known | others
    assert others <= words


def test_the_owner_is_told_the_numbers_of_a_call() -> None:
    told = describe_exactly(41, ARCHITECTURE, 0xDEADBEEF)
    assert told == "system call 0x29 of architecture 0xc000003e, first argument 0xdeadbeef"
