"""What the node's process holds in memory: none of a job's plaintext or keys once the job is over, and no core dumps.

Python leaves what it frees as it is, until the place is needed again. So the node starts itself once more with its
allocator set to overwrite each piece that it frees (glibc: M_PERTURB, mallopt(3), without the cache per thread, which
is not overwritten), and with all of Python's objects in that allocator (PYTHONMALLOC).

Not covered: what the node needs as long as it runs, its two keys; swap, which this machine should not have, or have
encrypted; memory of the kernel.
"""

from __future__ import annotations

import ctypes
import os
import sys

_WIPING = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=90:glibc.malloc.tcache_count=0",
}
_PR_SET_DUMPABLE = 4


def guard() -> None:
    """Before `steelyard node run` imports the rest."""
    _restart_wiping()
    keep_private()


def _restart_wiping() -> None:
    """Does not return the first time: this process becomes the same command, with memory overwritten as it is freed."""
    if any(os.environ.get(name) != value for name, value in _WIPING.items()):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **_WIPING})  # noqa: S606 - itself


def keep_private() -> None:
    """From now on no process of the same user can read this one's memory, and a crash leaves none of it on the disk."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
