"""A provider lists a dataset: check, seal, describe, put on chain; then offers it.

Nothing is on chain before everything that the chain will name is in the vault and the shared store; where a
step fails, no listing exists and the vault's record is taken back.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

from eth_account.signers.local import LocalAccount

from compute.provider.profile import read_profile
from compute.provider.table import Profile
from compute.provider.vault import SealedDataset, Vault, VaultRecord, wrap_of
from compute.sandbox import environment_list
from marketplace.chain.client import Chain, Sent
from marketplace.core import bundle, envelope
from marketplace.core.bundle import parse_bundle
from marketplace.core.dataset import Creator, Environment, ListedAlgorithm, Listing, Responsible
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.manifest import Environment as EnvironmentName
from marketplace.core.offer import Offer, Signed
from marketplace.core.policy import CustomAlgorithms, Purpose, Terms
from marketplace.errors import InputError, SteelyardError
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
    """price: token units per use. valid_until: Unix seconds."""

    price: int
    max_uses: int
    term_days: int
    valid_until: int
    failure_fee_bps: int


@dataclass(frozen=True)
class Published:
    """A listed dataset."""

    did: Did
    profile: Profile
    listing: Listing
    sent: Sent


class Publisher:
    """Publishes for one owner, whose node's sealing key is given."""

    def __init__(
        self, chain: Chain, store: ContentStore, vault: Vault, owner: LocalAccount, node_key: bytes
    ) -> None:
        self._chain, self._store, self._vault = chain, store, vault
        self._owner, self._node_key = owner, node_key

    def publish(self, path: Path, card: Card, choice: TermsChoice, on_step: OnStep) -> Published:
        """Checks, seals and lists one CSV or Parquet file. Raises InputError before anything is written."""
        on_step("checking the file")
        profile = read_profile(path)
        salt = os.urandom(32)
        did = did_of(self._chain, asset_id(Kind.dataset, self._owner.address, salt))
        terms = _terms(did, self._owner.address, choice)
        on_step("sealing the data")
        with path.open("rb") as source:
            sealed = self._vault.seal(source, did)
        on_step("storing listing, terms and algorithms")
        listing = self._describe(did, card, choice, profile, terms, sealed)
        on_step("publishing on chain")
        self._vault.add(self._record(did, sealed, path.name))
        try:
            arguments = (int(Kind.dataset), salt, listing.digest)
            sent = self._chain.send("AssetRegistry", "publish", arguments, self._owner)
        except SteelyardError:
            self._vault.remove(did.token)
            raise
        return Published(did, profile, listing, sent)

    def _describe(
        self, did: Did, card: Card, choice: TermsChoice, profile: Profile, terms: Terms, sealed: SealedDataset
    ) -> Listing:
        listing = Listing(
            did=did,
            slug=card.slug,
            name=card.name,
            description=card.description,
            licence=card.licence,
            creator=Creator(card.creator),
            version=card.version,
            published=_today(),
            header=sealed.header.cid,
            terms=terms.cid,
            format=profile.format,
            rows=profile.rows,
            columns=profile.listed_columns(),
            environment=Environment(str(EnvironmentName.PYTHON_ML), tuple(environment_list())),
            personal_data=bool(card.sensitive),
            algorithms=tuple(self._listed(data) for data in choice.algorithms),
            keywords=card.keywords,
            responsible=Responsible(sensitive=card.sensitive),
        )
        put_block(self._store, terms.to_bytes())
        put_block(self._store, sealed.header.to_bytes())
        put_block(self._store, listing.to_bytes())
        return listing

    def _listed(self, data: bytes) -> ListedAlgorithm:
        root = put_file(BytesIO(data), self._store)
        return ListedAlgorithm(parse_bundle(data).manifest.name, bundle.digest(data), root.cid)

    def _record(self, did: Did, sealed: SealedDataset, filename: str) -> VaultRecord:
        info = envelope.wrap_info("node", sealed.header.body, str(did))
        wrapped = envelope.wrap(sealed.key, self._node_key, info)
        blank = VaultRecord(
            did=str(did),
            header="0x" + sealed.header.digest.hex(),
            wrapped_key="0x" + wrapped.hex(),
            signature="0x" + "0" * 130,
            filename=filename,
        )
        signature = sign_digest(self._owner, wrap_of(blank, wrapped).digest(self._chain.domain))
        return blank.model_copy(update={"signature": "0x" + signature.hex()})

    def offer(self, token: int, price: Price) -> tuple[Offer, bytes, Sent]:
        """Signs an offer under the listing's terms and announces it; returns offer, digest, transaction."""
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
            terms_digest=listing.terms.digest,
            salt=os.urandom(32),
        )
        digest = offer.digest(self._chain.domain)
        document = Signed(offer, sign_digest(self._owner, digest)).to_bytes()
        block = put_block(self._store, document)
        sent = self._chain.send("Market", "announceOffer", (token, digest, block.digest), self._owner)
        return offer, digest, sent


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
