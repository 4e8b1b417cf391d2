"""One frozen settings object, the sole reader of the environment (`STEELYARD_*`).

Where a variable is not set, the addresses are those that `steelyard up` wrote into the home, then the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketplace.core.canonical import MAX_DOCUMENT, exact_fields, parse_json
from marketplace.errors import InputError, UnavailableError

ADDRESSES = "up.json"
"""In a home: where its services are. Fields: rpc, gateway, hub, deployment."""

_PREFIX = "STEELYARD_"
_EXPECTED = {
    "confirmations": "a whole number of blocks from 0 to 100",
    "wall": "bubblewrap or gvisor",
    "timeout": "seconds, more than 0 and at most 600",
}
_SECRET = frozenset({"passphrase", "passphrase_file", "database"})
"""Never repeated: a passphrase may stand in the wrong variable, and a password in a URL."""


class Settings(BaseSettings):
    """Where things are and how patient to be. Each field is `STEELYARD_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    home: Path = Field(
        Path("~/.local/share/steelyard").expanduser(),
        description="folder with keys/, vault/, store/, node.db, hub.db, deployment.json",
    )
    rpc: str = Field("http://127.0.0.1:8545", description="URL of an Ethereum JSON-RPC endpoint")
    gateway: str = Field("http://127.0.0.1:8080", description="URL of the shared store's gateway")
    ipfs: str = Field(
        "", description="URL or multiaddr of an IPFS daemon's RPC: the shared store in place of the gateway"
    )
    hub: str = Field("", description="URL of a hub: catalogue and live progress; trade needs none")
    database: SecretStr = Field(
        SecretStr(""),
        description="the hub's catalogue: an SQLAlchemy URL of SQLite or PostgreSQL; default <home>/hub.db",
    )
    sponsor: str = Field("", description="URL of a hub that pays your gas where your wallet holds no coin")
    wallet: str = Field(
        "", description="name of the wallet to act with; may be empty where there is only one"
    )
    deployment: Path | None = Field(None, description="deployment file; default <home>/deployment.json")
    passphrase: SecretStr = Field(SecretStr(""), description="passphrase of the key files")
    passphrase_file: Path | None = Field(None, description="file that holds the passphrase in its first line")
    confirmations: int = Field(1, ge=0, le=100, description="blocks that must follow before an event counts")
    wall: Literal["bubblewrap", "gvisor"] = Field("bubblewrap", description="the sandbox's wall, for nodes")
    scratch: Path | None = Field(
        None, description="folder on an encrypted disk for data that does not fit into memory; default none"
    )
    timeout: float = Field(20.0, gt=0, le=600, description="seconds to wait for an RPC or HTTP answer")

    @property
    def deployment_file(self) -> Path:
        return self.deployment or self.home / "deployment.json"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and the home; keyword arguments win. Raises InputError naming the setting."""
    if "gateway" in overrides:
        overrides.setdefault("ipfs", "")  # whoever names a gateway wants that one
    settings = settings_of_environment(**overrides)
    written = _addresses_in(settings.home)
    chosen = settings.model_fields_set
    missing = {name: value for name, value in written.items() if name not in chosen}
    if "gateway" in chosen:
        missing.pop("ipfs", None)
    return settings.model_copy(update=missing)


def settings_of_environment(**overrides: object) -> Settings:
    """Settings without what a home says; `model_fields_set` names those that somebody chose. Raises as above."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks each value
    except ValidationError as error:
        first = error.errors()[0]
        raise _misfit(".".join(str(part) for part in first["loc"]), first.get("input")) from None


def environment_for(settings: Settings) -> Mapping[str, str]:
    """The environment in which a process of ours reads these settings, and no others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    values = {**dict(settings), "passphrase": settings.passphrase.get_secret_value()}
    ours = {
        f"{_PREFIX}{name.upper()}": str(value) for name, value in values.items() if value not in ("", None)
    }
    return kept | ours


def _addresses_in(home: Path) -> dict[str, object]:
    """What `steelyard up` wrote there; nothing where there is no such file."""
    path, what = home / ADDRESSES, "the file of addresses that `steelyard up` writes"
    try:
        with path.open("rb") as file:
            found = parse_json(file.read(MAX_DOCUMENT + 1), what=what)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UnavailableError(f"{what} cannot be read", got=f"{path}: {error.strerror}") from None
    fields = exact_fields(
        found, dict.fromkeys(("rpc", "gateway", "ipfs", "hub", "deployment"), str), what=what
    )
    return {**fields, "deployment": Path(fields["deployment"])}


def _misfit(name: str, got: object) -> InputError:
    variable = f"STEELYARD_{name.upper()}"
    known = Settings.model_fields.get(name)
    return InputError(
        f"the setting {variable} does not fit",
        got=None if name in _SECRET else got,
        expected=_EXPECTED.get(name) or (known.description if known else "the name of a setting"),
        do=f"Set {variable} anew, or unset it for its default.",
    )
