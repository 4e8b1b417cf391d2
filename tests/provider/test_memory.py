"""The node's process among others of its user."""

from __future__ import annotations

import subprocess
import sys

# The kernel asks the same of who reads a process's memory; only there a machine may forbid more (Yama).
# Both as an ordinary user, which root first becomes: to root nothing is forbidden.
HOLDS = """
import ctypes, os, sys
from compute.provider.memory import keep_private
if os.geteuid() == 0:
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # which the change of the user had taken away
if sys.argv[1] == "private":
    keep_private()
print("up", flush=True)
sys.stdin.read()
"""
READS = """
import os, sys
if os.geteuid() == 0:
    os.setuid(65534)
try:
    open(f"/proc/{sys.argv[1]}/environ", "rb").read()
    print("open")
except PermissionError:
    print("closed")
"""


def seen_by_another(kind: str) -> str:
    """What another process of the same user finds one of that kind to be."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "up\n"
        read = [sys.executable, "-c", READS, str(holder.pid)]
        return subprocess.run(read, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_a_private_process_has_memory_that_no_other_of_its_user_opens() -> None:
    assert seen_by_another("ordinary") == "open"
    assert seen_by_another("private") == "closed"
