"""The seccomp filter as a classic BPF program, made here so that no libseccomp is needed. Pure.

Every forbidden call gets SECCOMP_RET_USER_NOTIF: the kernel holds the caller and tells the supervisor
(worker.py), which ends the whole job. The call itself is never carried out, and a child process that makes
it cannot be hidden by its parent, as it could be with SECCOMP_RET_KILL_PROCESS and a swallowed wait status.

Source: Linux Documentation/userspace-api/seccomp_filter.rst; struct seccomp_data of linux/seccomp.h.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from compute.sandbox.calls import ALLOWED, BY_ARGUMENT, FORBIDDEN, NAMES

ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
X32_BIT = 0x40000000
ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000
TRACE = 0x7FF00000
NOT_HERE = 0x00050000 | errno.ENOSYS

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_AF_UNIX = 1
# CLONE_NEW*: NS, CGROUP, UTS, IPC, USER, PID, NET (a time namespace comes only by clone3 or unshare); and
# CLONE_UNTRACED, which would hide a child from the supervisor where that traces.
_CLONE_REFUSED = (
    0x00800000 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PR_SET_SECCOMP, _PR_SET_MM = 22, 35

_ADDRESS_FAMILIES = {
    2: "AF_INET", 3: "AF_AX25", 9: "AF_X25", 10: "AF_INET6", 15: "AF_KEY", 16: "AF_NETLINK", 17: "AF_PACKET",
    29: "AF_CAN", 31: "AF_BLUETOOTH", 38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP",
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """One BPF instruction: `on_true` and `on_false` are the numbers of instructions to skip."""

    code: int
    value: int
    on_true: int = 0
    on_false: int = 0

    def to_bytes(self) -> bytes:
        """struct sock_filter: 8 bytes."""
        return struct.pack("=HBBI", self.code, self.on_true, self.on_false, self.value)


def program() -> list[Instruction]:
    """The filter: architecture, then x32, then one answer for each range of call numbers."""
    instructions = [
        Instruction(_LOAD, _ARCHITECTURE_AT),
        Instruction(_EQUAL, ARCHITECTURE, on_true=1),
        Instruction(_RETURN, NOTIFY),
        Instruction(_LOAD, _NUMBER_AT),
        Instruction(_AT_LEAST, X32_BIT, on_false=1),
        Instruction(_RETURN, NOTIFY),
    ]
    for end, answer in _ranges():
        instructions.append(Instruction(_AT_LEAST, end, on_true=len(answer)))
        instructions.extend(answer)
    return [*instructions, Instruction(_RETURN, NOT_HERE)]


def filter_bytes(*, traced: bool = False) -> bytes:
    """`program()` as the kernel takes it: 8 bytes for each instruction, at most 4,096 instructions.

    traced: forbidden calls stop before a tracer instead, where the kernel has no notification (gVisor).
    """
    notify, trace = Instruction(_RETURN, NOTIFY), Instruction(_RETURN, TRACE)
    told = (trace if traced and instruction == notify else instruction for instruction in program())
    return b"".join(instruction.to_bytes() for instruction in told)


def describe(number: int, architecture: int, argument: int) -> str:
    """A forbidden call in fixed words alone, from what the supervisor was told. argument: the call's first.

    No number is in it: the caller chose them all, and could spell out data with them.
    """
    if architecture != ARCHITECTURE:
        return "a call of another architecture"
    if number & X32_BIT:
        return "a call of the x32 interface"
    name = NAMES.get(number)
    if name in ("socket", "socketpair"):
        return f"{name}({_ADDRESS_FAMILIES.get(argument & 0xFFFFFFFF, 'an unknown address family')})"
    return f"{name}()" if name in FORBIDDEN | BY_ARGUMENT else "an unknown call"


def describe_exactly(number: int, architecture: int, argument: int) -> str:
    """The same call with its numbers: for the owner of the data alone."""
    return f"system call {number:#x} of architecture {architecture:#x}, first argument {argument:#x}"


def _ranges() -> list[tuple[int, list[Instruction]]]:
    """[(first number after the range, its answer)], ascending, neighbours with one answer joined."""
    ranges: list[tuple[int, list[Instruction]]] = []
    for number in range(max(NAMES) + 1):
        answer = _answer(NAMES.get(number))
        if ranges and ranges[-1][1] == answer:
            ranges.pop()
        ranges.append((number + 1, answer))
    return ranges


def _answer(name: str | None) -> list[Instruction]:
    if name in ALLOWED:
        return [Instruction(_RETURN, ALLOW)]
    if name in FORBIDDEN:
        return [Instruction(_RETURN, NOTIFY)]
    if name in BY_ARGUMENT:
        return _by_argument(name)
    return [Instruction(_RETURN, NOT_HERE)]


def _by_argument(name: str) -> list[Instruction]:
    """Only the low 32 bits are compared, as the kernel takes them: high bits must not slip through."""
    if name in ("socket", "socketpair"):
        return [_argument(0), Instruction(_EQUAL, _AF_UNIX, on_true=1), *_notify_or_allow()]
    if name == "clone":
        return [
            _argument(0),
            Instruction(_AND, _CLONE_REFUSED),
            Instruction(_EQUAL, 0, 1),
            *_notify_or_allow(),
        ]
    index, refused = {"ioctl": (1, (_TIOCSTI, _TIOCLINUX)), "prctl": (0, (_PR_SET_SECCOMP, _PR_SET_MM))}[name]
    first, second = refused
    return [
        _argument(index),
        Instruction(_EQUAL, first, on_true=1),
        Instruction(_EQUAL, second, on_false=1),
        *_notify_or_allow(),
    ]


def _argument(index: int) -> Instruction:
    return Instruction(_LOAD, _ARGUMENTS_AT + 8 * index)


def _notify_or_allow() -> list[Instruction]:
    return [Instruction(_RETURN, NOTIFY), Instruction(_RETURN, ALLOW)]
