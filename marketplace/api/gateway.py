"""The shared store over HTTP: `GET`, `HEAD` and `PUT /ipfs/{cid}`, `GET /health`.

What is stored is served as it lies, unchecked: readers check every block and need not trust this server.
What is put must hash to its name. Anyone who reaches it may put: keep it on loopback or behind something that
limits who writes and how much.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from marketplace.api.answers import add_error_answers, read_body
from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError
from marketplace.storage import MAX_BLOCK, LocalStore

_BLOCK_HEADERS = {
    # A name never means other bytes; and bytes that anyone put are never a page of this origin.
    "cache-control": "public, max-age=29030400, immutable",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


def _cid(cid: str) -> Cid:
    return Cid.parse(cid)


Name = Annotated[Cid, Depends(_cid)]


def create_app(folder: Path) -> FastAPI:
    """The gateway of the store in `folder`, as an ASGI application."""
    store = LocalStore(folder)
    app = FastAPI(title="Steelyard gateway", docs_url=None, redoc_url=None)
    add_error_answers(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Answers while the server runs."""
        return {"status": "ok"}

    @app.get("/ipfs/{cid}", response_class=Response)
    def get_block(cid: Name) -> Response:
        """The stored bytes, unchecked."""
        return _block(store.stored(cid), cid)

    @app.head("/ipfs/{cid}", response_class=Response)
    def head_block(cid: Name) -> Response:
        """Whether bytes are stored under this name."""
        return _block(store.stored(cid), cid)

    @app.put("/ipfs/{cid}", status_code=201, response_class=Response)
    async def put_block(cid: Name, request: Request) -> Response:
        """Keep the body, which must hash to the name. The answer has no body."""
        block = await read_body(request, limit=MAX_BLOCK)
        try:
            await run_in_threadpool(store.put, cid, block)
        except IntegrityError as error:
            raise InputError(
                error.what, got=error.got, expected=error.expected, do="Send the block's own bytes."
            ) from error
        return Response(status_code=201)

    return app


def _block(block: bytes, cid: Cid) -> Response:
    return Response(
        block, media_type="application/vnd.ipld.raw", headers={**_BLOCK_HEADERS, "etag": f'"{cid}"'}
    )
