"""The program between the runner and bubblewrap; run as a script, imports nothing of Steelyard.

It gathers everything the job may see on one tmpfs inside a mount namespace of its own, so that no mount is
ever visible to the machine or left behind; makes the size-limited file systems and hands the runner a
descriptor of the outputs; enters the job's cgroups; becomes the job's uid; and turns into bubblewrap.

Argument: the number of a descriptor with a marshalled dict:
  uid: the job's own (as root), or None (as an ordinary user: a user namespace first); parent: the runner
  sources: [(host path, name below STAGE, copy: bool)], filesystems: [(name, bytes, inodes)]
  procs: files that a pid is written to, to enter a cgroup; outputs: (name, socket number); command: argv
Any failure ends it with a message on stderr and exit code 1 before anything untrusted has run.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import shutil
import signal
import socket
import stat
import sys

STAGE = "/tmp"  # exists everywhere; covered only inside this process's own mount namespace  # noqa: S108

_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1

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


def _gather(sources: list[tuple[str, str, bool]]) -> None:
    """Bind each source below STAGE. Sources are opened first: some may lie where STAGE will cover them."""
    opened = [(os.open(path, os.O_PATH | os.O_CLOEXEC), name, copy) for path, name, copy in sources]
    _mount("steelyard", STAGE, "tmpfs", _NOSUID | _NODEV, "mode=0755")
    for descriptor, name, copy in opened:
        target = f"{STAGE}/{name}"
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.mkdir(target)  # noqa: PTH102
        elif copy:
            shutil.copyfile(f"/proc/self/fd/{descriptor}", target)
            os.chmod(target, 0o444)  # noqa: PTH101
            continue
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
        _mount(f"/proc/self/fd/{descriptor}", target, "", _BIND | _REC)


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
    # After the change of uid, which clears it. bubblewrap asks for the same later.
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        raise OSError("the runner has died meanwhile")


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan = marshal.load(file)  # noqa: S302 - written by the runner, our own parent
    uid = plan["uid"]
    os.umask(0o022)
    _own_namespaces(as_root=uid is not None)
    _gather(plan["sources"])
    _make_filesystems(plan["filesystems"], os.geteuid() if uid is None else uid)
    _hand_over(*plan["outputs"])
    for procs in plan["procs"]:
        with open(procs, "w") as file:  # noqa: PTH123
            file.write("0")
    _become(uid, plan["parent"])
    os.chdir(STAGE)
    os.execv(plan["command"][0], plan["command"])  # noqa: S606


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"launcher: {error}")
