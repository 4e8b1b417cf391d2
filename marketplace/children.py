"""Child processes that never outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def die_with_parent(number: int) -> Callable[[], None]:
    """What a child runs before it becomes its program: the kernel sends it signal `number` when we end (Linux).

    However we end, by SIGKILL too. The kernel counts the end of the thread that started the child as our end.
    """
    library, parent = ctypes.CDLL(None), os.getpid()

    def ask_kernel() -> None:
        library.prctl(_SET_DEATH_SIGNAL, number)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
