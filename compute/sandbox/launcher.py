"""The program between the runner and the wall; run as a script, imports nothing of Steelyard.

It puts everything the job may see together as one read-only root, on a tmpfs inside a mount namespace of its
own, so that no mount is ever visible to the machine or left behind; makes the size-limited file systems and
hands the runner a descriptor of the outputs; enters the job's cgroups; becomes the job's uid; and turns into
bubblewrap or runsc.

Argument: the number of a descriptor with a marshalled dict:
  uid: the job's own (as root), or None (as an ordinary user: a user namespace first); parent: the runner
  sources: [(host path, path inside, copy: bool)]; folders, covers: [path inside]; links: [(path inside, text)]
  tools: [(host path, path below STAGE)]: programs that the wall is made of, beside ROOT
  filesystems: [(name, bytes, inodes)]; procs: files that a pid is written to, to enter a cgroup
  outputs: (name, socket number); command: argv
  bundle: None, or the bytes of an OCI bundle's config.json
  descriptors: None, or the numbers that are to be 0, 1, 2... of the command, and nothing else
  information: None, or a descriptor: the command gets namespaces of processes and network (runsc listens on
  a socket), and its pid is written there
Any failure ends it with a message on stderr and exit code 1 before anything untrusted has run.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import marshal
import os
import shutil
import signal
import socket
import stat
import struct
import sys
from typing import Any

STAGE = "/tmp"  # exists everywhere; covered only inside this process's own mount namespace  # noqa: S108
ROOT = f"{STAGE}/root"
BUNDLE = f"{STAGE}/bundle"

_NEW_MOUNTS, _NEW_USERS, _NEW_PROCESSES, _NEW_NETWORK = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    call = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode())
    _check(call, f"mount {kind or source} on {target}")


def _own_namespaces(*, as_root: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(_NEW_MOUNTS | (0 if as_root else _NEW_USERS)), "unshare")
    if not as_root:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - one import less at each start
                file.write(text)
    _mount("none", "/", "", _REC | _PRIVATE)


def _gather(plan: dict[str, Any]) -> None:
    """Build ROOT. Sources are opened first: some may lie where STAGE will cover them."""
    opened = [
        (os.open(path, os.O_PATH | os.O_CLOEXEC), ROOT + inside, copy)
        for path, inside, copy in plan["sources"]
    ]
    opened += [(os.open(path, os.O_PATH | os.O_CLOEXEC), target, False) for path, target in plan["tools"]]
    # Without nosuid and nodev, which would be locked, and runsc could not remount it; either wall adds its own.
    _mount("steelyard", STAGE, "tmpfs", 0, "mode=0755")
    for inside in plan["folders"]:
        os.makedirs(ROOT + inside)  # noqa: PTH103
    for link, text in plan["links"]:
        os.symlink(text, ROOT + link)  # noqa: PTH211
    for descriptor, target, copy in opened:
        _place(descriptor, target, copy=copy)
    for inside in plan["covers"]:
        _mount("steelyard", ROOT + inside, "tmpfs", _NOSUID | _NODEV, "mode=0755")
    _make_read_only()


def _place(descriptor: int, target: str, *, copy: bool) -> None:
    source = f"/proc/self/fd/{descriptor}"
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    if copy:
        shutil.copyfile(source, target)
        os.chmod(target, 0o444)  # noqa: PTH101
        return
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.mkdir(target)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
    _mount(source, target, "", _BIND | _REC)


def _make_read_only() -> None:
    """Every mount below ROOT, and ROOT itself, which becomes a mount for that."""
    _mount(ROOT, ROOT, "", _BIND | _REC)
    attributes = struct.pack("=4Q", _ATTR_RDONLY, 0, 0, 0)
    path = ROOT.encode()
    call = _libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, attributes, len(attributes))
    _check(call, "make the root read-only")


def _make_filesystems(filesystems: list[tuple[str, int, int]], uid: int) -> None:
    for name, size, inodes in filesystems:
        target = f"{STAGE}/{name}"
        os.mkdir(target)  # noqa: PTH102
        options = f"size={size},nr_inodes={inodes},mode=0700,uid={uid},gid={uid}"
        _mount("steelyard", target, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)


def _hand_over(name: str, number: int) -> None:
    """Send the runner a descriptor of folder `name`: it outlives this namespace, and needs no path."""
    folder = os.open(f"{STAGE}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(fileno=number) as channel:
        socket.send_fds(channel, [b"outputs"], [folder])
    os.close(folder)


def _become(uid: int | None, parent: int) -> None:
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _die_with_parent()  # after the change of uid, which clears it; bubblewrap asks for the same later
    if os.getppid() not in (parent, 0):  # 0: the parent is the launcher's first half, outside
        raise OSError("the runner has died meanwhile")


def _write_bundle(config: bytes, uid: int) -> None:
    os.mkdir(BUNDLE, 0o700)  # noqa: PTH102
    with open(f"{BUNDLE}/config.json", "wb") as file:  # noqa: PTH123
        file.write(config)
    os.chmod(f"{BUNDLE}/config.json", 0o444)  # noqa: PTH101
    os.chown(BUNDLE, uid, uid)


def _fork_into_own_processes(information: int) -> None:
    """Go on as process 1 of a new namespace, so that its end is the end of all; the parent only waits."""
    _check(_libc.unshare(_NEW_PROCESSES | _NEW_NETWORK), "unshare processes and network")
    alive, held = os.pipe()
    child = os.fork()
    if child:
        os.close(alive)
        os.write(information, json.dumps({"child-pid": child}).encode())
        os.closerange(3, held)
        os.closerange(held + 1, 4096)
        _die_with_parent()
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
    os.close(held)
    _die_with_parent()
    os.set_blocking(alive, False)
    try:
        ended = os.read(alive, 1) == b""
    except BlockingIOError:
        ended = False
    if ended:
        raise OSError("the launcher has died meanwhile")
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def _die_with_parent() -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def _rearrange(numbers: list[int]) -> None:
    """Make these descriptors 0, 1, 2... and close all others."""
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, 512) for number in numbers]
    for target, number in enumerate(high):
        os.dup2(number, target)
    os.closerange(len(numbers), 4096)


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan = marshal.load(file)  # noqa: S302 - written by the runner, our own parent
    uid = plan["uid"]
    os.umask(0o022)
    _own_namespaces(as_root=uid is not None)
    owner = os.geteuid() if uid is None else uid
    _gather(plan)
    _make_filesystems(plan["filesystems"], owner)
    if plan["bundle"] is not None:
        _write_bundle(plan["bundle"], owner)
    _hand_over(*plan["outputs"])
    for procs in plan["procs"]:
        with open(procs, "w") as file:  # noqa: PTH123
            file.write("0")
    with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("800")  # rather the job than the node, where the machine itself runs out of memory
    if plan["information"] is not None:
        _fork_into_own_processes(plan["information"])
    _become(uid, plan["parent"])
    os.chdir(STAGE)
    if plan["descriptors"] is not None:
        _rearrange(plan["descriptors"])
    os.execv(plan["command"][0], plan["command"])  # noqa: S606


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"launcher: {error}")
