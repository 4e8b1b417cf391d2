"""Signing in over real HTTP: a signed message opens a session once, for its own hub, chain and time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.sessions import MAX_PER_ACCOUNT, SECONDS, Sessions
from marketplace.api import nonces
from marketplace.api.doors import origin_of, parse_origin
from marketplace.api.hub import create_app
from marketplace.api.nonces import Nonces
from marketplace.core.siwe import SignIn, written
from marketplace.errors import InputError, RefusedError, SignInError, UnavailableError
from tests.support.catalogue import Town, running_town, served
from tests.support.hubs import running_hub

from .conftest import BUYER, NODE, RunningHub, hub_in


def asked(client: httpx.Client, account: LocalAccount = BUYER) -> SignIn:
    answer = client.post("/v1/sign-in/nonce", json={"address": account.address})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return SignIn.parse(answer.json()["message"])


def sent(client: httpx.Client, message: SignIn, by: LocalAccount = BUYER) -> httpx.Response:
    text = message.to_text()
    signature = by.sign_message(encode_defunct(text=text)).signature
    return client.post("/v1/sign-in", json={"message": text, "signature": "0x" + bytes(signature).hex()})


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_signed_message_opens_a_session_that_ends_when_it_is_closed(fresh: RunningHub) -> None:
    made = sent(fresh.client, asked(fresh.client))
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    token = made.json()["token"]
    me = fresh.client.get("/v1/sign-in", headers=bearer(token))
    assert me.json() == {"account": BUYER.address, "expires_at": made.json()["expires_at"]}
    assert token.encode() not in b"".join(file.read_bytes() for file in _files(fresh))
    assert fresh.client.delete("/v1/sign-in", headers=bearer(token)).status_code == 204
    gone = fresh.client.get("/v1/sign-in", headers=bearer(token))
    assert (gone.status_code, gone.json()["type"]) == (401, "urn:steelyard:problem:sign-in")
    assert gone.headers["www-authenticate"].startswith("Bearer")


def _files(hub: RunningHub) -> Iterator[Path]:
    path = hub.hub.accounts.path
    yield from path.parent.glob(f"{path.name}*")


def test_the_file_of_accounts_is_for_its_owner_alone(fresh: RunningHub) -> None:
    sent(fresh.client, asked(fresh.client))
    modes = {file.name: file.stat().st_mode & 0o777 for file in _files(fresh)}
    assert len(modes) == 3 and set(modes.values()) == {0o600}


def test_a_message_signs_in_once(fresh: RunningHub) -> None:
    message = asked(fresh.client)
    assert sent(fresh.client, message).status_code == 201
    again = sent(fresh.client, message)
    assert (again.status_code, again.json()["what"]) == (403, "the nonce was used before")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"domain": "evil.example", "uri": "http://evil.example"}, "the message is for another domain"),
        ({"uri": "http://evil.example"}, "the message is for another URI"),
        ({"scheme": "ftp"}, "the message is for another scheme"),
        ({"chain_id": 1}, "the message is for another chain"),
        ({"nonce": "a" * 72}, "the nonce is not of this hub"),
        ({"issued_at": "2020-01-01T00:00:00Z"}, "Issued At of the message does not fit the time"),
        ({"expiration_time": "2020-01-01T00:00:00Z"}, "Expiration Time of the message does not fit the time"),
        ({"not_before": written(time.time() + 3_600)}, "Not Before of the message does not fit the time"),
    ],
)
def test_a_message_that_does_not_fit_opens_nothing(
    running: RunningHub, change: dict[str, object], what: str
) -> None:
    message = replace(asked(running.client), **change)  # type: ignore[arg-type]
    refused = sent(running.client, message)
    assert (refused.status_code, refused.json()["what"]) == (403, what)


def test_another_signer_opens_nothing_and_uses_no_nonce_up(running: RunningHub) -> None:
    message = asked(running.client)
    assert sent(running.client, message, by=NODE).status_code == 401
    for signature in ("0x", "0x00", "0x" + "ff" * 65):
        body = {"message": message.to_text(), "signature": signature}
        assert running.client.post("/v1/sign-in", json=body).status_code == 401
    assert sent(running.client, message).status_code == 201


def test_a_page_elsewhere_cannot_make_this_hub_take_its_name(running: RunningHub) -> None:
    for host in (
        "evil.example",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "",
        "127.0.0.1.evil.example",
    ):
        body = {"address": BUYER.address}
        answer = running.client.post("/v1/sign-in/nonce", json=body, headers={"host": host})
        assert answer.status_code in (400, 403), host


def test_a_hub_that_has_a_name_takes_messages_for_it_alone(tmp_path: Path) -> None:
    hub = replace(hub_in(tmp_path), public_url=parse_origin("https://hub.example/"))
    assert origin_of(hub, "127.0.0.1:1") == "https://hub.example"
    with served(create_app(hub)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        message = asked(client)
        assert (message.domain, message.uri) == ("hub.example", "https://hub.example")
        here = url.partition("://")[2]
        assert sent(client, replace(message, domain=here, uri=url)).status_code == 403
        assert sent(client, message).status_code == 201
    hub.database.close()
    hub.accounts.close()
    for odd in ("hub.example", "ftp://hub.example", "https://hub.example/path", "https://a@hub.example"):
        with pytest.raises(InputError):
            parse_origin(odd)


def test_an_account_has_so_many_sessions_and_each_its_hour(tmp_path: Path) -> None:
    database = AccountsDatabase(tmp_path / "a.db")
    sessions = Sessions(database)
    tokens = [sessions.open("0x01", now=1_000 + n)[0] for n in range(MAX_PER_ACCOUNT + 1)]
    other, _ = sessions.open("0x02", now=1_000)
    with pytest.raises(SignInError):
        sessions.of(tokens[0], now=1_010)
    assert sessions.of(tokens[1], now=1_010).account == "0x01"
    assert sessions.of(other, now=1_000 + SECONDS - 1).account == "0x02"
    with pytest.raises(SignInError):
        sessions.of(other, now=1_000 + SECONDS)
    database.close()


def test_a_nonce_is_good_once_for_a_while_and_for_its_own_hub() -> None:
    here = Nonces()
    nonce, end = here.new(now=1_000)
    with pytest.raises(RefusedError, match="not of this hub"):
        Nonces().use(nonce, now=1_000)
    with pytest.raises(RefusedError, match="too old"):
        here.use(nonce, now=end)
    here.use(nonce, now=end - 1)
    with pytest.raises(RefusedError, match="used before"):
        here.use(nonce, now=end - 1)
    later = 1_000 + 10 * nonces.SECONDS
    here.use(here.new(now=later)[0], now=later)
    assert len(here._used) == 1  # what is over is forgotten


def test_a_damaged_file_and_one_of_another_version_are_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(UnavailableError, match="does not open"):
        AccountsDatabase(path)
    assert path.read_bytes() == b"no database" * 1_000
    path.unlink()
    database = AccountsDatabase(path)
    with database.transaction() as connection:
        connection.execute("pragma user_version=9")
    database.close()
    with pytest.raises(UnavailableError, match="another version"):
        AccountsDatabase(path)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


def test_an_account_that_is_a_contract_signs_in_by_its_own_word(town: Town, tmp_path: Path) -> None:
    wallet = "0x00000000000000000000000000000000000012A1"
    yes = "0x7f1626ba7e" + "00" * 28 + "5f5260205ff3"  # answers every call with ERC-1271's magic value
    with running_hub(town, tmp_path) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for code, status in (("0x", 401), (yes, 201)):
            town.market.embedded.rpc.request("anvil_setCode", wallet, code)
            message = client.post("/v1/sign-in/nonce", json={"address": wallet}).json()["message"]
            answer = client.post("/v1/sign-in", json={"message": message, "signature": "0x" + "ab" * 100})
            assert answer.status_code == status
        assert answer.json()["account"] == wallet
