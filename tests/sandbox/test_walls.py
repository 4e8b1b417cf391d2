"""Real attacks on files, privileges, the supervisor and the node; each runs inside the sandbox."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compute.sandbox import Ending, Sandbox, Task, Wall

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack


def test_only_the_sandboxes_own_folders_are_there(attack: Attack) -> None:
    seen = attack("print(sorted(os.listdir('/'))); print(sorted(os.listdir('/etc')), os.listdir('/opt'))")
    assert seen.lines[0] == str(["data", "dev", "etc", "lib", "lib64", "opt", "proc", "sys", "tmp", "usr"])
    assert seen.lines[1].startswith(str(["group", "passwd"]))


def test_passwords_homes_and_the_checkout_cannot_be_read(attack: Attack, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    wanted = ["/etc/shadow", "/root", "/home", str(Path.home()), str(secret), str(Path(__file__)), "/dev/vda"]
    seen = attack(f"print([path for path in {wanted} if os.path.exists(path)])")
    assert seen.lines == ["[]"]


def test_no_program_of_the_system_is_there(attack: Attack) -> None:
    seen = attack(
        "print([path for path in ('/bin/sh', '/usr/bin/env', '/usr/bin/sudo') if os.path.exists(path)])"
    )
    assert seen.lines == ["[]"]


def test_the_scratch_of_other_jobs_cannot_be_seen(sandbox: Sandbox, attack: Attack) -> None:
    held = []

    def look(_: str) -> None:
        held.append(
            attack(
                """
                for top in ("/data", "/dev", "/tmp", "/etc"):
                    for folder, folders, files in os.walk(top):
                        print(*(f"{folder}/{name}" for name in files if top != "/dev"))
                """
            )
        )

    task = Task(inputs={"other/0": b"secret"}, transformations={"a": b"print(1)"}, entrypoint="a")
    with sandbox.run(task, look):
        pass
    assert held[0].text.split() == [
        "/data/transformations/algorithm",
        "/data/transformations/main.py",
        "/etc/group",
        "/etc/passwd",
    ]


def test_inputs_code_interpreter_and_packages_cannot_be_written(attack: Attack) -> None:
    seen = attack(
        """
        import json
        paths = ["/data/inputs/id/0", "/data/transformations/algorithm", json.__file__, sys.executable,
                 "/opt/packages/threadpoolctl.py", "/etc/passwd", "/opt/worker.py"]
        for path in paths:
            for attempt in (lambda: open(path, "a"), lambda: os.chmod(path, 0o777), lambda: os.unlink(path),
                            lambda: os.rename(path, path + "x"), lambda: open(path + ".new", "w")):
                try:
                    attempt()
                    print("done to", path)
                except OSError:
                    pass
        print(open(paths[0]).read())
        """,
        inputs={"id/0": b"data"},
    )
    assert seen.lines == ["data"]


def test_only_three_folders_can_be_written_and_none_of_them_runs_programs(attack: Attack) -> None:
    seen = attack(
        """
        import shutil, subprocess
        found = []
        for folder, _, _ in os.walk("/"):
            if not folder.startswith("/proc"):
                try:
                    open(folder + "/.x", "w").close()
                    found.append(folder)
                except OSError:
                    pass
        print(sorted(found))
        for folder in found:
            shutil.copy(sys.executable, folder + "/program")
            os.chmod(folder + "/program", 0o755)
            try:
                subprocess.run([folder + "/program", "-V"])
                print("ran in", folder)
            except PermissionError:
                pass
        """
    )
    assert seen.lines == [str(["/data/outputs", "/dev/shm", "/tmp"])]


def test_the_machines_host_name_interfaces_and_processes_are_not_visible(attack: Attack) -> None:
    seen = attack(
        """
        print(os.uname().nodename)
        print([line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line])
        print(sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))
        """
    )
    assert seen.lines == ["sandbox", "['lo']", "[1, 2]"]


def test_nothing_of_the_nodes_environment_gets_in(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_SECRET", "s3cr3t-in-environment")
    seen = attack(
        """
        print(sorted(os.environ))
        for process in ("1", "self"):
            for name in ("environ", "cmdline", "mounts", "auxv"):
                try:
                    print(b"s3cr3t" in open(f"/proc/{process}/{name}", "rb").read())
                except OSError:
                    pass
        """
    )
    assert "STEELYARD_SECRET" not in seen.text
    assert "True" not in seen.text
    assert "'DIDS'" in seen.lines[0]


def test_the_supervisor_cannot_be_read_written_traced_or_killed(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        for name in ("mem", "environ", "maps", "fd/0", "fd/1", "fd/2", "root", "cwd", "exe", "stack"):
            for mode in ("rb", "r+b"):
                try:
                    open(f"/proc/1/{name}", mode)
                    print("opened", name)
                except OSError:
                    pass
        try:
            print("listed", os.listdir("/proc/1/fd"))
        except PermissionError:
            pass
        for number in range(1, 65):
            if number not in (32, 33):
                try:
                    os.kill(1, number)
                except PermissionError:
                    pass
        time.sleep(0.2)
        print("supervisor lives", os.getppid() == 1)
        """
    )
    # gVisor shows the variables (two, of no secret), addresses and numbers of descriptors of any process.
    shown = () if wall is Wall.bubblewrap else ("opened environ", "opened maps", "listed")
    assert [line for line in seen.lines if not line.startswith(shown or "-")] == ["supervisor lives True"]
    assert (seen.ending, seen.outcome.exit_code) == (Ending.exited, 0)


def test_no_descriptor_of_the_runner_is_inherited(attack: Attack, wall: Wall) -> None:
    with tempfile.TemporaryFile() as secret:
        os.set_inheritable(secret.fileno(), True)
        seen = attack(
            "print(sorted(os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in os.listdir('/proc/self/fd')[:3]));"
            "print(len(os.listdir('/proc/self/fd')))"
        )
    pipe = "pipe" if wall is Wall.bubblewrap else "host"
    assert seen.lines == [str(["/dev/null", pipe, pipe]), "4"]  # the fourth is the listing's own


def test_the_job_has_no_privilege_and_cannot_get_one(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print([name for name, value in status.items() if name.startswith("Cap") and int(value, 16)])
        print(_libc.prctl(39, 0, 0, 0, 0), status["Seccomp"].strip(), os.getuid(),
              [group for group in os.getgroups() if group != 65534])  # not ours, and of no use here
        other = 1 if os.getuid() == 0 else 0
        for attempt in (lambda: os.setuid(other), lambda: os.setgroups([0]), lambda: os.setresuid(other, 0, 0),
                        lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0)),
                        lambda: os.chown("/tmp", 5, 5)):
            try:
                attempt()
                print("got it")
            except OSError:
                pass
        open("/tmp/set-uid", "w").close()
        os.chmod("/tmp/set-uid", 0o4777)
        """
    )
    user = 1000 if wall is Wall.bubblewrap else 0  # of gVisor's own kernel, and without any capability
    assert seen.lines == ["[]", f"1 2 {user} []"]
    assert seen.outcome.exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no other uid to give")
def test_each_job_of_root_has_a_uid_of_its_own(
    attack: Attack, processes_below: Callable[[int], set[int]]
) -> None:
    owners: list[set[int]] = []

    def look(_: str) -> None:
        owners.append({Path(f"/proc/{pid}").stat().st_uid for pid in processes_below(os.getpid())} - {0})

    for _ in range(2):
        attack("print(1); time.sleep(0.5)", on_line=look)
    first, second = owners
    assert len(first) == len(second) == 1  # the supervisor is not dumpable, so its entry is root's
    assert first != second
    assert min(first | second) >= 0x3000_0000


def test_there_are_no_terminals_no_disks_and_no_core_dumps(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        import resource
        print(resource.getrlimit(resource.RLIMIT_CORE))
        print([name for name in os.listdir("/dev") if name not in ("shm", "pts", "core", "fd", "mqueue")])
        try:
            os.openpty()
        except OSError:
            print("no terminal")
        """
    )
    devices = {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "ptmx",
        "stdin",
        "stdout",
        "stderr",
        "console",
    }
    assert seen.lines[0] == "(0, 0)"
    if wall is Wall.gvisor:  # its own, none of the machine's
        assert set(eval(seen.lines[1])) <= devices | {"net", "fuse"}
    else:
        assert set(eval(seen.lines[1])) <= devices
        assert seen.lines[2] == "no terminal"


def test_a_crash_leaves_no_dump_and_tells_its_signal(attack: Attack) -> None:
    seen = attack("ctypes.string_at(0)")
    assert (seen.ending, seen.outcome.exit_code) == (Ending.exited, -11)
    assert seen.files == {}


def test_a_failed_exit_code_and_a_traceback_reach_the_caller(attack: Attack) -> None:
    seen = attack("print('before'); raise ValueError('wrong')")
    assert (seen.ending, seen.outcome.exit_code) == (Ending.exited, 1)
    assert seen.lines[0] == "before"
    assert seen.outcome.log_tail.endswith("ValueError: wrong\n")


def test_processes_left_behind_are_gone_when_the_job_is_over(attack: Attack) -> None:
    seen = attack(
        """
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                open("/data/outputs/late", "a").write("x")
                time.sleep(0.001)
        time.sleep(0.1)
        """
    )
    assert (seen.ending, seen.outcome.exit_code) == (Ending.exited, 0)
    assert "late" in seen.files
