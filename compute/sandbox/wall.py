"""The port behind which walls stand: what bubblewrap.py and gvisor.py each say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from compute.sandbox.task import Isolation


@dataclass(frozen=True)
class Ends:
    """Numbers of descriptors on the sandbox's side.

    log: what the algorithm prints. report: the supervisor's one line. information: one JSON object with
    `child-pid`, the process whose end is the end of all. plan: the supervisor's plan, to be read.
    """

    log: int
    report: int
    information: int
    plan: int


class Built(Protocol):
    """One wall.

    isolation: the bits that it adds. spare_processes, spare_bytes: what it needs beside the job, in the
    job's cgroups. traced: forbidden calls are told to a tracer, for want of the kernel's notification.
    """

    @property
    def isolation(self) -> Isolation: ...
    @property
    def spare_processes(self) -> int: ...
    @property
    def spare_bytes(self) -> int: ...
    @property
    def traced(self) -> bool: ...

    def inside(self, ends: Ends) -> Ends:
        """The numbers under which the supervisor finds its ends."""
        ...

    def launcher_plan(self, ends: Ends) -> dict[str, object]:
        """The launcher's `command`, `tools`, `descriptors`, `bundle` and `information`: see launcher.py."""
        ...
