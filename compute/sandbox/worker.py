"""The supervisor inside the sandbox: process 1 of its namespace. A script, imports nothing of Steelyard.

It starts the algorithm under the seccomp filter, is told by the kernel of every forbidden call that any
process of the job makes, waits, ends everything, and writes one line to the runner:

  exited CODE | forbidden NUMBER ARCHITECTURE ARGUMENT | memory | cpu_time | failed MESSAGE

The algorithm cannot reach it: signals from inside its namespace do not kill process 1, it has no signal
handlers, and it is not dumpable, so neither ptrace nor /proc/1/mem nor /proc/1/fd open, though both share a
uid. Where no cgroup counts, it polls the memory and CPU time of the job's processes every 50 ms.

Argument: the number of a descriptor with a marshalled dict:
  command: argv; environment; filter: BPF bytes; rlimits: {number: value}; log, report: descriptors;
  watch: None or (memory bytes, CPU seconds, folders on tmpfs whose use counts as memory)
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import Any

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SYS_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER = 317, 1, 8
_NOTIF_RECV = 0xC0502100
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, then seccomp_data: nr, arch, ip, args
_TICK_MS = 50
_CLOCK = os.sysconf("SC_CLK_TCK")

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _listen(filter_bytes: bytes) -> int:
    """Put this process under the filter; the descriptor on which forbidden calls are told."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    program = _Program(len(filter_bytes) // 8, filter_bytes)
    return _check(
        _libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program)), "seccomp"
    )


def _become_algorithm(plan: dict[str, Any], channel: socket.socket) -> None:
    """In the child: limits, descriptors, filter, then the algorithm's interpreter. Does not return."""
    try:
        _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")  # or /proc/self would not be ours
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write("800")
        for ignored in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):  # an exec would hand these on
            signal.signal(ignored, signal.SIG_DFL)
        for number, value in plan["rlimits"].items():
            resource.setrlimit(number, (value, value))
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (plan["log"], 1), (plan["log"], 2)):
            os.dup2(source, target)
        socket.send_fds(channel, [b"listener"], [_listen(plan["filter"])])
        os.closerange(3, 1024)
        os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606
    except BaseException as error:
        channel.send(f"failed {error}".encode()[:256])
        os._exit(126)


def _receive(listener: int) -> str:
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _NOTIF_RECV, buffer)
    except OSError:  # its process was killed meanwhile; that it called is known all the same
        return "forbidden -1 0 0"
    number, architecture, _, argument = _NOTIFICATION.unpack(buffer)[3:7]
    return f"forbidden {number} {architecture} {argument}"


def _reap(main: int) -> int | None:
    """Collect every ended process; the wait status of the algorithm's first one, if it is among them."""
    found = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return found
            if pid == main:
                found = status
    except ChildProcessError:
        return found


def _used(folders: list[str]) -> tuple[int, float]:
    """(bytes of memory, CPU seconds) of all living processes, plus what tmpfs holds, plus ended children."""
    memory, ticks = 0, 0
    for folder in folders:
        state = os.statvfs(folder)
        memory += (state.f_blocks - state.f_bfree) * state.f_frsize
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as file:  # noqa: PTH123
                lines = file.read().split(b"\n")
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        memory += sum(
            1024 * int(line.split()[1]) for line in lines if line.startswith((b"RssAnon", b"RssShmem"))
        )
        ticks += sum(map(int, fields[11:15]))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return memory, ticks / _CLOCK + ended.ru_utime + ended.ru_stime


def _over(watch: tuple[int, int, list[str]]) -> str | None:
    memory, seconds = _used(watch[2])
    if memory > watch[0]:
        return "memory"
    return "cpu_time" if seconds > watch[1] else None


def _supervise(plan: dict[str, Any], main: int, listener: int) -> str:
    """Wait until the algorithm's first process ends, a forbidden call is told, or a limit is passed."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(os.pidfd_open(main), select.POLLIN)
    while True:
        events = dict(poll.poll(_TICK_MS))
        if events.get(listener, 0) & select.POLLIN:
            return _receive(listener)
        if events.get(listener):  # the last filtered process has gone: nothing more will be told
            poll.unregister(listener)
        status = _reap(main)
        if status is not None:
            # A child's call may have come in the same moment.
            late = select.poll()
            late.register(listener, select.POLLIN)
            if any(event & select.POLLIN for _, event in late.poll(0)):
                return _receive(listener)
            return f"exited {os.waitstatus_to_exitcode(status)}"
        over = _over(plan["watch"]) if plan["watch"] else None
        if over:
            return over


def _end_all() -> None:
    """Kill every process of the namespace but this one, and wait until they are gone."""
    try:
        while True:
            os.kill(-1, signal.SIGKILL)
            os.waitpid(-1, 0)
    except (ChildProcessError, ProcessLookupError):
        _reap(-1)


def _run(plan: dict[str, Any]) -> str:
    # Forbid ptrace and /proc/1 to the algorithm before it exists; ignore what Python would handle.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours, theirs = socket.socketpair()
    main = os.fork()
    if main == 0:
        _become_algorithm(plan, theirs)
    theirs.close()
    message, descriptors, _, _ = socket.recv_fds(ours, 256, 1)
    if not descriptors:
        return message.decode() or "failed to start the algorithm"
    return _supervise(plan, main, descriptors[0])


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan = marshal.load(file)  # noqa: S302 - written by the runner
    try:
        line = _run(plan)
    except OSError as error:
        line = f"failed {error}"
    _end_all()
    os.write(plan["report"], line.encode()[:512])


if __name__ == "__main__":
    main()
