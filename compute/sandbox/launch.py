"""Starts one job's processes: pipes, the plans of launcher and supervisor, and the launcher itself."""

from __future__ import annotations

import marshal
import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from compute.sandbox import layout, seccomp
from compute.sandbox.cgroup import Group
from compute.sandbox.task import Limits, Task
from compute.sandbox.wall import Built, Ends
from marketplace.errors import RefusedError

_START_SECONDS = 60  # inputs that must be copied take their time
_OPEN_FILES = 4096
_SMALL_FILES = 65_536  # in /tmp and in /dev/shm


@dataclass(frozen=True)
class Launched:
    """A running sandbox. All descriptors are the runner's ends; `close` comes from the caller's stack.

    process: the launcher, which became the wall or waits for it. log: the algorithm's stdout and stderr. report: the
    supervisor's one line. information: JSON with the pid whose end ends all. outputs: the folder
    /data/outputs. errors: what launcher and wall wrote.
    """

    process: subprocess.Popen[bytes]
    log: int
    report: int
    information: int
    outputs: int
    errors: int

    def error_text(self) -> str:
        """What launcher or wall complained of."""
        return _error_text(self.errors)


def launch(
    stack: ExitStack, folder: Path, task: Task, uid: int | None, group: Group, wall: Built
) -> Launched:
    """Start the sandbox; returns once its file systems stand.

    stack: closes the descriptors. folder: the job's own. uid: the job's, or None for our own.
    Raises RefusedError if the sandbox cannot be set up: nothing untrusted has run then.
    """
    with ExitStack() as inner:
        log, log_inside = _pipe(stack, inner)
        report, report_inside = _pipe(stack, inner)
        information, information_inside = _pipe(stack, inner)
        ours, theirs = (inner.enter_context(end) for end in socket.socketpair())
        errors = os.memfd_create("errors")
        stack.callback(os.close, errors)
        if uid is not None:  # so that the job can open /dev/stdout
            os.fchown(log_inside, uid, uid)
        stage = layout.Stage(folder, as_root=uid is not None)
        layout.show_system(stage)
        layout.show_task(stage, task)
        # The numbers inside do not depend on the plan's own.
        named = wall.inside(Ends(log_inside, report_inside, information_inside, plan=-1))
        worker = _plan(inner, _worker_plan(task, group, named, traced=wall.traced))
        ends = Ends(log_inside, report_inside, information_inside, worker)
        outer = _plan(
            inner, _launcher_plan(stage, task, group, uid, theirs.fileno()) | wall.launcher_plan(ends)
        )
        process = _start(
            stack, outer, [log_inside, report_inside, information_inside, theirs.fileno(), worker], errors
        )
        theirs.close()
        return Launched(process, log, report, information, _outputs(stack, ours, process, errors), errors)


def _start(stack: ExitStack, plan: int, descriptors: list[int], errors: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - our own program, our own arguments
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py")), str(plan)],
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        env={},
        pass_fds=[plan, *descriptors],
        start_new_session=True,  # a Ctrl-C in the runner's terminal is the runner's to handle
    )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _outputs(stack: ExitStack, channel: socket.socket, process: subprocess.Popen[bytes], errors: int) -> int:
    channel.settimeout(_START_SECONDS)
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 16, 1)
    except TimeoutError:
        descriptors = []
    if not descriptors:
        _end(process)
        raise RefusedError(
            "the sandbox could not be set up",
            got=_error_text(errors) or "no answer",
            expected="mounts in a namespace of its own",
            do="See `Sandbox.probe`.",
        )
    stack.callback(os.close, descriptors[0])
    return descriptors[0]


def _launcher_plan(
    stage: layout.Stage, task: Task, group: Group, uid: int | None, channel: int
) -> dict[str, object]:
    limits = task.limits
    return {
        "uid": uid,
        "parent": os.getpid(),
        "sources": stage.sources,
        "folders": stage.folders,
        "covers": stage.covers,
        "links": stage.links,
        "filesystems": [
            ("outputs", limits.output_bytes, limits.output_files + 1),  # the folder itself is one
            ("tmp", limits.memory_bytes, _SMALL_FILES),
            ("shm", limits.memory_bytes, _SMALL_FILES),
        ],
        "procs": group.entrances,
        "outputs": ("outputs", channel),
    }


def _worker_plan(task: Task, group: Group, ends: Ends, *, traced: bool) -> dict[str, object]:
    limits = task.limits
    # A wall that needs memory of its own makes the group's limit larger than the job's.
    polled = traced or not (group.counts_memory and group.counts_cpu)
    return {
        "command": [*layout.interpreter_command(), "/data/transformations/algorithm"],
        "environment": layout.algorithm_environment(task),
        "filter": seccomp.filter_bytes(traced=traced),
        "rlimits": _rlimits(limits, group, traced=traced),
        "log": ends.log,
        "report": ends.report,
        "watch": (limits.memory_bytes, limits.cpu_seconds, list(layout.WRITABLE)) if polled else None,
        "traced": limits.processes if traced else None,
    }


def _rlimits(limits: Limits, group: Group, *, traced: bool) -> dict[int, int]:
    """Limits of each process. Where no cgroup counts, they are the walls; else a second row.

    A tracer counts processes itself; gVisor's kernel knows neither of the two limits left out then.
    """
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CPU: limits.cpu_seconds + 1,
    }
    if not traced:
        wanted[12] = 0  # RLIMIT_MSGQUEUE, which the module does not name
    if not traced and not group.counts_pids:
        wanted[resource.RLIMIT_NPROC] = limits.processes + 1  # the supervisor is one
    if not group.counts_memory:
        wanted[resource.RLIMIT_DATA] = limits.memory_bytes
    return wanted


def _pipe(stack: ExitStack, inner: ExitStack) -> tuple[int, int]:
    """(our end, the sandbox's end): ours lives with the job, theirs until the launcher has it."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    inner.callback(os.close, writing)
    return reading, writing


def _plan(inner: ExitStack, plan: dict[str, object]) -> int:
    descriptor = os.memfd_create("plan")
    inner.callback(os.close, descriptor)
    content = marshal.dumps(plan)
    while content:
        content = content[os.write(descriptor, content) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _error_text(errors: int) -> str:
    size = os.fstat(errors).st_size
    return os.pread(errors, 2000, max(0, size - 2000)).decode(errors="replace").strip()
