"""Blocks that are stored while the next ones are made: whoever seals a file waits for no disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from marketplace.core.cid import Cid
from marketplace.core.unixfs import Put

_THREADS = 4
_WAITING = 16


@contextmanager
def ahead(put: Put) -> Iterator[Put]:
    """`put` by a few threads, in no order; all is stored when the block ends.

    Holds at most 16 blocks. What `put` raises is raised by a later call or at the end; nothing counts as stored then.
    """
    waiting: deque[Future[None]] = deque()

    def later(cid: Cid, block: bytes) -> None:
        if len(waiting) == _WAITING:
            waiting.popleft().result()
        waiting.append(pool.submit(put, cid, block))

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="store") as pool:
        try:
            yield later
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
