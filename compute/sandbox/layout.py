"""What an algorithm sees: which files of the machine, where, and which variables. Pure but for looking.

/opt/python    the node's own interpreter (its base installation, never the node's environment folder)
/opt/packages  the packages of the environment that the algorithm wants, nothing else that the node imports
/usr/lib...    the system's shared libraries; no programs, no shell
/data/inputs, /data/ddos, /data/transformations  read-only, Ocean's layout
/data/outputs, /tmp, /dev/shm  writable, on tmpfs of bounded size and number of files, not executable
/etc           passwd and group with one user, nothing else
"""

from __future__ import annotations

import json
import os
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compute.sandbox.task import Source, Task

PYTHON = "/opt/python"
PACKAGES = "/opt/packages"
WORKER = "/opt/worker.py"
USER = 1000  # as the job sees itself, whatever its uid outside
WRITABLE = {"/data/outputs": "outputs", "/tmp": "tmp", "/dev/shm": "shm"}  # noqa: S108
"""Path inside -> name of the file system that the launcher makes for it."""

_PASSWD = f"algorithm:x:{USER}:{USER}:algorithm:/tmp:/bin/false\n".encode()
_GROUP = f"algorithm:x:{USER}:\n".encode()


@dataclass
class Stage:
    """Gathers what the launcher puts together below ROOT: the job's whole root folder, all of it read-only.

    folder: the job's own, in scratch; bytes are written there first.
    as_root: the job gets another uid than ours, which must be able to read everything here.
    sources: (path of the machine, path inside, whether to copy). folders, covers: paths inside, of empty
    folders, the latter over something. links: (path inside, what it says).
    """

    folder: Path
    as_root: bool
    sources: list[tuple[str, str, bool]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    def show(self, source: Source, target: str) -> None:
        """Show a file or folder of the machine, or bytes, read-only at `target` inside."""
        path = self._write(source) if isinstance(source, bytes) else source.resolve()
        mode = path.stat().st_mode
        copy = self.as_root and stat.S_ISREG(mode) and not mode & stat.S_IROTH
        self.sources.append((str(path), target, copy))

    def _write(self, content: bytes) -> Path:
        path = self.folder / f"file-{len(self.sources)}"
        path.write_bytes(content)
        path.chmod(0o444)
        return path


def show_system(stage: Stage) -> None:
    """The interpreter, shared libraries, and the few files that programs look for."""
    stage.folders += ["/proc", "/dev/shm"]  # noqa: S108
    for library in _library_folders():
        stage.show(library, str(library))
    for link in ("/lib", "/lib64"):
        if Path(link).is_symlink():
            stage.links.append((link, str(Path(link).readlink()).lstrip("/")))
    _show_python(stage)
    stage.show(Path(__file__).with_name("worker.py"), WORKER)
    stage.show(_PASSWD, "/etc/passwd")
    stage.show(_GROUP, "/etc/group")
    cores = f"0-{(os.cpu_count() or 1) - 1}\n".encode()
    for name in ("possible", "present", "online"):  # torch and OpenBLAS count cores here
        stage.show(cores, f"/sys/devices/system/cpu/{name}")


def show_task(stage: Stage, task: Task) -> None:
    """The job's own files and packages, and where its writable folders come."""
    stage.folders += ["/data/inputs", "/data/ddos", "/data/transformations", "/data/outputs", "/tmp"]  # noqa: S108
    if task.packages is not None:
        stage.show(task.packages, PACKAGES)
    for name, source in sorted(task.inputs.items()):
        stage.show(source, f"/data/inputs/{name}")
    for name, source in sorted(task.ddos.items()):
        stage.show(source, f"/data/ddos/{name}")
    for name, source in sorted(task.transformations.items()):
        if name != "algorithm":
            stage.show(source, f"/data/transformations/{name}")
    stage.show(task.transformations[task.entrypoint], "/data/transformations/algorithm")


def interpreter_command() -> list[str]:
    """The interpreter inside, before its arguments."""
    return [f"{PYTHON}/bin/{_executable().name}"]


def worker_environment() -> dict[str, str]:
    """What the supervisor's interpreter needs: an interpreter bound elsewhere finds its library so."""
    return {"LD_LIBRARY_PATH": f"{PYTHON}/lib"}


def algorithm_environment(task: Task) -> dict[str, str]:
    """All variables of the algorithm: nothing comes from the node's own environment."""
    threads = str(len(os.sched_getaffinity(0)))
    folders = sorted({name.partition("/")[0] for name in task.inputs if "/" in name})
    return {
        **worker_environment(),
        "PATH": f"{PYTHON}/bin",
        "HOME": "/tmp",  # noqa: S108
        "TMPDIR": "/tmp",  # noqa: S108
        "USER": "algorithm",
        "LANG": "C.UTF-8",
        "PYTHONPATH": PACKAGES,
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "DIDS": json.dumps(folders),
        "TRANSFORMATION_DID": "algorithm",
        **task.environment,
    }


def _executable() -> Path:
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def _show_python(stage: Stage) -> None:
    """The base installation at /opt/python: Python finds its standard library beside its executable."""
    stage.show(_executable(), interpreter_command()[0])
    base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = f"{PYTHON}/{sys.platlibdir}/{version}"
    if base == Path("/usr"):  # the system's own: its libraries are shown already
        stage.show(Path(sysconfig.get_path("stdlib")), library)
        return
    stage.show(base / "lib", f"{PYTHON}/lib")
    if (base / "lib" / version / "site-packages").is_dir():  # another environment's packages
        stage.covers.append(f"{PYTHON}/lib/{version}/site-packages")


def _library_folders() -> Iterator[Path]:
    multiarch = sysconfig.get_config_var("MULTIARCH")
    parents = [Path("/usr"), *(parent for parent in [Path("/")] if not Path("/lib").is_symlink())]
    for parent in parents:
        narrow = parent / "lib" / str(multiarch)
        yield from (narrow,) if multiarch and narrow.is_dir() else (parent / "lib",)
        if (parent / "lib64").is_dir():
            yield parent / "lib64"
