"""Runs a command as an ordinary user, from root: `python as_ordinary_user.py UID COMMAND...`

Interpreter, environment and checkout may lie below a folder that only root may enter (as /root). In a mount
namespace of its own such a folder is replaced by one that everybody may enter and that holds only those.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    if _libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {target}: {os.strerror(ctypes.get_errno())}")


def closed_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter."""
    return next(
        (folder for folder in [*reversed(path.parents), path] if not folder.stat().st_mode & 0o001), None
    )


def main(uid: int, command: list[str]) -> None:
    if _libc.unshare(0x00020000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", Path("/"), "", 0x4000 | 0x40000)
    wanted = [
        Path(sys.base_prefix).resolve(),
        Path(sys.prefix).resolve(),
        Path(__file__).resolve().parents[2],
    ]
    hidden = [(path, closed, os.open(path, os.O_PATH)) for path in wanted if (closed := closed_folder(path))]
    covered: set[Path] = set()
    for path, closed, descriptor in hidden:
        if closed not in covered:
            covered.add(closed)
            mount("none", closed, "tmpfs", 0, "mode=0755")
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", path, "", 0x1000 | 0x4000)
    os.chdir(wanted[2])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
