"""Delivers mail: a few messages at a time, one for each webhook, every wait with an end.

Covered: receivers that are slow, silent, endless, gone, or that send elsewhere: what they answer is its status, the
rest is not read, redirects are not followed, and no connection is used twice.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
from starlette.concurrency import run_in_threadpool

from marketplace.accounts.mail import Due, Mail
from marketplace.accounts.reach import Endpoint, Reach
from marketplace.errors import SteelyardError
from marketplace.webhooks import sign

AT_ONCE = 16
"""Messages on their way."""

SECONDS_PER_ATTEMPT = 10.0
"""From the look-up of the name to the status of the answer."""

SECONDS_BETWEEN_CLEANINGS = 3_600.0

log = logging.getLogger(__name__)


class Courier:
    """tls: what receivers' certificates are checked against; the system's authorities where None."""

    def __init__(self, mail: Mail, reach: Reach, *, tls: ssl.SSLContext | None = None) -> None:
        self._mail = mail
        self._reach = reach
        self._tls = tls
        self._ways: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._cleaned = 0.0
        # A name server that does not answer holds one of these, and nothing else.
        self._resolvers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="resolve")

    def wake(self) -> None:
        """There is new mail. Only from the loop that runs the courier."""
        self._news.set()

    async def run(self, *, tick: float = 1.0) -> None:
        """Delivers until it is cancelled; what is on its way then is sent again later. tick: seconds between looks."""
        try:
            while True:
                self._news.clear()
                try:
                    await self._send_due()
                except SteelyardError as error:
                    log.warning("webhooks: %s", error)
                try:
                    async with asyncio.timeout(tick):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._ways.values():
                task.cancel()
            self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _send_due(self) -> None:
        now = time.time()
        if now - self._cleaned > SECONDS_BETWEEN_CLEANINGS:
            self._cleaned = now
            await run_in_threadpool(self._mail.forget_old, now=now)
        free = AT_ONCE - len(self._ways)
        if free <= 0:
            return
        for due in await run_in_threadpool(self._mail.due, now=now, busy=tuple(self._ways), most=free):
            task = asyncio.create_task(self._deliver(due))
            self._ways[due.webhook] = task
            task.add_done_callback(partial(self._done, due.webhook))

    def _done(self, webhook: str, _: asyncio.Task[None]) -> None:
        self._ways.pop(webhook, None)
        self._news.set()

    async def _deliver(self, due: Due) -> None:
        status: int | None = None
        try:
            async with asyncio.timeout(SECONDS_PER_ATTEMPT):
                status = await self._post(due)
            trouble = "" if 200 <= status < 300 else f"HTTP {status}"
        except TimeoutError:
            trouble = f"no answer within {SECONDS_PER_ATTEMPT:g} s"
        except SteelyardError as error:
            trouble = str(error)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            trouble = type(error).__name__
        try:
            if status is not None and not trouble:
                await run_in_threadpool(self._mail.arrived, due, status)
            else:
                await run_in_threadpool(self._mail.failed, due, status, trouble, now=time.time())
        except SteelyardError as error:
            log.warning("webhooks: %s", error)
            await asyncio.sleep(1)  # the file does not answer: the message is as it was, and goes out again

    async def _post(self, due: Due) -> int:
        endpoint, now = Endpoint.parse(due.url), int(time.time())
        loop = asyncio.get_running_loop()
        address = await loop.run_in_executor(self._resolvers, self._reach.address, endpoint)
        headers = {
            "host": endpoint.authority,
            "content-type": "application/json",
            "user-agent": "steelyard-webhooks/1",
            "connection": "close",
            "webhook-id": due.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(due.secret, due.id, now, due.body),
        }
        shown = f"[{address}]" if ":" in address else address
        url = f"{'https' if endpoint.secure else 'http'}://{shown}:{endpoint.port}{endpoint.target}"
        # Connected to the address that was checked; the certificate is still the name's.
        names = {"sni_hostname": endpoint.host} if endpoint.secure else {}
        async with (
            httpx.AsyncClient(verify=self._context(), trust_env=False, timeout=SECONDS_PER_ATTEMPT) as client,
            client.stream("POST", url, content=due.body, headers=headers, extensions=names) as answer,
        ):
            return answer.status_code

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls
