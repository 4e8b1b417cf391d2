"""What each system call of x86-64 Linux gets inside the sandbox: allowed, forbidden, or "not here".

Three answers:

- ALLOWED: what Python, numpy, torch, pandas, matplotlib and their threads and child processes use.
- FORBIDDEN: nothing an algorithm needs; the attempt is stopped, named, and ends the job.
- everything else, also calls younger than this table: the caller gets ENOSYS, "not implemented", and
  goes on (glibc falls back from clone3 to clone, for example).

Numbers are the kernel's own (arch/x86/entry/syscalls/syscall_64.tbl), which never change.
"""

from __future__ import annotations

# In order of their numbers: 0 to 334, then 424 to 469.
_FIRST = """
read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask
rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise
shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept
sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt
clone fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl
flock fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink
symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo times ptrace
getuid syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups
setgroups setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset
rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack utime mknod uselib personality ustat
statfs fstatfs sysfs getpriority setpriority sched_setparam sched_getparam sched_setscheduler
sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock mlockall
munlockall vhangup modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot sync acct
settimeofday mount umount2 swapon swapoff reboot sethostname setdomainname iopl ioperm create_module
init_module delete_module get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall
security gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
flistxattr removexattr lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity
set_thread_area io_setup io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie
epoll_create epoll_ctl_old epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall
semtimedop fadvise64 timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime
clock_gettime clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind
set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load
waitid add_key request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
migrate_pages openat mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat
readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice tee
sync_file_range vmsplice move_pages utimensat epoll_pwait signalfd timerfd_create eventfd fallocate
timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv
pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64 name_to_handle_at
open_by_handle_at clock_adjtime syncfs sendmmsg setns getcpu process_vm_readv process_vm_writev kcmp
finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create kexec_file_load bpf execveat
userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx
io_pgetevents rseq
"""
_SECOND = """
pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount
fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr
quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease
futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue
statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat
listxattrat removexattrat open_tree_attr file_getattr file_setattr
"""

NUMBERS: dict[str, int] = {name: number for number, name in enumerate(_FIRST.split())} | {
    name: number for number, name in enumerate(_SECOND.split(), start=424)
}
NAMES: dict[int, str] = {number: name for name, number in NUMBERS.items()}

# Each of these ends the job. Those that some program makes in good faith with harmless arguments (clone,
# socket, ioctl, prctl) are looked at by argument: see seccomp.py.
_FORBIDDEN_CALLS = """
ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp mount umount2 pivot_root chroot open_tree
open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr open_by_handle_at fanotify_init
fanotify_mark unshare setns seccomp bpf perf_event_open userfaultfd io_uring_setup io_uring_enter
io_uring_register add_key request_key keyctl init_module finit_module delete_module create_module
kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd nfsservctl syslog vhangup iopl
ioperm settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname
"""

# Neither allowed nor punished, on purpose: System V and POSIX message objects (memory outside the job's
# count), memfd (programs that are on no disk), kernel memory policies, handles of files, what reaches other
# file systems than the job's own, old or rare calls.
_NOT_HERE_CALLS = """
clone3 shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open
mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr memfd_create memfd_secret modify_ldt uselib
ustat sysfs _sysctl personality get_kernel_syms query_module getpmsg putpmsg afs_syscall tuxcall security
vserver set_thread_area get_thread_area lookup_dcookie epoll_ctl_old epoll_wait_old remap_file_pages mbind
set_mempolicy get_mempolicy migrate_pages move_pages set_mempolicy_home_node io_setup io_destroy
io_getevents io_submit io_cancel io_pgetevents sync splice tee vmsplice name_to_handle_at process_madvise
process_mrelease map_shadow_stack landlock_create_ruleset landlock_add_rule landlock_restrict_self
statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules cachestat setxattrat getxattrat
listxattrat removexattrat file_getattr file_setattr
"""

FORBIDDEN = frozenset(_FORBIDDEN_CALLS.split())
_NOT_HERE = frozenset(_NOT_HERE_CALLS.split())
BY_ARGUMENT = frozenset({"clone", "socket", "socketpair", "ioctl", "prctl"})
ALLOWED = frozenset(NUMBERS) - FORBIDDEN - _NOT_HERE - BY_ARGUMENT
