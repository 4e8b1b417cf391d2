"""An algorithm's log, line by line: its progress, its own word about what went wrong, and the rest.

Two lines mean something to the node:

  ::progress {"done": 3, "of": 20}    how far it is; shown live where the owner listed the algorithm, never in the log
  ::error "text"                      why it is about to end with a non-zero exit code: a JSON string of at most 300
                                      characters; the last such line counts, and reaches the buyer where the owner
                                      listed the algorithm. From code that nobody listed it could be data: ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with a stage, steps done, and steps in all (0 and 0 where unknown)."""

MAX_ERROR = 300
_PROGRESS = re.compile(r'::progress \{"done": ?(\d{1,9}), ?"of": ?(\d{1,9})\}')
_ERROR = re.compile(r'::error (".*")')


class Lines:
    """Sorts one run's lines. listed: whether the owner listed the algorithm, so that its words may leave."""

    def __init__(self, on_line: Callable[[str], None], on_progress: OnProgress, *, listed: bool) -> None:
        self.on_line, self._on_progress, self._listed = on_line, on_progress, listed
        self.error = ""

    def __call__(self, line: str) -> None:
        text = line.strip()
        if found := _PROGRESS.fullmatch(text):
            if self._listed:  # else numbers, and the moments of telling them, could carry data
                self._on_progress("running", int(found[1]), int(found[2]))
            return
        if self._listed and (found := _ERROR.fullmatch(text)):
            self.error = _error(found[1]) or self.error
        self.on_line(line)


def _error(text: str) -> str:
    """What the JSON string says, on one line; empty where it is none, or too long."""
    try:
        said = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(said, str) or len(said) > MAX_ERROR:
        return ""
    return "".join(character for character in said if character.isprintable()).strip()
