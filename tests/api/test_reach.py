"""Where webhooks may not go: this machine and private networks, in whatever spelling, behind whatever name."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from marketplace.accounts.courier import Courier
from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.mail import Letter, Mail, Sent
from marketplace.accounts.reach import Endpoint, Reach, is_public, parse_network
from marketplace.accounts.webhooks import Webhooks
from marketplace.errors import InputError, RefusedError, UnavailableError
from tests.support.receivers import Receiver, receiving

LOOPBACK = (parse_network("127.0.0.0/8"),)

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "fe80::1", "fe80::1%eth0", "fec0::1",
    "fc00::1", "fd00:ec2::254", "ff02::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    reach = Reach(resolve=lambda host, port: [address])
    with pytest.raises(RefusedError, match="private addresses"):
        reach.address(Endpoint.parse("https://receiver.example/"))
    with pytest.raises(RefusedError, match="private addresses"):  # nor beside a good one
        Reach(resolve=lambda host, port: ["93.184.215.14", address]).address(
            Endpoint.parse("https://a.example")
        )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:7f00:1]",
        "0",
    ],
)
def test_no_spelling_of_this_machine_is_reached(host: str) -> None:
    with pytest.raises((RefusedError, InputError, UnavailableError)):
        Reach().address(Endpoint.parse(f"https://{host}/"))


def test_public_addresses_are_reached_over_tls_alone() -> None:
    for address in ("93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14"):
        reach = Reach(resolve=lambda host, port, found=address: [found])
        assert ipaddress.ip_address(reach.address(Endpoint.parse("https://a.example")))
        with pytest.raises(RefusedError, match="over https"):
            reach.address(Endpoint.parse("http://a.example"))
    assert is_public(ipaddress.ip_address("8.8.8.8"))


def test_an_operators_network_is_reached_and_no_other() -> None:
    reach = Reach(LOOPBACK)
    assert reach.address(Endpoint.parse("http://127.0.0.1:1/x")) == "127.0.0.1"
    for url in ("http://10.0.0.1", "https://[::1]", "http://93.184.215.14"):
        with pytest.raises(RefusedError):
            reach.address(Endpoint.parse(url))
    with pytest.raises(InputError):
        parse_network("127.0.0.1/8")


@pytest.mark.parametrize(
    "url",
    [
        "", "a", "//a.example", "ftp://a.example", "file:///etc/passwd", "https://", "https:///x", "https://a b.ex",
        "https://user@a.example", "https://user:pw@a.example", "https://a.example#x", "https://a.example:0",
        "https://a.example:99999", "https://a.example:x", "https://a.example\\@b.example", "https://a.example/\r\nx: y",
        "https://\u0430.example", "https://a.example/" + "x" * 500, "https://[::1", "https://[fe80::1%25eth0]/",
        "https://a_b.example%2f@c", "https://%61.example",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        Endpoint.parse(url)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A receiver's TLS for `name`, and a hub's that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(secret + text)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    client = ssl.create_default_context(cadata=text.decode())
    return server, client


def delivered(folder: Path, url: str, reach: Reach, tls: ssl.SSLContext) -> Sent:
    """What became of one message after its first attempt."""
    database = AccountsDatabase(folder / "a.db")
    hook = Webhooks(database).add("0x01", url, ("job.opened",), (), None, now=0)
    mail = Mail(database)
    mail.post(Letter(hook.id, "webhook.test", None, b"{}"), now=0)

    async def until_tried() -> Sent:
        task = asyncio.create_task(Courier(mail, reach, tls=tls).run(tick=0.02))
        try:
            async with asyncio.timeout(15):
                while True:
                    (sent,) = mail.of(hook.id, after=None, limit=1)
                    if sent.attempts:
                        return sent
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait([task])

    try:
        return asyncio.run(until_tried())
    finally:
        database.close()


class Answers:
    """A name server that answers one thing first and another later."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


def test_a_name_is_looked_up_once_and_its_certificate_is_still_checked(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "receiver.example")
    with receiving(server) as receiver:
        names = Answers("127.0.0.1", "10.9.9.9")
        url = f"https://receiver.example:{receiver.port}/hook"
        sent = delivered(tmp_path, url, Reach(LOOPBACK, names), client)
        assert (sent.state, sent.status, names.asked) == ("delivered", 204, 1)
        assert receiver.got[0][1]["host"] == f"receiver.example:{receiver.port}"


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
def test_a_receiver_with_another_names_certificate_gets_nothing(tmp_path: Path, name: str) -> None:
    server, client = certificate(tmp_path, "receiver.example")
    with receiving(server) as receiver:
        url = f"https://{name}:{receiver.port}/"
        sent = delivered(tmp_path, url, Reach(LOOPBACK, Answers("127.0.0.1")), client)
        assert (sent.state, sent.error, receiver.got) == ("failed", "ConnectError", [])


def test_a_name_that_moves_to_this_machine_after_it_was_registered_is_not_followed(tmp_path: Path) -> None:
    with receiving() as receiver:
        assert not _reached(tmp_path, receiver, Answers("127.0.0.1"))


def _reached(folder: Path, receiver: Receiver, names: Answers) -> bool:
    _, client = certificate(folder, "receiver.example")
    sent = delivered(folder, f"https://receiver.example:{receiver.port}/", Reach(resolve=names), client)
    assert sent.error and "private addresses" in sent.error
    return bool(receiver.got)
