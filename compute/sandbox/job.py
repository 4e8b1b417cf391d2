"""One job from start to end: watches limits, reads the log, says what ended it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from compute.sandbox import seccomp
from compute.sandbox.cgroup import Group, Places
from compute.sandbox.launch import launch
from compute.sandbox.logs import LineReader
from compute.sandbox.task import Ending, Task
from compute.sandbox.wall import Built
from marketplace.errors import RefusedError, UnavailableError

_TICK_MS = 20
_GRACE_SECONDS = 30


@dataclass(frozen=True)
class Ended:
    """How a job ended. call, exact_call: the forbidden call in words and in numbers, where that was the end."""

    ending: Ending
    exit_code: int | None = None
    call: str | None = None
    exact_call: str | None = None


class Job:
    """The processes of one job and what watches them. Leaving the `with` ends and removes everything."""

    def __init__(self, folder: Path, task: Task, uid: int | None, places: Places, wall: Built) -> None:
        """folder: the job's own. uid: the job's own, or None for ours.

        Raises RefusedError if the sandbox cannot be set up, UnavailableError if the machine lacks room.
        """
        self._task = task
        self._inner: int | None = None
        with ExitStack() as stack:
            try:
                self._group = Group(
                    places,
                    task.limits,
                    spare_processes=wall.spare_processes,
                    spare_bytes=wall.spare_bytes,
                )
                stack.callback(self._group.remove)
                self._launched = launch(stack, folder, task, uid, self._group, wall)
            except OSError as error:
                raise UnavailableError("the sandbox could not be started", got=error) from error
            stack.callback(self._forget_inner)
            stack.callback(self._end)
            self._deadline = time.monotonic() + task.limits.wall_seconds
            self._stack = stack.pop_all()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def outputs(self) -> int:
        """Descriptor of the folder /data/outputs, valid until the job is left."""
        return self._launched.outputs

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that it had so far, None where the kernel does not count it."""
        return self._group.peak_bytes()

    def run(self, on_line: Callable[[str], None], stop: threading.Event) -> tuple[Ended, LineReader]:
        """Wait for the end, enforcing what is enforced from outside. No process of it lives afterwards.

        Raises UnavailableError if the sandbox itself broke, and what `on_line` raises.
        """
        log = LineReader(self._launched.log, self._task.limits.log_bytes, on_line)
        decided = self._watch(log, stop)
        if decided is not None:
            self._end()
        self._launched.process.wait()
        while log.read():
            pass
        log.finish()
        return self._conclude(decided), log

    def _conclude(self, decided: Ending | None) -> Ended:
        if decided is not None:
            return Ended(decided)
        if self._group.memory_kills():  # the kernel may have killed the first process, or the supervisor
            return Ended(Ending.memory)
        reported = self._reported()
        if reported.exit_code and self._group.refused_forks():
            return Ended(Ending.processes)
        return reported

    def _watch(self, log: LineReader, stop: threading.Event) -> Ending | None:
        """Until the job has ended by itself (None) or must be ended (why)."""
        exited = os.pidfd_open(self._launched.process.pid)
        try:
            poll = select.poll()
            for descriptor in (exited, self._launched.log, self._launched.information):
                poll.register(descriptor, select.POLLIN)
            while True:
                ready = dict(poll.poll(_TICK_MS))
                if self._launched.information in ready:
                    self._learn_inner()
                    poll.unregister(self._launched.information)
                if self._launched.log in ready:
                    self._read_log(log, poll)
                if exited in ready:
                    return None
                if (reason := self._reason_to_end(stop)) is not None:
                    return reason
        finally:
            os.close(exited)

    def _read_log(self, log: LineReader, poll: select.poll) -> None:
        log.read()
        if log.ended:
            poll.unregister(self._launched.log)
        elif log.cut:  # let a flood wait in its own pipe instead of costing us a core
            time.sleep(_TICK_MS / 1000)

    def _reason_to_end(self, stop: threading.Event) -> Ending | None:
        if stop.is_set():
            return Ending.stopped
        if time.monotonic() > self._deadline:
            return Ending.wall_time
        if self._group.memory_kills():
            return Ending.memory
        if self._group.cpu_seconds() > self._task.limits.cpu_seconds:
            return Ending.cpu_time
        return Ending.processes if self._group.refused_forks() else None

    def _reported(self) -> Ended:
        """The supervisor's line; nothing that the algorithm writes can get there."""
        line = os.read(self._launched.report, 512).decode(errors="replace")
        kind, *words = line.split() or ["failed"]
        if kind == "exited":
            return Ended(Ending.exited, exit_code=int(words[0]))
        if kind == "forbidden":
            return _forbidden(*map(int, words))
        if kind in ("memory", "cpu_time", "processes"):
            return Ended(Ending(kind))
        message = self._launched.error_text() or line or "no message"
        raise RefusedError(
            "the sandbox did not hold", got=message, do="Run the probe: it names what is missing."
        )

    def _learn_inner(self) -> None:
        """Hold on to process 1 of the namespace."""
        try:
            pid = json.loads(os.read(self._launched.information, 4096))["child-pid"]
            self._inner = os.pidfd_open(pid)
        except (OSError, ValueError):  # the wall failed before it had one
            return

    def _forget_inner(self) -> None:
        if self._inner is not None:
            os.close(self._inner)

    def _end(self) -> None:
        """Kill process 1: the kernel ends all others before its parent sees it gone. Harmless if ended."""
        process = self._launched.process
        if process.poll() is not None:
            return
        try:
            if self._inner is None:
                process.kill()  # takes process 1 with it
            else:
                signal.pidfd_send_signal(self._inner, signal.SIGKILL)
            process.wait(_GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()


def _forbidden(number: int, architecture: int, argument: int) -> Ended:
    if number < 0:
        return Ended(Ending.forbidden_call, call="a call whose process did not outlive it")
    call = seccomp.describe(number, architecture, argument)
    exact_call = seccomp.describe_exactly(number, architecture, argument)
    return Ended(Ending.forbidden_call, call=call, exact_call=exact_call)
