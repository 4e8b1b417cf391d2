"""A buyer orders a job: the algorithm is checked and sealed, the spec is sealed, the request goes on chain."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from marketplace.chain.client import Chain, Sent
from marketplace.core import bundle, envelope
from marketplace.core.bundle import Bundle, parse_bundle
from marketplace.core.cid import Cid
from marketplace.core.dataset import Listing
from marketplace.core.events import JobOpened
from marketplace.core.job import Grant, Request
from marketplace.core.policy import Context, Deny, Purpose, evaluate
from marketplace.core.spec import AlgorithmReference, Spec
from marketplace.errors import InputError, NotFoundError, RefusedError
from marketplace.keys import Keyring
from marketplace.lookup import did_of, offer_of, terms_of
from marketplace.storage import ContentStore, put_block, read_file

_MANIFEST = "algorithm.toml"


@dataclass(frozen=True)
class Algorithm:
    """A bundle that a buyer can order, and whether the dataset's provider lists it."""

    data: bytes
    parsed: Bundle
    listed: bool
    cid: Cid | None = None

    @property
    def digest(self) -> bytes:
        return bundle.digest(self.data)


@dataclass(frozen=True)
class Order:
    """A job that was opened. request hashes to its id."""

    request: Request
    spec: Spec
    sent: Sent


def listed_algorithm(store: ContentStore, listing: Listing, name: str) -> Algorithm:
    """A ready-made algorithm, as the listing names it by digest. Raises NotFoundError naming those listed."""
    for entry in listing.algorithms:
        if name in (entry.name, entry.digest.hex(), "0x" + entry.digest.hex()):
            data = b"".join(read_file(entry.cid, store, limit=bundle.MAX_ARCHIVE_BYTES))
            if bundle.digest(data) != entry.digest:
                raise InputError(
                    "the listed bundle is another one",
                    got=bundle.digest(data).hex(),
                    expected=entry.digest.hex(),
                )
            return Algorithm(data, parse_bundle(data), True, entry.cid)
    names = ", ".join(entry.name for entry in listing.algorithms) or "none"
    raise NotFoundError(
        "the dataset lists no such algorithm",
        got=name,
        expected=names,
        do="Name one of these, or a folder of your own as ./folder.",
    )


def own_algorithm(folder: Path) -> Algorithm:
    """A folder with algorithm.toml, packed. Raises InputError for links, too many files, a bad manifest."""
    if not (folder / _MANIFEST).is_file():
        raise InputError("no algorithm there", got=folder, expected=f"a folder with {_MANIFEST}")
    data = bundle.pack(_read_folder(folder))
    return Algorithm(data, parse_bundle(data), False)


def _read_folder(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = bundle.MAX_BYTES
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError("a bundle holds plain files only", got=name, do="Replace the link by the file.")
        if "__pycache__" in path.parts or path.is_dir():
            continue
        if len(files) == bundle.MAX_FILES:
            raise InputError("too many files for a bundle", got=f"more than {bundle.MAX_FILES} in {folder}")
        files[name] = _read_up_to(path, left)
        left -= len(files[name])
    return files


def _read_up_to(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError("a file of the bundle cannot be read", got=f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise InputError("the files are too large for a bundle", expected=f"<= {bundle.MAX_BYTES} bytes")
    return data


def require_permitted(
    chain: Chain,
    store: ContentStore,
    *,
    asset: int,
    offer_digest: bytes,
    grant: Grant,
    buyer: str,
    algorithm: Algorithm,
    purpose: Purpose,
) -> bool:
    """Judges as the node will, before a use is spent on a rejection; returns whether the owner must approve first.

    Raises RefusedError where the terms do not permit the job. The node judges all the same.
    """
    context = Context(
        asset=str(did_of(chain, asset)),
        purpose=str(purpose),
        buyer=buyer,
        algorithm=algorithm.digest,
        at=chain.block_time(),
        use_index=grant.jobs_opened,
        max_uses=grant.jobs_paid,
        expires_at=(grant.last_day + 1) * 86_400,
    )
    judgement = evaluate(terms_of(store, offer_of(chain, store, offer_digest).offer), context)
    if isinstance(judgement, Deny):
        raise RefusedError(
            f"the terms do not permit this job: {judgement.reason}",
            do=f"steelyard dataset show {asset} --offer 0x{offer_digest.hex()}",
        )
    return judgement.needs_approval


def start(
    chain: Chain,
    store: ContentStore,
    keyring: Keyring,
    account: LocalAccount,
    *,
    offer_digest: bytes,
    grant: Grant,
    listing: Listing,
    algorithm: Algorithm,
    parameters: Mapping[str, Any],
    purpose: Purpose,
) -> Order:
    """Opens the next job of a grant. Everything the node needs is in the shared store before the transaction.

    Before anything is sent it raises InputError for parameters that fit neither the algorithm's schema nor the
    listing's columns, and RefusedError where the listing offers no environment that the algorithm needs.
    """
    manifest = algorithm.parsed.manifest
    values = manifest.check_parameters(parameters)
    manifest.parameters.check_columns(values, listing.column_names)
    listing.require_environment(manifest.environment)
    node_key = chain.sealing_key_of(grant.provider)
    reference = _place(store, algorithm)
    result_key = keyring.new_sealing_key("result-" + os.urandom(8).hex())
    spec = Spec(
        algorithm=reference,
        parameters=values,
        environment=str(manifest.environment),
        purpose=str(purpose),
        result_key="0x" + result_key.hex(),
    )
    block = envelope.seal_message(
        spec.to_bytes(), [node_key, result_key], key=os.urandom(32), nonce=os.urandom(12)
    )
    spec_digest = put_block(store, block).digest
    request = Request(offer_digest, account.address, grant.jobs_opened, algorithm.digest, spec_digest)
    arguments = (request.offer_digest, request.index, request.algorithm, request.spec)
    sent = chain.send("Market", "openJob", arguments, account)
    return Order(request, spec, sent)


def _place(store: ContentStore, algorithm: Algorithm) -> AlgorithmReference:
    """Puts the bundle where the node finds it: listed ones lie there already, custom ones are sealed."""
    name, digest = algorithm.parsed.manifest.name, "0x" + algorithm.digest.hex()
    if algorithm.cid is not None:
        return AlgorithmReference(name=name, digest=digest, cid=str(algorithm.cid))
    key, prefix = os.urandom(32), os.urandom(7)
    header = envelope.seal(BytesIO(algorithm.data), id=digest, key=key, prefix=prefix, put=store.put)
    return AlgorithmReference(name=name, digest=digest, cid=str(header.cid), key="0x" + key.hex())


def opened_by(chain: Chain, buyer: str) -> list[JobOpened]:
    """All jobs that a buyer opened, oldest first."""
    return chain.logs(types=(JobOpened,), buyer=buyer)
