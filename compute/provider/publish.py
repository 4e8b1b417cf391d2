"""A provider lists a dataset: check, seal, describe, put on chain; then offers it.

Everything that can be checked is checked before anything is written. Nothing is on chain before everything that
the chain will name is in the vault and the shared store; where a step fails, no listing exists and the vault is as
it was. Only where nobody answered after the transaction went out does the record stay: the listing may yet appear.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

from eth_account.signers.local import LocalAccount

from compute.provider.place import registered_key
from compute.provider.profile import read_profile
from compute.provider.table import Profile
from compute.provider.vault import SealedDataset, Vault, VaultRecord, wrapped_record
from marketplace import bonds
from marketplace.chain.client import Chain, Sent
from marketplace.core import bundle, unixfs
from marketplace.core.bundle import parse_bundle
from marketplace.core.canonical import MAX_DOCUMENT
from marketplace.core.cid import Cid
from marketplace.core.dataset import Creator, Environment, ListedAlgorithm, Listing, Responsible
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.offer import Offer, Signed
from marketplace.core.policy import CustomAlgorithms, Purpose, Terms
from marketplace.core.readable import euros
from marketplace.errors import InputError, IntegrityError, RefusedError, SteelyardError, UnavailableError
from marketplace.keys import sign_digest
from marketplace.lookup import did_of, listing_of
from marketplace.storage import ContentStore, put_block, put_file

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Card:
    """What a provider says about a dataset."""

    slug: str
    name: str
    description: str
    licence: str
    creator: str
    version: str = "1.0.0"
    keywords: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    """Kinds of personal data in it; none means that it holds no personal data."""


@dataclass(frozen=True)
class TermsChoice:
    """What a provider allows. algorithms: ready-made bundles, as bytes."""

    algorithms: tuple[bytes, ...]
    purposes: tuple[Purpose, ...] | None
    custom: CustomAlgorithms
    review_output: bool = True
    assignee: str | None = None
    expires_at: int | None = None


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
    profile: Profile
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

    def publish(self, path: Path, card: Card, choice: TermsChoice, on_step: OnStep) -> Published:
        """Checks, seals and lists one CSV or Parquet file.

        Raises InputError before anything is written, UnavailableError where disk, store or chain fail.
        """
        on_step("checking the file")
        _check_filename(path.name)
        profile = read_profile(
            path, progress=lambda done, of: on_step(f"checking the file: {100 * done // max(of, 1)} %")
        )
        salt = os.urandom(32)
        did = did_of(self._chain, asset_id(Kind.dataset, self._owner.address, salt))
        terms = _terms(did, self._owner.address, choice)
        draft = _listing(did, card, choice, profile, terms, self._environments)
        on_step("sealing the data")
        sealed = self._seal(path, did, profile)
        try:
            on_step("storing listing, terms and algorithms")
            listing = replace(draft, header=sealed.header.cid)
            self._store_documents(listing, terms, sealed, choice)
            on_step("publishing on chain")
            self._chain.head()  # an endpoint that is away is found out before there is anything to take back
            record = wrapped_record(
                sealed.header,
                sealed.key,
                self._node_key,
                path.name,
                owner=self._owner,
                domain=self._chain.domain,
            )
            sent = self._list(did, salt, listing, record)
        except _Unknown as unknown:
            raise unknown.error from None
        except BaseException:
            self._vault.discard(sealed)
            raise
        return Published(did, profile, listing, sent)

    def _seal(self, path: Path, did: Did, profile: Profile) -> SealedDataset:
        try:
            with path.open("rb") as source:
                sealed = self._vault.seal(source, did)
        except OSError as error:
            raise UnavailableError(f"{path} cannot be read", got=error.strerror) from error
        if sealed.header.size != profile.bytes:
            self._vault.discard(sealed)
            raise InputError(
                f"{path} was changed while it was read", do="Run this again when nothing writes to it."
            )
        return sealed

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


def _listing(
    did: Did,
    card: Card,
    choice: TermsChoice,
    profile: Profile,
    terms: Terms,
    environments: tuple[Environment, ...],
) -> Listing:
    """The listing but for its header, which is known only once the data is sealed. Raises InputError."""
    listing = Listing(
        did=did,
        slug=card.slug,
        name=card.name,
        description=card.description,
        licence=card.licence,
        creator=Creator(card.creator),
        version=card.version,
        published=_today(),
        header=Cid.raw(bytes(32)),
        terms=terms.cid,
        format=profile.format,
        rows=profile.rows,
        columns=profile.listed_columns(),
        environments=environments,
        personal_data=bool(card.sensitive),
        algorithms=tuple(_listed(data) for data in choice.algorithms),
        keywords=card.keywords,
        responsible=Responsible(sensitive=card.sensitive),
    )
    if (size := len(listing.to_bytes())) > MAX_DOCUMENT:
        raise InputError(
            "the listing is too long for one block", got=f"{size} bytes", expected=f"<= {MAX_DOCUMENT}",
            do="Shorten the description or the names of columns.",
        )  # fmt: skip
    return listing


def _listed(data: bytes) -> ListedAlgorithm:
    root = unixfs.build(unixfs.pieces(BytesIO(data), unixfs.LEAF), lambda cid, block: None)
    return ListedAlgorithm(parse_bundle(data).manifest.name, bundle.digest(data), root.cid)


def _terms(did: Did, provider: str, choice: TermsChoice) -> Terms:
    if not choice.algorithms and choice.custom is CustomAlgorithms.denied:
        raise InputError(
            "nothing could run on this dataset",
            do="Name an --algorithm, or allow custom ones with --custom approval.",
        )
    return Terms(
        asset=did,
        provider=provider,
        algorithms=tuple(bundle.digest(data) for data in choice.algorithms),
        purposes=choice.purposes,
        custom_algorithms=choice.custom,
        review_output=choice.review_output,
        assignee=choice.assignee,
        expires_at=choice.expires_at,
    )


def _today() -> date:
    return datetime.now(UTC).date()
