"""The supervisor alone, over one small service: what it starts again, what it gives up, what it ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.errors import UnavailableError
from marketplace.settings import load_settings
from marketplace.supervisor import Service, Supervisor
from tests.support.ups import is_gone, wait_for


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Supervisor]:
    said: list[tuple[str, str]] = []
    market = Supervisor(lambda name, text: said.append((name, text)), lambda *_: None)
    yield market
    market.close()


def gateway(home: Path, **changes: object) -> Service:
    found = Service("gateway", ("gateway", "run"), load_settings(home=home), 0)
    return Service(**{**vars(found), **changes})  # type: ignore[arg-type]


def test_a_service_that_is_killed_comes_back_at_the_same_address(market: Supervisor, tmp_path: Path) -> None:
    kept = market.add(gateway(tmp_path))
    assert market.wait_ready(["gateway"])
    first, url = kept.child, kept.url
    assert first and url.startswith("http://127.0.0.1:")
    os.kill(first.pid, signal.SIGKILL)

    def back() -> bool | None:
        market.tick()
        return True if kept.child is not first and kept.runs else None

    wait_for(back, "the gateway")
    assert kept.child and kept.child.ready
    assert (kept.child.ready["url"], kept.starts, kept.failures) == (url, 2, 1)


def test_a_service_that_never_works_is_given_up_with_its_own_reason(
    market: Supervisor, tmp_path: Path
) -> None:
    market.add(gateway(tmp_path, words=("gateway", "run", "--quota", "none")))
    with pytest.raises(UnavailableError, match="gateway does not run") as caught:
        market.wait_ready(["gateway"])
    assert "--quota" in str(caught.value.got)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        market.add(gateway(tmp_path, port=port))
        with pytest.raises(UnavailableError, match="it ended 3 times") as caught:
            market.wait_ready(["gateway"])
    assert f"127.0.0.1:{port}" in str(caught.value.got)
    assert "choose another port" in str(caught.value.got)


def test_a_stop_ends_the_waiting_and_the_services(market: Supervisor, tmp_path: Path) -> None:
    kept = market.add(gateway(tmp_path))
    market.stop.set()
    assert not market.wait_ready(["gateway"])
    market.close()
    assert kept.child
    assert is_gone(kept.child.pid)
