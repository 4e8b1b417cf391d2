"""Signing in with an Ethereum account (EIP-4361)."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from marketplace.api.answers import account, body_of, takes
from marketplace.api.doors import Me, host_of, message_for, sign_in
from marketplace.api.limits import asking
from marketplace.api.problems import problems
from marketplace.api.state import TheDesk
from marketplace.wire.accounts import NewSession, Nonce, NonceRequest, Session, SignInRequest

router = APIRouter(tags=["accounts"], responses=problems(403))

MAX_BODY = 16_384
"""Bytes of a message with its signature."""

PRIVATE = {"cache-control": "no-store"}


@router.post(
    "/sign-in/nonce", operation_id="newNonce", responses=problems(413), openapi_extra=takes(NonceRequest)
)
def nonce(
    desk: TheDesk,
    request: Request,
    response: Response,
    body: Annotated[NonceRequest, Depends(body_of(NonceRequest, limit=MAX_BODY))],
) -> Nonce:
    """A message for an account to sign; its nonce is good once, for five minutes."""
    response.headers.update(PRIVATE)
    address = account(body.address, where="the account")
    message, end = message_for(desk, host_of(request), address, now=time.time())
    return Nonce(nonce=message.nonce, expires_at=end, message=message.to_text())


@router.post(
    "/sign-in",
    operation_id="signIn",
    status_code=201,
    responses=problems(401, 413),
    openapi_extra=takes(SignInRequest),
)
def new_session(
    desk: TheDesk,
    request: Request,
    response: Response,
    body: Annotated[SignInRequest, Depends(body_of(SignInRequest, limit=MAX_BODY))],
) -> NewSession:
    """A token for an hour, for a message that its account signed. An account has at most eight."""
    response.headers.update(PRIVATE)
    desk.sign_ins.take(asking(request.scope), 1, "attempts to sign in")
    signature = bytes.fromhex(body.signature[2:])
    token, session = sign_in(desk, host_of(request), body.message, signature, now=time.time())
    return NewSession(account=session.account, expires_at=session.expires_at, token=token)


@router.get("/sign-in", operation_id="getSession", responses=problems(401))
def session(me: Me, response: Response) -> Session:
    """Who is signed in."""
    response.headers.update(PRIVATE)
    return Session(account=me.account, expires_at=me.expires_at)


@router.delete("/sign-in", operation_id="signOut", status_code=204, responses=problems(401))
def sign_out(desk: TheDesk, me: Me, request: Request) -> None:
    """The token stands for nobody from now on."""
    scheme, _, token = request.headers["authorization"].partition(" ")
    desk.sessions.close(HTTPAuthorizationCredentials(scheme=scheme, credentials=token).credentials)
