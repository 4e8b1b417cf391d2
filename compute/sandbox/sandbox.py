"""The sandbox as the rest of the house sees it: probe once, then run tasks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from compute.sandbox import cgroup
from compute.sandbox.bubblewrap import Bubblewrap
from compute.sandbox.gvisor import Gvisor
from compute.sandbox.job import Ended, Job
from compute.sandbox.logs import LineReader
from compute.sandbox.outputs import Collected, collect
from compute.sandbox.probe import probe
from compute.sandbox.scratch import Scratch, default_root
from compute.sandbox.task import Ending, Isolation, Outcome, Task, Wall
from compute.sandbox.wall import Built
from marketplace.errors import UnavailableError


class Sandbox:
    """Runs untrusted algorithms, each behind a wall of its own. Safe to use from several threads.

    Making one removes what killed runners left behind. `close` it, or use `with`.
    """

    def __init__(self, scratch: Path | None = None, *, wall: Wall = Wall.bubblewrap) -> None:
        """scratch: folder for jobs in hand, best on a tmpfs; ours, 0700. Default: below /dev/shm.

        Raises RefusedError if the folder belongs to somebody else, UnavailableError if it cannot be made.
        """
        self._wall: Built = Gvisor() if wall is Wall.gvisor else Bubblewrap()
        try:
            self._scratch = Scratch(scratch or default_root())
            self._places = cgroup.find()
            self.reaped = [*self._scratch.reaped, *cgroup.reap(self._places)]
        except OSError as error:
            raise UnavailableError("the sandbox has no scratch folder", got=error) from error
        self._isolation: Isolation | None = None
        self._probing = threading.Lock()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch folder."""
        self._scratch.close()

    def probe(self) -> Isolation:
        """What the sandbox reaches here, found out by small attacks inside it; measured once.

        Raises RefusedError naming what is missing where namespaces, seccomp, or any limit does not hold.
        """
        with self._probing:
            if self._isolation is None:
                self._isolation = probe(self._run, self._isolation_promised())
            return self._isolation

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A private folder in the scratch, for what a job is about to read; gone when the `with` is left."""
        _, folder = self._scratch.new_job()
        try:
            yield folder
        finally:
            self._scratch.remove_job(folder)

    @contextmanager
    def run(
        self, task: Task, on_line: Callable[[str], None], stop: threading.Event | None = None
    ) -> Iterator[Outcome]:
        """Run one task to its end; its outputs are there until the `with` is left.

        on_line: called in this thread with each line of the log, at most 4 KiB, control characters removed.
        stop: set it, from any thread, to end the job.
        Raises RefusedError where the sandbox does not hold, UnavailableError where the machine lacks room.
        """
        self.probe()
        with self._run(task, on_line, stop) as outcome:
            yield outcome

    @contextmanager
    def _run(
        self, task: Task, on_line: Callable[[str], None], stop: threading.Event | None = None
    ) -> Iterator[Outcome]:
        _, folder = self._scratch.new_job()
        try:
            yield self._outcome(task, folder, on_line, stop or threading.Event())
        finally:
            self._scratch.remove_job(folder)

    def _outcome(
        self, task: Task, folder: Path, on_line: Callable[[str], None], stop: threading.Event
    ) -> Outcome:
        started_at = int(time.time())
        uid = self._scratch.new_uid() if os.geteuid() == 0 else None
        with Job(folder, task, uid, self._places, self._wall) as job:
            begun = time.monotonic()
            ended, log = job.run(on_line, stop)
            seconds, peak = time.monotonic() - begun, job.peak_bytes
            full = _is_full(job.outputs)
            try:
                limits = task.limits
                collected = collect(
                    job.outputs,
                    folder / "outputs",
                    max_bytes=limits.output_bytes,
                    max_files=limits.output_files,
                )
            except OSError as error:
                raise UnavailableError("the outputs could not be collected", got=error) from error
        if ended.exit_code and full:
            ended = Ended(Ending.output)
        return Outcome(
            ending=ended.ending,
            exit_code=ended.exit_code,
            started_at=started_at,
            finished_at=int(time.time()),
            seconds=seconds,
            peak_bytes=peak,
            log_tail=log.tail,
            outputs=collected.target,
            refused=tuple(collected.refused),
            detail=_detail(ended, task, log, collected),
            exact=_exact(ended, collected),
        )

    def _isolation_promised(self) -> Isolation:
        """What this machine seems to offer; `probe` then tries it."""
        offered = {
            Isolation.OWN_UID: os.geteuid() == 0,
            Isolation.CGROUP_MEMORY: self._places.memory is not None,
            Isolation.CGROUP_PIDS: self._places.pids is not None,
            Isolation.CGROUP_CPU: self._places.cpu is not None,
            Isolation.SCRATCH_IN_MEMORY: self._scratch.in_memory,
        }
        promised = Isolation.NAMESPACES | Isolation.SECCOMP | self._wall.isolation
        for bit, is_there in offered.items():
            promised |= bit if is_there else Isolation(0)
        return promised


def _is_full(outputs: int) -> bool:
    state = os.fstatvfs(outputs)
    return state.f_bavail == 0 or state.f_ffree == 0


def _detail(ended: Ended, task: Task, log: LineReader, collected: Collected) -> str:
    """Fixed words and the task's limits: it may be published, so no number of the algorithm's is in it."""
    limits = task.limits
    sentences = {
        Ending.exited: "ended with an error" if ended.exit_code else "ended by itself",
        Ending.memory: f"used more than {limits.memory_bytes} bytes of memory",
        Ending.processes: f"started more than {limits.processes} processes and threads",
        Ending.wall_time: f"ran longer than {limits.wall_seconds} s",
        Ending.cpu_time: f"used more than {limits.cpu_seconds} s of CPU time",
        Ending.output: f"wrote more than {limits.output_bytes} bytes or {limits.output_files} files",
        Ending.forbidden_call: f"made a forbidden system call: {ended.call}",
        Ending.stopped: "was stopped",
    }
    notes = [sentences[ended.ending]]
    if log.cut:
        notes.append(f"its log was cut at {limits.log_bytes} bytes")
    if collected.refused:
        notes.append("some of its outputs were refused")
    return "; ".join(notes)


def _exact(ended: Ended, collected: Collected) -> str:
    notes = [f"exit code {ended.exit_code}"] if ended.exit_code else []
    if ended.exact_call:
        notes.append(ended.exact_call)
    if collected.refused:
        notes.append(f"{len(collected.refused)} outputs refused")
    return "; ".join(notes)
