"""Runs untrusted algorithms over plaintext data on this machine, and takes out only what it may.

    with Sandbox() as sandbox, sandbox.run(task, on_line=print) as outcome:
        print(outcome.ending, sorted(outcome.outputs.iterdir()))

Two walls behind one interface: bubblewrap (the default) gives each job namespaces of its own on this machine's
kernel; `Sandbox(wall=Wall.gvisor)` puts gVisor, a kernel in user space, between the two. In front of both stand
a filter of system calls, cgroups or resource limits, sized file systems. Each covered line has attacks in
tests/sandbox, made on both walls; on bubblewrap all, on gVisor the main ones, in four settings: started by
root and by an ordinary user, with cgroups and without.

Covered
- network: no interface but its own loopback; sockets of every family but AF_UNIX are forbidden calls; abstract
  sockets of the machine cannot be reached
- files: sees its inputs, its own code, interpreter, packages and system libraries, all read-only; nothing of
  the node's home, of other jobs, of /etc; writes only to /tmp, /dev/shm, /data/outputs, which run no programs
  and load no libraries, and are empty for the next job; /proc and /sys are read-only
- privileges: uid of its own (as root), no capabilities, no set-uid, no new namespaces, no devices, no
  terminals, no ptrace, bpf, io_uring, perf, keys, clocks, modules, other architectures' system calls
- forbidden calls: stopped before they do anything, named, and the end of the job, also in children that the
  algorithm hides, since the kernel tells the supervisor and not the parent
- the supervisor and the node: their memory, environment and descriptors; signals; core dumps; how a job ended
  cannot be forged; limits cannot be raised
- memory (private, shared, in files), CPU time, wall time (also of a job that stops itself), processes and
  threads, size and number of outputs with their names and attributes, length of the log, escapes in it
- outputs: regular files only, by descriptor; links, FIFOs, devices, sparse giants and odd names are refused
- words about the end: `Outcome.detail` is fixed words and the task's own limits; exit codes, numbers of calls, their
  arguments and counts, which an algorithm can choose, stand in `Outcome.exact` and `exit_code` alone
- what a job leaves behind: daemons, swarms, timers end with it; a runner that is killed takes its jobs with it;
  what it left behind goes at the next start

Not covered
- copying the input into the outputs or the log: no sandbox can tell; that is for the rules of release
- which way a job ends, by which forbidden call, and when: an algorithm chooses, and whispers a few bits so
- flaws of the kernel itself (of gVisor and, behind it, of what gVisor asks of the kernel); side channels:
  timing, caches, load, what /proc tells of processor and memory
- paths of this machine (not contents): /proc/self/mountinfo names where things are bound from
- what lines of the log mean: the sandbox hands them on; the node reads `::progress` and `::error` in them
  (compute/provider/lines.py)
- fairness: CPU shares and disk bandwidth are the kernel's ordinary ones; only totals are bounded; an ordinary
  user's job shares that user's own totals (pending signals, inotify) with the node
- a forbidden call that is made in the instant in which its process is killed or ends is stopped all the
  same, but may go unnamed
- without cgroups (see Isolation): memory and CPU time are polled every 50 ms, so a burst may pass the limit
  shortly (on bubblewrap each process's own heap is still bounded at once); CPU time of children that ended
  unseen (SIGCHLD ignored) is not added up; kernel memory of pipes and sockets is not counted; on bubblewrap too
  many processes are refused, not punished
- gVisor alone: the algorithm is uid 0 of gVisor's kernel (with no capability); it can see the supervisor's
  variables (one, of no secret), address map and numbers of descriptors; 32-bit calls are taken for the 64-bit
  ones of the same number, by the filter too; /dev/stdout cannot be opened by its path; FIFOs and sockets in
  the outputs are not refused but never get there; 192 MiB of memory beside the job's own are gVisor's
"""

from compute.sandbox.cgroup import most_memory
from compute.sandbox.sandbox import Sandbox
from compute.sandbox.task import Ending, Isolation, Limits, Outcome, Source, Task, Wall

__all__ = [
    "Ending",
    "Isolation",
    "Limits",
    "Outcome",
    "Sandbox",
    "Source",
    "Task",
    "Wall",
    "most_memory",
]
