"""Keeps commands running as processes of their own: started, watched, started again, stopped in order.

Covered: a child that ends, however it ends; one that never gets ready; the end of this process by SIGKILL (the kernel
ends its children); a terminal's Ctrl-C, which reaches this process alone.
Not covered: a child that runs but answers nothing any more. It is left alone: who is slow is not killed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from marketplace.children import die_with_parent
from marketplace.errors import UnavailableError
from marketplace.settings import Settings, environment_for

_TICK = 0.05
_START_SECONDS = 90.0
_STEADY_SECONDS = 60.0
"""A child that lived so long has worked: what ended it before does not count any more."""
_FAILURES, _FALSE_STARTS = 5, 3
"""How often a child may end before it is given up: one that worked once, one that never did."""
_FIRST_PAUSE, _LAST_PAUSE = 0.25, 30.0
_STOP_SECONDS = 30.0
_TAIL = 20
_BAD_INPUT = 2

Say = Callable[[str, str], None]
"""Name of a service, one line of it for people."""


@dataclass(frozen=True)
class Service:
    """One command that shall run.

    words: as typed after `steelyard`. port: option `--port` of the command; 0 takes a free one, and keeps it.
    stage: those of a higher one are stopped first. essential: without it the others end too; else it is tried for ever.
    """

    name: str
    words: tuple[str, ...]
    settings: Settings
    port: int | None = None
    stage: int = 0
    essential: bool = True

    def command(self, port: int | None) -> list[str]:
        at = [] if port is None else ["--port", str(port)]
        return [sys.executable, "-P", "-m", "marketplace", *self.words, *at, "--json"]


class Child:
    """One process, and what it says. `poll`, `pid`, `ready` and `reason` may be asked at any time."""

    def __init__(self, service: Service, port: int | None, say: Say, log: Say) -> None:
        """Start it from a thread that lives on: the kernel ends it with the thread that started it."""
        self._name, self._say, self._log = service.name, say, log
        self.ready: dict[str, Any] | None = None
        self.values: list[dict[str, Any]] = []
        """What it wrote on stdout after its first line, if that is JSON."""
        self._last: deque[str] = deque(maxlen=_TAIL)
        self._error = ""
        self._process = subprocess.Popen(  # noqa: S603  # a command of our own
            service.command(port),
            env=environment_for(service.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        self.started = time.monotonic()
        streams = (self._process.stdout, self._process.stderr)
        self._readers = [threading.Thread(target=self._read, args=(s,), daemon=True) for s in streams if s]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code once it has ended and everything that it said was read."""
        code = self._process.poll()
        if code is not None:
            for reader in self._readers:
                reader.join(1)
        return code

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def reason(self) -> str:
        """Why it ended, in its own words where it said any."""
        code = self._process.returncode
        how = f"signal {-code}" if code is not None and code < 0 else f"code {code}"
        return self._error or (f"{how}: {self._last[-1]}" if self._last else how)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                text = line.rstrip()
                self._log(self._name, text)
                self._take(text)

    def _take(self, text: str) -> None:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self._last.append(text[:500])
        elif "error" in found:
            self._error = "; ".join(str(found[k]) for k in ("what", "got", "expected", "do") if found.get(k))
        elif "service" in found and self.ready is None:
            self.ready = found
        else:
            self.values.append(found)
            for key in ("node", "note", "step"):
                if isinstance(found.get(key), str):
                    self._say(self._name, found[key])


@dataclass
class Kept:
    """A service and the process that is it now. port: the one that it has; url: where it answers."""

    service: Service
    port: int | None
    child: Child | None = None
    url: str = ""
    failures: int = 0
    starts: int = 0
    again: float = 0.0
    said: str = ""

    @property
    def runs(self) -> bool:
        return self.child is not None and self.child.ready is not None and bool(self.url)


@dataclass
class Supervisor:
    """Services of one market. All calls come from one thread that lives on; only `stop` may be set from others."""

    say: Say
    log: Say
    stop: threading.Event = field(default_factory=threading.Event)
    kept: dict[str, Kept] = field(default_factory=dict)

    def add(self, service: Service) -> Kept:
        """Starts it."""
        kept = Kept(service, service.port)
        self.kept[service.name] = kept
        self._start(kept)
        return kept

    def wait_ready(self, names: Iterable[str]) -> bool:
        """Until all of them answer; False where `stop` came first. Raises UnavailableError for one that gave up."""
        waiting = [self.kept[name] for name in names]
        while not all(kept.runs for kept in waiting):
            if self.stop.wait(_TICK):
                return False
            self.tick()
        return True

    def settled(self) -> bool:
        """Whether each of them answers or has failed already."""
        return all(kept.runs or kept.failures for kept in self.kept.values())

    def tick(self) -> None:
        """Starts again what ended. Raises UnavailableError for an essential service that ends again and again."""
        for kept in list(self.kept.values()):
            child = kept.child
            if child is None:
                if time.monotonic() >= kept.again:
                    self._start(kept)
            elif child.poll() is not None:
                self._ended(kept, child)
            elif child.ready is None:
                if time.monotonic() - child.started > _START_SECONDS:
                    child.send(signal.SIGKILL)
            else:
                self._serves(kept, child.ready)

    def run_to_end(self, service: Service, tick: Callable[[], None]) -> Child | None:
        """A command that ends by itself, while the others are kept; None where `stop` came first."""
        child = Child(service, None, self.say, self.log)
        while child.poll() is None:
            if self.stop.wait(_TICK):
                child.send(signal.SIGKILL)
                child.poll()
                return None
            tick()
        return child

    def close(self) -> None:
        """Ends all, those of the highest stage first; a second signal meanwhile ends them at once."""
        self.stop.clear()
        for stage in sorted({kept.service.stage for kept in self.kept.values()}, reverse=True):
            self._end([k.child for k in self.kept.values() if k.service.stage == stage and k.child])

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(child.poll() is None for child in children):
            if time.monotonic() > deadline or self.stop.wait(_TICK):
                for child in children:
                    child.send(signal.SIGKILL)

    def _start(self, kept: Kept) -> None:
        kept.child = Child(kept.service, kept.port, self.say, self.log)
        kept.starts += 1

    def _serves(self, kept: Kept, ready: dict[str, Any]) -> None:
        if not kept.url:
            kept.url = str(ready.get("url") or ready.get("address") or "-")
            if kept.port is not None:
                kept.port = int(kept.url.rpartition(":")[2])  # where it comes back: others know this address
        if kept.said:
            kept.said = ""
            self.say(kept.service.name, "runs again")

    def _ended(self, kept: Kept, child: Child) -> None:
        if child.ready and time.monotonic() - child.started > _STEADY_SECONDS:
            kept.failures = 0
        kept.child, kept.failures = None, kept.failures + 1
        reason, name = child.reason(), kept.service.name
        hopeless = child.poll() == _BAD_INPUT and not child.ready
        most = _FAILURES if kept.url else _FALSE_STARTS
        if kept.service.essential and (hopeless or kept.failures >= most):
            raise UnavailableError(
                f"{name} does not run: it ended {kept.failures} times"
                if kept.failures > 1
                else f"{name} does not run",
                got=reason,
                do="up.log in the home says more.",
            )
        pause = min(_LAST_PAUSE, _FIRST_PAUSE * 2**kept.failures)
        kept.again = time.monotonic() + pause
        if reason != kept.said:
            kept.said = reason
            self.say(name, f"ended: {reason}; it is started again")
