"""The probe on machines that lack something: made so for one process, then asked for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compute.sandbox import Isolation, Sandbox, Wall
from marketplace.errors import RefusedError

PROBE = """
import ctypes, os, tempfile
from pathlib import Path
from compute.sandbox import Sandbox
from marketplace.errors import RefusedError
libc = ctypes.CDLL(None, use_errno=True)
{lack}
with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, Sandbox(Path(folder) / "scratch") as sandbox:
    try:
        print("reached", sandbox.probe())
    except RefusedError as error:
        print("refused:", error)
"""

NO_NAMESPACES = """
uid, gid = os.geteuid(), os.getegid()
assert libc.unshare(0x10000000) == 0
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
    Path("/proc/self", name).write_text(text)
Path("/proc/sys/user/max_user_namespaces").write_text("0")
"""

# A listener above it, as some container engines keep one: the kernel allows only one in a row.
NO_NOTIFICATION = """
import struct
program = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(program)
fprog = struct.pack("@HP", 1, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.syscall(317, 1, 8, fprog) > 0
"""


def probe_without(lack: str) -> str:
    code = PROBE.format(lack=lack)
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:  # root of a machine is not stopped by these
        command = [sys.executable, str(Path(__file__).with_name("as_ordinary_user.py")), "61234", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_machine_without_user_namespaces_is_refused() -> None:
    answer = probe_without(NO_NAMESPACES)
    assert answer.startswith("refused: no sandbox")
    assert "unshare" in answer or "namespace" in answer


def test_a_machine_without_notice_of_calls_is_refused() -> None:
    answer = probe_without(NO_NOTIFICATION)
    assert answer.startswith("refused: no sandbox")
    assert "seccomp" in answer


def test_a_machine_without_gvisor_is_refused_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Sandbox(wall=Wall.gvisor) as sandbox, pytest.raises(RefusedError, match="gVisor is missing"):
        sandbox.probe()


def test_what_is_reached_fits_eight_bits_and_has_the_walls_that_are_always_there(
    sandbox: Sandbox, wall: Wall
) -> None:
    reached = sandbox.probe()
    assert 0 < int(reached) <= 255
    assert Isolation.NAMESPACES | Isolation.SECCOMP in reached
    assert (Isolation.GVISOR in reached) == (wall is Wall.gvisor)
    assert (Isolation.OWN_UID in reached) == (os.geteuid() == 0)


def test_the_probe_is_made_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = sandbox.probe()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert sandbox.probe() is reached
