"""Signing in: a message of EIP-4361 for this hub, signed by its account, gives a token.

A message counts only for the hub that it names, so that a page elsewhere cannot pass one on: the hub knows its own
name from its operator (`--public-url`). Without one it takes messages for this machine alone (127.0.0.1, localhost),
which no other page can have a wallet sign.
"""

from __future__ import annotations

import ipaddress
import time
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from marketplace.accounts.sessions import Session
from marketplace.api.state import Desk, Hub, TheDesk
from marketplace.core.eip712 import require_signer
from marketplace.core.siwe import SignIn, written
from marketplace.errors import InputError, IntegrityError, RefusedError, SignInError

STATEMENT = "Sign in to this Steelyard hub. It moves no money and signs nothing for you."


def parse_origin(url: str) -> str:
    """A hub's name to others. Raises InputError for anything but `http(s)://host[:port]`."""
    parts = urlsplit(url.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path:
        raise InputError("not a hub's public URL", got=url[:80], expected="https://host, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def origin_of(hub: Hub, host: str) -> str:
    """The origin that messages must name, as `https://hub.example`. host: the request's own header.

    Raises RefusedError where the hub has no name that this request could mean.
    """
    if hub.public_url:
        return hub.public_url
    if _is_loopback(host):
        return f"http://{host}"
    raise RefusedError(
        "this hub does not know by which name it is reached",
        got=host[:80],
        expected="a hub that was started with --public-url",
        do="Tell its operator; on the same machine ask 127.0.0.1.",
    )


def _is_loopback(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname or ""
        if parts.netloc != host or "@" in host:
            return False
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def message_for(desk: Desk, host: str, account: str, *, now: float) -> tuple[SignIn, int]:
    """A message for an account to sign, and when its nonce ends. Raises as `origin_of`."""
    origin = origin_of(desk.hub, host)
    nonce, end = desk.nonces.new(now=now)
    message = SignIn(
        domain=origin.partition("://")[2],
        address=account,
        uri=origin,
        chain_id=desk.hub.deployment.chain_id,
        nonce=nonce,
        issued_at=written(now),
        statement=STATEMENT,
        expiration_time=written(end),
    )
    return message, end


def sign_in(desk: Desk, host: str, text: str, signature: bytes, *, now: float) -> tuple[str, Session]:
    """A token, for a message that names this hub and chain, is of now, was not used, and is signed by its account.

    Raises InputError for what is no message, RefusedError for a message that does not fit, SignInError for another
    signer's, UnavailableError where the account is a contract and the chain does not answer.
    """
    message = SignIn.parse(text)
    _require_this_hub(desk.hub, host, message)
    message.require_current(now=now)
    try:
        require_signer(message.digest(), signature, message.address, desk.hub.accepts, what="message")
    except IntegrityError as error:
        raise SignInError(error.what, got=error.got, expected=error.expected) from None
    desk.nonces.use(message.nonce, now=now)  # last, so that only who holds the key can use one up
    return desk.sessions.open(message.address, now=now)


def _require_this_hub(hub: Hub, host: str, message: SignIn) -> None:
    origin = origin_of(hub, host)
    scheme, _, authority = origin.partition("://")
    uri = urlsplit(message.uri)
    wanted = {
        "domain": (message.domain, authority),
        "scheme": (message.scheme or scheme, scheme),
        "URI": (f"{uri.scheme}://{uri.netloc}", origin),
        "chain": (message.chain_id, hub.deployment.chain_id),
    }
    for what, (got, expected) in wanted.items():
        if got != expected:
            raise RefusedError(f"the message is for another {what}", got=got, expected=expected)


_bearer = HTTPBearer(auto_error=False, description="a token of POST /v1/sign-in")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def signed_in(desk: TheDesk, credentials: Credentials) -> Session:
    """A dependency: who asks. Raises SignInError for nobody."""
    if credentials is None:
        raise SignInError(
            "this needs an account",
            expected="Authorization: Bearer ...",
            do="Sign in: POST /v1/sign-in/nonce.",
        )
    return desk.sessions.of(credentials.credentials, now=time.time())


Me = Annotated[Session, Depends(signed_in)]


def host_of(request: Request) -> str:
    """The name by which the client reached the hub, as it says."""
    return str(request.headers.get("host", ""))
