"""Sign-In with Ethereum: the message that a wallet shows and signs, built and parsed by its grammar. Pure.

What is parsed writes itself again, to the byte, so nothing unknown can hide in what was signed. Narrower than the
ABNF in three places: no leading zeros in the chain id, no leap second, at most MAX_MESSAGE characters in all.
Source: EIP-4361, with RFC 3986 for URIs, RFC 3339 for times and EIP-191 for what is signed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Self

from eth_utils.crypto import keccak

from marketplace.core.eip712 import parse_address
from marketplace.errors import InputError, RefusedError

MAX_MESSAGE = 4_096
"""Characters of a message."""

MAX_AGE = 600
"""Seconds after which a message is too old to sign in with, whatever it says of itself."""

SKEW = 60
"""Seconds by which a wallet's clock may be ahead."""

_ESCAPED = "%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-._~"
_SUB_DELIMS = "!$&'()*+,;="
_PCHAR = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}:@]|{_ESCAPED})"
_SCHEME = r"[A-Za-z][A-Za-z0-9+\-.]*"
_HOST = rf"(?:\[[0-9A-Fa-f:.]+\]|(?:[{_UNRESERVED}{_SUB_DELIMS}]|{_ESCAPED})+)"
_AUTHORITY = rf"(?:(?:[{_UNRESERVED}{_SUB_DELIMS}:]|{_ESCAPED})*@)?{_HOST}(?::[0-9]*)?"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_URI = rf"{_SCHEME}:(?://{_AUTHORITY}(?:/{_PCHAR}*)*|(?:/?{_PCHAR}+(?:/{_PCHAR}*)*|/)?){_TAIL}"
_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_FIELDS = {
    "scheme": _SCHEME,
    "domain": _AUTHORITY,
    "address": "0x[0-9A-Fa-f]{40}",
    "statement": rf"[{_UNRESERVED}{_SUB_DELIMS}:/?#\[\]@ ]+",
    "uri": _URI,
    "chain_id": "(?:0|[1-9][0-9]{0,77})",
    "nonce": "[A-Za-z0-9]{8,}",
    "issued_at": _TIME,
    "expiration_time": _TIME,
    "not_before": _TIME,
    "request_id": f"{_PCHAR}*",
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _FIELDS.items()}
_RESOURCE = re.compile(_URI)
_MOMENT = re.compile(rf"(?=(?:{_TIME})$)(?P<whole>.{{19}})(?P<fraction>\.[0-9]+)?(?P<zone>.+)")

_MESSAGE = re.compile(
    r"(?:(?P<scheme>[^\n]*?)://)?(?P<domain>[^\n]*) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>[^\n]*)\n\n(?:(?P<statement>[^\n]+)\n)?\n"
    r"URI: (?P<uri>[^\n]*)\nVersion: 1\nChain ID: (?P<chain_id>[^\n]*)\nNonce: (?P<nonce>[^\n]*)\n"
    r"Issued At: (?P<issued_at>[^\n]*)"
    r"(?:\nExpiration Time: (?P<expiration_time>[^\n]*))?(?:\nNot Before: (?P<not_before>[^\n]*))?"
    r"(?:\nRequest ID: (?P<request_id>[^\n]*))?(?P<resources>\nResources:(?:\n- [^\n]*)*)?"
)


@dataclass(frozen=True)
class SignIn:
    """One message. address: checksummed. domain: whom the account signs in to, as `host` or `host:port`.

    Times are RFC 3339 text; request_id and resources are None where the message has none. Raises InputError for any
    field that its grammar does not allow.
    """

    domain: str
    address: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: str
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None
    scheme: str | None = None

    def __post_init__(self) -> None:
        for name, pattern in _PATTERNS.items():
            value = getattr(self, name)
            if value is None and name in (
                "statement",
                "expiration_time",
                "not_before",
                "request_id",
                "scheme",
            ):
                continue
            _require(bool(pattern.fullmatch(str(value))), name, value)
        for resource in self.resources or ():
            _require(bool(_RESOURCE.fullmatch(resource)), "resource", resource)
        _require(parse_address(self.address, where="the account") == self.address, "address", self.address)
        for text in (self.issued_at, self.expiration_time, self.not_before):
            if text is not None:
                seconds(text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError for anything but one message, whole."""
        found = _MESSAGE.fullmatch(text) if len(text) <= MAX_MESSAGE else None
        if found is None:
            raise InputError(
                "not a message to sign in with",
                got=f"{len(text)} characters",
                expected="the text of EIP-4361, version 1",
                do="Ask POST /v1/sign-in/nonce for one to fill in.",
            )
        values = found.groupdict()
        chain_id, resources = values.pop("chain_id"), values.pop("resources")
        _require(bool(_PATTERNS["chain_id"].fullmatch(chain_id)), "chain_id", chain_id)
        listed = None if resources is None else tuple(line[2:] for line in resources.split("\n")[2:])
        return cls(chain_id=int(chain_id), resources=listed, **values)

    def to_text(self) -> str:
        """What the wallet shows and signs."""
        scheme = f"{self.scheme}://" if self.scheme else ""
        optional = {
            "Expiration Time": self.expiration_time,
            "Not Before": self.not_before,
            "Request ID": self.request_id,
        }
        lines = [
            f"{scheme}{self.domain} wants you to sign in with your Ethereum account:",
            self.address,
            "",
            *([self.statement] if self.statement is not None else []),
            "",
            f"URI: {self.uri}",
            "Version: 1",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {self.issued_at}",
            *(f"{name}: {value}" for name, value in optional.items() if value is not None),
            *(["Resources:", *(f"- {uri}" for uri in self.resources)] if self.resources is not None else []),
        ]
        return "\n".join(lines)

    def digest(self) -> bytes:
        """What is signed, 32 bytes: EIP-191's personal message."""
        text = self.to_text().encode()
        return keccak(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)

    def require_current(self, *, now: float) -> None:
        """now: Unix seconds. Raises RefusedError for an old message, and outside the time that it allows itself."""
        issued = seconds(self.issued_at)
        if not now - MAX_AGE <= issued <= now + SKEW:
            raise _untimely("Issued At", self.issued_at, f"within the last {MAX_AGE} s")
        if self.expiration_time is not None and seconds(self.expiration_time) <= now:
            raise _untimely("Expiration Time", self.expiration_time, "a time to come")
        if self.not_before is not None and seconds(self.not_before) > now:
            raise _untimely("Not Before", self.not_before, "a time that has come")


def seconds(text: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises InputError for a day or an hour that does not exist."""
    parts = _MOMENT.fullmatch(text)
    try:
        if parts is None:
            raise ValueError(text)
        return _moment(parts["whole"].upper(), parts["zone"]).timestamp() + float(parts["fraction"] or 0)
    except (ValueError, OverflowError):
        raise InputError(
            "a time does not exist", got=text, expected="RFC 3339, without a leap second"
        ) from None


def _moment(whole: str, zone: str) -> datetime:
    if zone[4:] > "59":
        raise ValueError(zone)
    hours, minutes = (0, 0) if zone in "Zz" else (int(zone[:3]), int(zone[0] + zone[4:]))
    place = timezone(timedelta(hours=hours, minutes=minutes))
    return datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=place)


def written(moment: float) -> str:
    """Unix seconds as RFC 3339, whole seconds of UTC."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require(ok: bool, name: str, value: object) -> None:
    if not ok:
        raise InputError(
            f"{name.replace('_', ' ')} of the message does not fit",
            got=repr(value)[:80],
            expected="as in EIP-4361",
        )


def _untimely(field: str, got: str, expected: str) -> RefusedError:
    return RefusedError(
        f"{field} of the message does not fit the time", got=got, expected=expected, do="Sign a new one."
    )
