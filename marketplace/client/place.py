"""Where the client's objects work: a participant's chain, store and keys, and who is told of progress."""

from __future__ import annotations

from collections.abc import Callable

from marketplace.participant import Participant
from marketplace.settings import Settings

Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Nobody is told."""


class Place(Participant):
    """A participant, and who is told what happens meanwhile, a sentence at a time."""

    def __init__(self, settings: Settings, say: Say | None) -> None:
        super().__init__(settings)
        self.say = say or _silent
