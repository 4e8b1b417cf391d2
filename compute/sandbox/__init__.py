"""Runs untrusted algorithms over plaintext data on this machine, and takes out only what it may.

    with Sandbox() as sandbox, sandbox.run(task, on_line=print) as outcome:
        print(outcome.ending, sorted(outcome.outputs.iterdir()))

bubblewrap gives each job namespaces of its own, a seccomp filter its system calls, cgroups or resource limits
its share of the machine, sized file systems its room. Each covered line has an attack in tests/sandbox.

Covered
- network: no interface but its own loopback; sockets of every family but AF_UNIX are forbidden calls
- files: sees its inputs, its own code, interpreter, packages and system libraries, all read-only; nothing of
  the node's home, of other jobs, of /etc; writes only to /tmp, /dev/shm, /data/outputs, which run no programs
- privileges: uid of its own (as root), no capabilities, no set-uid, no new namespaces, no devices, no
  terminals, no ptrace, bpf, io_uring, perf, keys, clocks, modules, other architectures' system calls
- forbidden calls: stopped before they do anything, named, and the end of the job, also in children that the
  algorithm hides, since the kernel tells the supervisor and not the parent
- the supervisor and the node: their memory, environment and descriptors; signals; core dumps
- memory, CPU time, wall time, processes, size and number of outputs, length of the log
- outputs: regular files only, by descriptor; links, FIFOs, devices, sparse giants and odd names are refused
- a runner that is killed takes its jobs with it; what it left behind goes at the next start

Not covered
- copying the input into the outputs or the log: no sandbox can tell; that is for the rules of release
- flaws of the kernel itself; side channels: timing, caches, load, what /proc tells of processor and memory
- paths of this machine (not contents): /proc/self/mountinfo names where things are bound from
- what lines of the log mean: the sandbox hands them on; the node reads `::progress` and `::error` in them
  (compute/provider/lines.py)
- fairness: CPU shares and disk bandwidth are the kernel's ordinary ones; only totals are bounded
- a forbidden call that is made in the instant in which its process is killed or ends is stopped all the
  same, but may go unnamed
- without cgroups (see Isolation): memory and CPU time are polled every 50 ms, so a burst may pass the limit
  shortly (each process's own heap is still bounded at once); CPU time of children that ended unseen (SIGCHLD
  ignored) is not added up; kernel memory of pipes and sockets is not counted; too many processes are
  refused, not punished
"""

from compute.sandbox.cgroup import most_memory
from compute.sandbox.environment import environment_digest, environment_list
from compute.sandbox.sandbox import Sandbox
from compute.sandbox.task import Ending, Isolation, Limits, Outcome, Source, Task

__all__ = [
    "Ending",
    "Isolation",
    "Limits",
    "Outcome",
    "Sandbox",
    "Source",
    "Task",
    "environment_digest",
    "environment_list",
    "most_memory",
]
