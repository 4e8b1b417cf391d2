"""The second wall: gVisor's runsc, a kernel in user space, and the OCI bundle that it is started with.

It needs neither Docker nor root: the launcher has put the root folder together, entered the cgroups and
become the job's uid; runsc then works "rootless", on its ptrace platform. Its kernel has no seccomp
notification and does not shield process 1 from signals, so the supervisor traces the algorithm (worker.py)
and has another uid inside: the algorithm is uid 0 there, the only one that files outside are mapped to,
without one capability and with none to be had by an exec.

Source: gvisor.dev/docs; OCI runtime-spec 1.0, config.md.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

from compute.sandbox.launcher import BUNDLE, ROOT, STAGE
from compute.sandbox.layout import USER, WORKER, WRITABLE, interpreter_command, worker_environment
from compute.sandbox.task import MIB, Isolation
from compute.sandbox.wall import Ends
from marketplace.errors import RefusedError

_ERRORS = 2  # the launcher's own
_SUPERVISORS = ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_PTRACE"]


@dataclass(frozen=True)
class Gvisor:
    """A user-space kernel answers the job's calls; the machine's kernel sees only what that one asks for."""

    isolation = Isolation.GVISOR
    spare_processes = 1024  # its own threads, and several of the machine's for each of the job's
    spare_bytes = 192 * MIB  # itself, and the file server beside it
    traced = True

    def inside(self, ends: Ends) -> Ends:
        """runsc hands on three descriptors only: 0, 1, 2."""
        return Ends(plan=0, log=1, report=2, information=-1)

    def launcher_plan(self, ends: Ends) -> dict[str, object]:
        """runsc, with everything that it starts, in a process namespace of its own."""
        return {
            "command": command(),
            "tools": [],
            "descriptors": [ends.plan, ends.log, ends.report, _ERRORS],
            "bundle": json.dumps(bundle()).encode(),
            "information": ends.information,
        }


def program() -> str:
    """Where runsc is. Raises RefusedError where there is none."""
    found = shutil.which("runsc")
    if found is None:
        raise RefusedError(
            "no sandbox: gVisor is missing",
            expected="the program runsc on PATH",
            do="Install it (Debian: apt-get install runsc), or choose the wall bubblewrap.",
        )
    return found


def command() -> list[str]:
    """The whole argv. Its errors go to descriptor 3, since 2 is the supervisor's report."""
    return [
        *(program(), "--rootless", "--platform=ptrace", "--network=none", "--ignore-cgroups"),
        *("--root", f"{BUNDLE}/state", "--log-fd=3", "run", "--bundle", BUNDLE, "job"),
    ]


def bundle() -> dict[str, object]:
    """The OCI configuration: the staged root, the writable folders, the supervisor as process 1."""
    writable = [
        {
            "destination": path,
            "type": "bind",
            "source": f"{STAGE}/{name}",
            "options": ["rw", "bind", "noexec", "nosuid", "nodev"],
        }
        for path, name in WRITABLE.items()
    ]
    return {
        "ociVersion": "1.0.0",
        "hostname": "sandbox",
        "root": {"path": ROOT, "readonly": True},
        "process": {
            "user": {"uid": USER, "gid": USER},
            "args": [*interpreter_command(), "-I", "-S", WORKER, "0"],
            "env": [f"{name}={value}" for name, value in worker_environment().items()],
            "cwd": "/",
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 4096}],
            "capabilities": {"effective": _SUPERVISORS, "permitted": _SUPERVISORS},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["ro"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["noexec", "nosuid"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid"]},
            *writable,
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }
