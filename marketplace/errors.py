"""What can go wrong, as one tree; foreign exceptions never cross a room.

SteelyardError              exit 1, HTTP 500   something in Steelyard itself
├── InputError              exit 2, HTTP 422   what came from outside does not parse: file, manifest, argument, body
│   ├── TooLargeError       exit 2, HTTP 413   a body is longer than it may be
│   ├── NotFoundError       exit 2, HTTP 404   the name, id or block that was asked for does not exist
│   └── VersionError        exit 2, HTTP 400   a hub and its client speak different versions
├── IntegrityError          exit 1, HTTP 502   bytes are there but are not those that their digest names
├── RefusedError            exit 1, HTTP 403   a rule said no: terms, a contract, the sandbox, an approval
│   ├── SignInError         exit 1, HTTP 401   nobody is signed in, or no longer
│   └── TooManyError        exit 1, HTTP 429   the same was asked too often; later it may be asked again
└── UnavailableError        exit 1, HTTP 503   a service did not answer or a disk is full; nothing was lost
    └── FullError           exit 1, HTTP 507   a disk is full, or what a store may take of it
"""

from __future__ import annotations


class SteelyardError(Exception):
    """An error that a person can act on: what happened, what was got, what was expected, what to do."""

    exit_code = 1
    http_status = 500

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, do: str | None = None
    ) -> None:
        self.what = what
        self.got = None if got is None else str(got)[:500]
        self.expected = None if expected is None else str(expected)[:500]
        self.do = do
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what]
        if self.got is not None:
            parts.append(f"got {self.got}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        text = "; ".join(parts)
        return f"{text}. {self.do}" if self.do else text

    def to_json(self) -> dict[str, str | None]:
        """For `--json` and HTTP bodies."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "got": self.got,
            "expected": self.expected,
            "do": self.do,
        }


class InputError(SteelyardError):
    """What came from outside does not parse or does not fit."""

    exit_code = 2
    http_status = 422


class TooLargeError(InputError):
    """A body is longer than it may be."""

    http_status = 413


class NotFoundError(InputError):
    """The name, id or block that was asked for does not exist."""

    http_status = 404


class VersionError(InputError):
    """A hub and its client speak different versions."""

    http_status = 400


class IntegrityError(SteelyardError):
    """Bytes are there, but they are not those that their digest, commitment or signature names."""

    http_status = 502


class RefusedError(SteelyardError):
    """A rule said no: the terms, a contract, the sandbox, a missing approval."""

    http_status = 403


class SignInError(RefusedError):
    """Nobody is signed in, or no longer."""

    http_status = 401


class TooManyError(RefusedError):
    """The same was asked too often; after `retry_after` seconds it may be asked again."""

    http_status = 429

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        do: str | None = None,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(what, got=got, expected=expected, do=do)
        self.retry_after = retry_after


class UnavailableError(SteelyardError):
    """A service did not answer or a disk is full; nothing was lost, the same call may be tried again."""

    http_status = 503


class FullError(UnavailableError):
    """A disk is full, or what a store may take of it; nothing was lost, later the same call may be tried again."""

    http_status = 507
