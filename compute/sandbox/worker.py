"""The supervisor inside the sandbox: process 1 of its namespace. A script, imports nothing of Steelyard.

It starts the algorithm under the seccomp filter, is told by the kernel of every forbidden call that any
process of the job makes, waits, ends everything, and writes one line to the runner:

  exited CODE | forbidden NUMBER ARCHITECTURE ARGUMENT | memory | cpu_time | processes | failed MESSAGE

The algorithm cannot reach it: signals from inside its namespace do not kill process 1, it has no signal
handlers, and it is not dumpable, so neither ptrace nor /proc/1/mem nor /proc/1/fd open, though both share a
uid. Where no cgroup counts, it polls the memory and CPU time of the job's processes every 50 ms.

Where the kernel has no notification (gVisor), it traces every process of the job instead: the filter stops
the caller before the tracer, new processes and threads are traced from their birth, and counted. There the
algorithm has another uid, without capabilities, and that keeps it from process 1.

Argument: the number of a descriptor with a marshalled dict:
  command: argv; environment; filter: BPF bytes; rlimits: {number: value}; log, report: descriptors;
  watch: None (cgroups count) or (memory bytes, CPU seconds, folders on tmpfs whose use counts as memory)
  traced: None, or the most processes and threads, which are traced
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
import time
from typing import Any

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SYS_PTRACE = 101
_SYS_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER = 317, 1, 8
_NOTIF_RECV = 0xC0502100
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, then seccomp_data: nr, arch, ip, args
_TRACEME, _PEEKUSER, _CONT, _SETOPTIONS, _GETEVENTMSG = 0, 3, 7, 0x4200, 0x4201
_TRACE_ALL = 0x02 | 0x04 | 0x08 | 0x10 | 0x80 | 0x100000  # fork, vfork, clone, exec, seccomp, exit with us
_FORKED, _EXECUTED, _CALLED = (1, 2, 3), 4, 7
_ORIG_RAX, _RDI, _CS = 8 * 15, 8 * 14, 8 * 17
_ARCHITECTURE, _OTHER_ARCHITECTURE, _CS_32 = 0xC000003E, 0x40000003, 0x23
_ANY = 0x40000000  # __WALL: threads too
_MOST_EVENTS = 512  # before the limits are looked at again
_TICK_MS = 50
_CLOCK = os.sysconf("SC_CLK_TCK")

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _listen(filter_bytes: bytes, flags: int) -> int:
    """Put this process under the filter; with _NEW_LISTENER, the descriptor on which calls are told."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    program = _Program(len(filter_bytes) // 8, filter_bytes)
    return _check(_libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, flags, ctypes.byref(program)), "seccomp")


def _become_algorithm(plan: dict[str, Any], channel: socket.socket) -> None:
    """In the child: limits, descriptors, filter, then the algorithm's interpreter. Does not return."""
    try:
        _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")  # or /proc/self would not be ours
        for ignored in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):  # an exec would hand these on
            signal.signal(ignored, signal.SIG_DFL)
        for number, value in plan["rlimits"].items():
            hard = resource.getrlimit(number)[1]
            lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (lower, lower))
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (plan["log"], 1), (plan["log"], 2)):
            os.dup2(source, target)
        if plan["traced"] is None:
            socket.send_fds(channel, [b"listener"], [_listen(plan["filter"], _NEW_LISTENER)])
        else:
            _wait_for_tracer(plan["filter"])
        os.closerange(3, 1024)
        os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606
    except BaseException as error:
        channel.send(f"failed {error}".encode()[:256])
        os._exit(126)


def _wait_for_tracer(filter_bytes: bytes) -> None:
    """Become the uid without capabilities, and go on, under the filter, when the tracer says so."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")
    _check(_libc.ptrace(_TRACEME, 0, None, None), "traceme")
    os.kill(os.getpid(), signal.SIGSTOP)
    _listen(filter_bytes, 0)


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


def _used(folders: list[str], *, by_kernel: bool) -> tuple[int, float]:
    """(bytes of memory, CPU seconds) of all living processes, plus what tmpfs holds, plus ended children.

    by_kernel: this kernel is the job's alone and tells exactly what is in use (gVisor).
    """
    memory, ticks = _kilobytes("/proc/meminfo", (b"AnonPages",)) if by_kernel else 0, 0
    for folder in folders:
        state = os.statvfs(folder)
        memory += (state.f_blocks - state.f_bfree) * state.f_frsize
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit() or name == "1":
            continue
        try:
            memory += 0 if by_kernel else _kilobytes(f"/proc/{name}/status", (b"RssAnon", b"RssShmem"))
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return memory, ticks / _CLOCK + ended.ru_utime + ended.ru_stime


def _kilobytes(path: str, names: tuple[bytes, ...]) -> int:
    """Bytes: the sum of these lines of a file of /proc, which tells them in KiB."""
    with open(path, "rb") as file:  # noqa: PTH123
        return sum(1024 * int(line.split()[1]) for line in file if line.startswith(names))


def _over(watch: tuple[int, int, list[str]], *, by_kernel: bool) -> str | None:
    memory, seconds = _used(watch[2], by_kernel=by_kernel)
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
        over = _over(plan["watch"], by_kernel=False) if plan["watch"] else None
        if over:
            return over


def _ask(request: int, pid: int, value: int = 0) -> int:
    """One ptrace request; less than 0 if the process has been killed meanwhile."""
    return int(_libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, ctypes.c_void_p(value)))


def _peek(pid: int, register: int) -> int:
    word = ctypes.c_ulong()  # the bare call writes it there; only glibc's own returns it
    where = ctypes.c_long(register), ctypes.byref(word)
    _libc.syscall(_SYS_PTRACE, ctypes.c_long(_PEEKUSER), ctypes.c_long(pid), *where)
    return word.value


class _Tracer:
    """Follows every process and thread of the job; `living` are those that it knows of."""

    def __init__(self, main: int, most: int) -> None:
        self._main, self._most = main, most
        self._living, self._begun = {main}, {main}
        _check(_ask(_SETOPTIONS, main, _TRACE_ALL), "trace")
        _ask(_CONT, main)

    def step(self) -> str | None:
        """Take what has happened: the line that ends the job, or None. A swarm cannot keep us here."""
        end = None
        for _ in range(_MOST_EVENTS):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | _ANY)
            except ChildProcessError:
                return end
            if pid == 0:
                return end
            if os.WIFSTOPPED(status):
                line = self._stopped(pid, status >> 16, os.WSTOPSIG(status))
                if line is not None:
                    return line
            else:
                self._living.discard(pid)
                self._begun.discard(pid)
                if pid == self._main:  # a child's call may have come in the same moment
                    end = f"exited {os.waitstatus_to_exitcode(status)}"
        return end

    def _stopped(self, pid: int, event: int, number: int) -> str | None:
        """Let it go on, or say why not."""
        if event == _CALLED:
            architecture = _OTHER_ARCHITECTURE if _peek(pid, _CS) == _CS_32 else _ARCHITECTURE
            return f"forbidden {_peek(pid, _ORIG_RAX) & 0xFFFFFFFF} {architecture} {_peek(pid, _RDI)}"
        self._living.add(pid)
        if event in (*_FORKED, _EXECUTED):
            message = ctypes.c_ulong()
            _ask(_GETEVENTMSG, pid, ctypes.addressof(message))
            if event == _EXECUTED and message.value != pid:  # a thread, which takes the first one's name
                self._living.discard(message.value)
            elif event != _EXECUTED:
                self._living.add(message.value)
            if len(self._living) > self._most:
                return "processes"
        first = pid not in self._begun  # a new one's own SIGSTOP is not for it
        self._begun.add(pid)
        _ask(_CONT, pid, 0 if event or first or number == signal.SIGTRAP else number)
        return None


def _close_devices() -> None:
    """Take gVisor's /dev, which lies in memory, from the algorithm's uid: it is not to write there."""
    for folder in ("/dev", "/dev/net", "/dev/pts"):
        if os.path.isdir(folder):  # noqa: PTH112
            os.chown(folder, os.getuid(), os.getgid())


def _follow(plan: dict[str, Any], main: int) -> str:
    """As `_supervise`, by tracing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    tracer, look_at = _Tracer(main, plan["traced"]), 0.0
    while True:
        line = tracer.step()
        if line is None and time.monotonic() > look_at:
            line, look_at = _over(plan["watch"], by_kernel=True), time.monotonic() + _TICK_MS / 1000
        if line is not None:
            return line
        signal.sigtimedwait({signal.SIGCHLD}, _TICK_MS / 1000)


def _end_all() -> None:
    """Kill every process of the namespace but this one, and wait until they are gone."""
    try:
        while True:
            os.kill(-1, signal.SIGKILL)
            os.waitpid(-1, _ANY)
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
    if plan["traced"] is not None:
        _close_devices()
        _, status = os.waitpid(main, _ANY)
        if not os.WIFSTOPPED(status):
            return ours.recv(256).decode() or "failed to start the algorithm"
        return _follow(plan, main)
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
