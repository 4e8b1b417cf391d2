"""A market as one participant sees it: the client's entry."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from marketplace import purchase, verify
from marketplace.chain.embedded import fund
from marketplace.client.access import Access
from marketplace.client.datasets import Dataset, Datasets
from marketplace.client.earnings import Earnings
from marketplace.client.jobs import Jobs
from marketplace.client.place import Place, Say
from marketplace.settings import load_settings
from marketplace.verify import Report


class Market:
    """One deployment of the contracts, one wallet, one shared store; a context manager that closes its connections.

    Nothing is asked of any of them before it is needed, so that a Market without a wallet can search and verify.
    """

    def __init__(
        self,
        *,
        deployment: str | Path | None = None,
        wallet: str | None = None,
        hub: str | None = None,
        rpc: str | None = None,
        gateway: str | None = None,
        ipfs: str | None = None,
        home: str | Path | None = None,
        passphrase: str | None = None,
        say: Say | None = None,
    ) -> None:
        """Everything left out comes from its `STEELYARD_*` setting.

        deployment: file. wallet: name of a key in the home. hub: URL; without one a search reads every listing from
        chain and store, which is slower, and live progress is not shown; nothing else asks a hub. rpc, gateway: URLs.
        ipfs: RPC of an IPFS daemon in place of the gateway. home: folder with `keys/`. passphrase: of the key files.
        say: is told of steps that take a while.
        Raises InputError for a setting that does not fit.
        """
        named = {
            "deployment": deployment, "wallet": wallet, "hub": hub, "rpc": rpc, "gateway": gateway, "ipfs": ipfs,
            "home": home, "passphrase": passphrase,
        }  # fmt: skip
        settings = load_settings(**{name: value for name, value in named.items() if value is not None})
        self._place = Place(settings, say)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Market({self._place.settings.rpc!r}, wallet={self._place.settings.wallet!r})"

    def close(self) -> None:
        """Ends the connections that were opened."""
        self._place.close()

    @property
    def address(self) -> str:
        """The wallet's address. Raises NotFoundError where the home has none, InputError where it has several."""
        return self._place.address

    @property
    def datasets(self) -> Datasets:
        """What can be bought: `datasets["owner/slug"]`, `datasets.search("words")`, or one after the other."""
        return Datasets(self._place)

    @property
    def access(self) -> list[Access]:
        """What this wallet bought so far, oldest first, used up or not."""
        place = self._place
        held = purchase.accesses(place.chain, place.address)
        return [Access(Dataset(place, one.asset_id), one.offer_digest) for one in held]

    @property
    def jobs(self) -> Jobs:
        """The jobs of this wallet: `jobs["0x..."]`, or one after the other, oldest first."""
        return Jobs(self._place)

    @property
    def earnings(self) -> Earnings:
        """What the market owes this wallet, why, and getting it."""
        return Earnings(self._place)

    def fund(self, euros: int = 1_000) -> int:
        """Test money and gas for this wallet; returns what it holds then, in token units.

        Raises RefusedError on any chain but a development chain.
        """
        fund(self._place.chain, self.address, euros)
        return self._place.chain.token_balance(self.address)

    def verify(self) -> Report:
        """Audits everything on this market, trusting nobody; needs no wallet. `.ok`, `.checks`, `.failures()`."""
        return verify.verify(self._place.chain, self._place.store, None)
