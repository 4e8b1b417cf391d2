"""A program: the hub of the settings in the environment, on a free port; prints its URL when it answers."""

from __future__ import annotations

import sys

from marketplace.api.hub import serve
from marketplace.errors import SteelyardError
from marketplace.settings import load_settings

try:
    serve(load_settings(), "127.0.0.1", int(sys.argv[1]), ready=lambda url: print(url, flush=True))
except SteelyardError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print("ended", flush=True)
