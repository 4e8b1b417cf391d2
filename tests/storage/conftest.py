"""A gateway of its own for tests of stores: the real server, on loopback, in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from marketplace.api.gateway import create_app
from tests.support.catalogue import served

Serve = Callable[[Path], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a gateway for a folder and gives its address; it ends with the test."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(served(create_app(folder)))
