"""A provider lists a dataset: check, seal, describe, put on chain; then offers it.

Everything that can be checked is checked before anything is written. Nothing is on chain before everything that
the chain will name is in the vault and the shared store; where a step fails, no listing exists and the vault is as
it was. Only where nobody answered after the transaction went out does the record stay: the listing may yet appear.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from eth_account.signers.local import LocalAccount

from compute.provider import in_place
from compute.provider.card import Card, TermsChoice, draft_of, terms_for
from compute.provider.lying import Lying
from compute.provider.place import registered_key
from compute.provider.survey import DataKind, Survey, survey
from compute.provider.vault import Form, SealedDataset, Vault, VaultRecord, wrapped_record
from marketplace import bonds
from marketplace.chain.client import Chain, Sent
from marketplace.core import archive
from marketplace.core.dataset import Environment, Listing
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.offer import Offer, Signed
from marketplace.core.policy import Terms
from marketplace.core.readable import euros
from marketplace.errors import InputError, IntegrityError, RefusedError, SteelyardError, UnavailableError
from marketplace.keys import sign_digest
from marketplace.lookup import did_of, listing_of
from marketplace.storage import ContentStore, put_block, put_file

__all__ = ["Card", "Price", "Published", "Publisher", "TermsChoice"]

OnStep = Callable[[str], None]
_PIECE = 1 << 20


@dataclass(frozen=True)
class Price:
    """price: token units per use. valid_until: Unix seconds. arbiter, verifier: who judges disputes; zero: nobody.

    required_role: the accreditation that a buyer needs, 32 bytes; zero: none.
    """

    price: int
    max_uses: int
    term_days: int
    valid_until: int
    failure_fee_bps: int
    arbiter: str = ZERO_ADDRESS
    verifier: str = ZERO_ADDRESS
    required_role: bytes = ZERO_BYTES32


@dataclass(frozen=True)
class Published:
    """A listed dataset."""

    did: Did
    found: Survey
    listing: Listing
    sent: Sent


class Publisher:
    """Publishes for one owner, whose node's sealing key and environments are given."""

    def __init__(
        self,
        chain: Chain,
        store: ContentStore,
        vault: Vault,
        owner: LocalAccount,
        node_key: bytes,
        environments: tuple[Environment, ...],
    ) -> None:
        self._chain, self._store, self._vault = chain, store, vault
        self._owner, self._node_key, self._environments = owner, node_key, environments

    def publish(
        self,
        path: Path,
        card: Card,
        choice: TermsChoice,
        on_step: OnStep,
        *,
        kind: DataKind | None = None,
        in_place: bool = False,
        replaces: Did | None = None,
    ) -> Published:
        """Checks, seals and lists one file, or all of a folder.

        kind: None, to find it out. in_place: commit to it where it lies instead of sealing a copy. replaces: the
        version before. Raises InputError before anything is written, UnavailableError where disk, store or chain fail.
        """
        on_step("checking the data")
        path = path.resolve() if in_place else path
        _check_filename(path.name or path.resolve().name)
        found = survey(path, kind, progress=_percent(on_step, "checking the data"))
        for warning in found.warnings:
            on_step(warning)
        salt = os.urandom(32)
        did = did_of(self._chain, asset_id(Kind.dataset, self._owner.address, salt))
        terms = terms_for(did, self._owner.address, choice)
        draft = draft_of(
            did,
            card,
            choice,
            found.content,
            terms,
            self._environments,
            in_place=in_place,
            replaces=replaces,
        )
        on_step("committing to the data" if in_place else "sealing the data")
        keep = self._commit if in_place else self._seal
        sealed = keep(found.lying, did, on_step)
        try:
            on_step("storing listing, terms and algorithms")
            listing = replace(draft, header=sealed.header.cid)
            self._store_documents(listing, terms, sealed, choice)
            on_step("publishing on chain")
            self._chain.head()  # an endpoint that is away is found out before there is anything to take back
            form = Form(path.name or path.resolve().name, found.lying.folder, path if in_place else None)
            record = wrapped_record(
                sealed.header, sealed.key, self._node_key, form, owner=self._owner, domain=self._chain.domain
            )
            sent = self._list(did, salt, listing, record)
        except _Unknown as unknown:
            raise unknown.error from None
        except BaseException:
            self._vault.discard(sealed)
            raise
        return Published(did, found, listing, sent)

    def _seal(self, lying: Lying, did: Did, on_step: OnStep) -> SealedDataset:
        with _as_one(lying) as source:
            sealed = self._vault.seal(source, did)
        try:
            # The last file was looked at after its last byte; here all of them once more.
            in_place.check_unchanged(lying)
        except IntegrityError as error:
            self._vault.discard(sealed)
            raise InputError(
                f"{lying.path} was changed while it was read", do="Run this again when nothing writes to it."
            ) from error
        return sealed

    def _commit(self, lying: Lying, did: Did, on_step: OnStep) -> SealedDataset:
        in_place.reader_of(lying)  # a job must be able to read what is listed
        secret = os.urandom(32)
        percent = _percent(on_step, "committing to the data")
        header = in_place.committed(lying, str(did), secret, lambda done: percent(done, lying.size))
        return SealedDataset(header, secret)

    def _store_documents(
        self, listing: Listing, terms: Terms, sealed: SealedDataset, choice: TermsChoice
    ) -> None:
        for data in choice.algorithms:
            put_file(BytesIO(data), self._store)
        for document in (terms.to_bytes(), sealed.header.to_bytes(), listing.to_bytes()):
            put_block(self._store, document)

    def _list(self, did: Did, salt: bytes, listing: Listing, record: VaultRecord) -> Sent:
        self._vault.add(record)
        try:
            arguments = (int(Kind.dataset), salt, listing.digest)
            return self._chain.send("AssetRegistry", "publish", arguments, self._owner)
        except (UnavailableError, IntegrityError) as error:
            raise _Unknown(error) from error
        except BaseException:
            self._vault.remove(did.token)
            raise

    def offer(self, token: int, price: Price) -> tuple[Offer, bytes, Sent]:
        """Signs an offer under the listing's terms and announces it; returns offer, digest, transaction.

        Raises RefusedError where nobody could buy at it: another account owns the asset, a judge is a party, or the
        provider's bond is short.
        """
        owner = self._chain.owner_of(token)
        if owner != self._owner.address:
            raise RefusedError("only its owner can offer an asset", got=self._owner.address, expected=owner)
        for party in (owner, registered_key(self._chain, owner)):
            if party in (price.arbiter, price.verifier):
                raise RefusedError("nobody judges its own case", got=party, do="Name somebody else.")
        if short := bonds.missing(self._chain, owner):
            raise RefusedError(
                "your bond is short", got=f"{euros(short)} missing", do="Pay it in: steelyard bond show"
            )
        listing = listing_of(self._chain, self._store, token)
        offer = Offer(
            asset_id=token,
            provider=self._owner.address,
            price=price.price,
            max_uses=price.max_uses,
            term_days=price.term_days,
            valid_until=price.valid_until,
            epoch=self._chain.epoch(token),
            failure_fee_bps=price.failure_fee_bps,
            arbiter=price.arbiter,
            verifier=price.verifier,
            required_role=price.required_role,
            terms_digest=listing.terms.digest,
            salt=os.urandom(32),
        )
        digest = offer.digest(self._chain.domain)
        document = Signed(offer, sign_digest(self._owner, digest)).to_bytes()
        block = put_block(self._store, document)
        sent = self._chain.send("Market", "announceOffer", (token, digest, block.digest), self._owner)
        return offer, digest, sent


class _Unknown(Exception):  # noqa: N818 - not an error of its own: it carries one past the clean-up
    """The transaction may have gone out: whether the listing is on chain is not known."""

    def __init__(self, error: SteelyardError) -> None:
        self.error = error
        super().__init__(str(error))


def _check_filename(name: str) -> None:
    """The sandbox shows the data under this name as well."""
    fits = name.isprintable() and name not in (".", "..") and len(name.encode(errors="replace")) <= 255
    if not fits:
        raise InputError(
            "the file's name cannot be used",
            got=ascii(name),
            expected="printable characters",
            do="Rename it.",
        )


@contextmanager
def _as_one(lying: Lying) -> Iterator[BinaryIO]:
    """What is sealed: the file, or the archive of the folder, as one stream."""
    if not lying.folder:
        with lying.open(lying.files[0]) as file:
            yield file
        return

    def members() -> Iterator[archive.Member]:
        for seen in lying.files:
            with lying.open(seen) as file:
                yield archive.Member(seen.name, seen.size, iter(lambda: file.read(_PIECE), b""))

    with archive.stream(archive.pack(members())) as whole:
        yield whole


def _percent(on_step: OnStep, what: str) -> Callable[[int, int], None]:
    """Tells each percent once."""
    last = -1

    def progress(done: int, of: int) -> None:
        nonlocal last
        if (now := 100 * done // max(of, 1)) > last:
            last = now
            on_step(f"{what}: {now} %")

    return progress
