"""One frozen settings object, the sole reader of the environment (`STEELYARD_*`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketplace.errors import InputError

_EXPECTED = {
    "confirmations": "a whole number of blocks from 0 to 100",
    "wall": "bubblewrap or gvisor",
    "timeout": "seconds, more than 0 and at most 600",
}
_SECRET = frozenset({"passphrase", "passphrase_file"})
"""Never repeated: a passphrase may stand in the wrong variable."""


class Settings(BaseSettings):
    """Where things are and how patient to be. Each field is `STEELYARD_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="STEELYARD_", frozen=True, extra="forbid")

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
    wallet: str = Field(
        "", description="name of the wallet to act with; may be empty where there is only one"
    )
    deployment: Path | None = Field(None, description="deployment file; default <home>/deployment.json")
    passphrase: SecretStr = Field(SecretStr(""), description="passphrase of the key files")
    passphrase_file: Path | None = Field(None, description="file that holds the passphrase in its first line")
    confirmations: int = Field(1, ge=0, le=100, description="blocks that must follow before an event counts")
    wall: Literal["bubblewrap", "gvisor"] = Field("bubblewrap", description="the sandbox's wall, for nodes")
    timeout: float = Field(20.0, gt=0, le=600, description="seconds to wait for an RPC or HTTP answer")

    @property
    def deployment_file(self) -> Path:
        return self.deployment or self.home / "deployment.json"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; keyword arguments win. Raises InputError naming the setting."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks each value
    except ValidationError as error:
        first = error.errors()[0]
        raise _misfit(".".join(str(part) for part in first["loc"]), first.get("input")) from None


def _misfit(name: str, got: object) -> InputError:
    variable = f"STEELYARD_{name.upper()}"
    known = Settings.model_fields.get(name)
    return InputError(
        f"the setting {variable} does not fit",
        got=None if name in _SECRET else got,
        expected=_EXPECTED.get(name) or (known.description if known else "the name of a setting"),
        do=f"Set {variable} anew, or unset it for its default.",
    )
