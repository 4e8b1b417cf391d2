"""Tells a hub how far a job is: signed, best effort, never in the way of the job."""

from __future__ import annotations

import contextlib
import queue
import threading
import time

import httpx
from eth_account.signers.local import LocalAccount

from marketplace.core.eip712 import Domain
from marketplace.core.job import Progress
from marketplace.keys import sign_digest

_SECONDS_BETWEEN = 0.25
_TIMEOUT = 2.0


class Reporter:
    """Posts progress from a thread of its own. hub: URL, or empty to post nowhere."""

    def __init__(self, hub: str, account: LocalAccount, domain: Domain) -> None:
        self._hub, self._account, self._domain = hub.rstrip("/"), account, domain
        self._queue: queue.Queue[Progress] = queue.Queue(maxsize=1_000)
        self._last: dict[bytes, tuple[float, Progress]] = {}
        self._sequence = 0
        if self._hub:
            threading.Thread(target=self._post_all, name="reporter", daemon=True).start()

    def report(self, job_id: bytes, stage: str, done: int = 0, of: int = 0) -> None:
        """Queues one report; steps of one stage are thinned out, and a full queue drops."""
        if not self._hub:
            return
        self._sequence = max(self._sequence + 1, int(time.time() * 1000))  # rises across restarts
        progress = Progress(job_id, self._sequence, stage, min(done, of), of)
        if not self._is_news(progress):
            return
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(progress)
            self._last[job_id] = (time.monotonic(), progress)

    def _is_news(self, progress: Progress) -> bool:
        """Another stage, the last step of one, or a while since the last report; an algorithm may count for ever."""
        if progress.job_id not in self._last:
            return True
        at, last = self._last[progress.job_id]
        if progress.stage != last.stage or time.monotonic() - at >= _SECONDS_BETWEEN:
            return True
        return progress.done == progress.of > 0 and not last.done == last.of > 0

    def _post_all(self) -> None:
        tls = self._hub.lower().startswith("https:")
        with httpx.Client(timeout=_TIMEOUT, trust_env=False, verify=tls) as client:
            while True:
                progress = self._queue.get()
                signature = sign_digest(self._account, progress.digest(self._domain))
                body = {"progress": progress.to_json(), "signature": "0x" + signature.hex()}
                try:
                    client.post(f"{self._hub}/v1/jobs/0x{progress.job_id.hex()}/progress", json=body)
                except (httpx.HTTPError, httpx.InvalidURL, ValueError):
                    continue  # live progress is a courtesy; the chain has the states
