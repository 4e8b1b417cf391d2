"""Small real attacks inside the sandbox at start: what does not hold here is found before data is opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from compute.sandbox.task import MIB, Ending, Isolation, Limits, Outcome, Task
from marketplace.errors import RefusedError, SteelyardError

Run = Callable[[Task, Callable[[str], None]], AbstractContextManager[Outcome]]

# Each check prints one line where it fails; the last line says that all were made.
_WALLS = b"""
import ctypes, os
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
def check(name, holds):
    if not holds:
        print("missing:", name)
check("seccomp", status["Seccomp"].strip() == "2")
check("no new privileges", ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 1)
check("no capabilities", all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")))
check("a process namespace", os.getppid() == 1)
interfaces = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
check("a network namespace", interfaces == ["lo"])
check("a mount namespace", not os.path.exists("/root") and not os.path.exists("/home"))
check("a read-only root", not any(os.access(path, os.W_OK) for path in ("/", "/data", "/opt", "/usr", "/dev")))
try:
    with open("/data/outputs/large", "wb") as file:
        file.write(bytes(64 * 1024))
    check("a quota of output bytes", False)
except OSError:
    os.remove("/data/outputs/large")
try:
    for number in range(16):
        os.mkdir(f"/data/outputs/{number}")
    check("a quota of output files", False)
except OSError:
    pass
print("checked as uid", os.getuid())
"""
_HIDDEN_CALL = b"""
import os, socket
if os.fork() == 0:
    socket.socket(socket.AF_INET)
    os._exit(0)
os.wait()
"""
_MEMORY = b"""
try:
    hold = [bytearray(b"x") * 65536 for _ in range(8192)]
except MemoryError:
    raise SystemExit(7)
"""
_PROCESSES = b"""
import os, time
try:
    for _ in range(64):
        if os.fork() == 0:
            time.sleep(60)
except BlockingIOError:
    os._exit(7)
"""
_REFUSED_INSIDE = 7  # the limit held, and the process was told so: no cgroup ends it


def probe(run: Run, promised: Isolation) -> Isolation:
    """Try every wall. Returns `promised` if all hold.

    run: runs a task. promised: the bits that this machine seems to offer.
    Raises RefusedError naming what is missing.
    """
    try:
        missing = [*_walls(run), *_calls(run), *_memory(run, promised), *_processes(run, promised)]
    except RefusedError as error:
        missing = [str(error)]
    except SteelyardError as error:
        missing = [f"a running sandbox ({error})"]
    if missing:
        raise RefusedError(
            "no sandbox: this machine does not hold an algorithm in",
            got="missing " + ", ".join(missing),
            expected="user namespaces, seccomp with user notification (Linux >= 5.14), tmpfs in namespaces",
            do="Allow user namespaces (in a container also an unmasked /proc), or use another machine.",
        )
    return promised


def _walls(run: Run) -> list[str]:
    with run(_task(_WALLS), _ignore) as outcome:
        lines = outcome.log_tail.splitlines()
        if outcome.ending is not Ending.exited or outcome.exit_code or not lines[-1].startswith("checked"):
            return [f"a working interpreter ({_ended(outcome)}: {outcome.log_tail[-300:]})"]
        return [line.partition(": ")[2] for line in lines[:-1]]


def _calls(run: Run) -> list[str]:
    with run(_task(_HIDDEN_CALL), _ignore) as outcome:
        return (
            []
            if outcome.ending is Ending.forbidden_call
            else [f"notice of forbidden calls ({_ended(outcome)})"]
        )


def _memory(run: Run, promised: Isolation) -> list[str]:
    return _limit(run, _MEMORY, Ending.memory, strict=Isolation.CGROUP_MEMORY in promised)


def _processes(run: Run, promised: Isolation) -> list[str]:
    return _limit(run, _PROCESSES, Ending.processes, strict=Isolation.CGROUP_PIDS in promised)


def _limit(run: Run, code: bytes, expected: Ending, *, strict: bool) -> list[str]:
    with run(_task(code), _ignore) as outcome:
        held = outcome.ending is expected or (not strict and outcome.exit_code == _REFUSED_INSIDE)
        return [] if held else [f"a limit of {expected.value} ({_ended(outcome)})"]


def _ended(outcome: Outcome) -> str:
    """With its numbers: the probe's own code chose them."""
    return "; ".join(filter(None, (outcome.detail, outcome.exact)))


def _task(code: bytes) -> Task:
    limits = Limits(
        memory_bytes=128 * MIB,
        processes=16,
        wall_seconds=20,
        cpu_seconds=20,
        output_bytes=16_384,
        output_files=4,
    )
    return Task(inputs={}, transformations={"probe.py": code}, entrypoint="probe.py", limits=limits)


def _ignore(_: str) -> None:
    """The probe reads the tail."""
