"""Ordering a job: what does not fit is refused before a use is spent; what is sent, the node alone can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute.provider.judge import Verdict, judge
from marketplace import jobs, purchase
from marketplace.core import bundle
from marketplace.core.cid import Cid
from marketplace.core.envelope import message_recipients, open_message
from marketplace.core.policy import Purpose
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError
from marketplace.keys import Keyring
from marketplace.lookup import listing_of
from marketplace.results import open_spec
from marketplace.storage import get_document
from tests.flows.conftest import COUNT, Stall
from tests.support.buyers import Buyer, new_buyer
from tests.support.environments import environments
from tests.support.works import COUNT_ROWS, algorithm

MANIFEST = bundle.unpack(algorithm("own", COUNT_ROWS))["algorithm.toml"]


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return Keyring(tmp_path_factory.mktemp("home") / "keys", lambda: "a passphrase")


@pytest.fixture(scope="module")
def buyer(stall: Stall) -> Buyer:
    found = new_buyer(stall.town, "of jobs")
    found.buy(stall.dataset, 5)
    return found


def folder_with(tmp_path: Path, **files: bytes) -> Path:
    folder = tmp_path / "own"
    (folder / "lib").mkdir(parents=True)
    (folder / "algorithm.toml").write_bytes(MANIFEST)
    (folder / "main.py").write_bytes(COUNT_ROWS.encode())
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def start(
    stall: Stall, buyer: Buyer, keyring: Keyring, algorithm: jobs.Algorithm, **changes: object
) -> jobs.Order:
    access = purchase.usable_access(stall.town.market.chain, buyer.account.address, stall.dataset.token)
    fields: dict[str, object] = {
        "offer_digest": access.offer_digest, "grant": access.grant, "algorithm": algorithm,
        "listing": listing_of(stall.town.market.chain, stall.town.store, stall.dataset.token),
        "parameters": {}, "purpose": Purpose.research,
    }  # fmt: skip
    return jobs.start(stall.town.market.chain, stall.town.store, keyring, buyer.account, **(fields | changes))  # type: ignore[arg-type]


def listed(stall: Stall) -> jobs.Algorithm:
    listing = listing_of(stall.town.market.chain, stall.town.store, stall.dataset.token)
    return jobs.listed_algorithm(stall.town.store, listing, "count")


def test_an_order_can_be_read_by_node_and_buyer_and_is_what_the_node_permits(
    stall: Stall, buyer: Buyer, keyring: Keyring
) -> None:
    order = start(stall, buyer, keyring, listed(stall))
    chain, store, works = stall.town.market.chain, stall.town.store, stall.works
    verdict = judge(
        chain, store, works.vault, environments(), order.request, works.private, at=chain.block_time()
    )
    assert isinstance(verdict, Verdict)
    assert verdict.order.spec == order.spec
    spec, key = open_spec(store, keyring, order.request.spec)
    assert (spec, "0x" + key.public.hex()) == (order.spec, order.spec.result_key)
    assert len(message_recipients(get_document(store, order.request.spec))) == 2
    with pytest.raises(RefusedError):
        open_message(get_document(store, order.request.spec), os.urandom(32))


def test_each_job_has_a_result_key_of_its_own(stall: Stall, buyer: Buyer, keyring: Keyring) -> None:
    first, second = (start(stall, buyer, keyring, listed(stall)) for _ in range(2))
    assert first.spec.result_key != second.spec.result_key
    assert (first.request.index + 1, first.request.spec == second.request.spec) == (
        second.request.index,
        False,
    )


def test_an_algorithm_of_ones_own_travels_sealed(
    stall: Stall, buyer: Buyer, keyring: Keyring, tmp_path: Path
) -> None:
    own = jobs.own_algorithm(folder_with(tmp_path, secret=b"a trade secret of the buyer"))
    order = start(stall, buyer, keyring, own)
    assert order.spec.algorithm.key is not None
    verdict = judge(
        stall.town.market.chain, stall.town.store, stall.works.vault, environments(), order.request,
        stall.works.private, at=stall.town.market.chain.block_time(),
    )  # fmt: skip
    assert isinstance(verdict, Verdict) and verdict.permit.needs_approval
    blocks = list(stall.town.folder._folder.rglob("baf*"))
    assert not any(b"a trade secret of the buyer" in path.read_bytes() for path in blocks)


def test_parameters_that_do_not_fit_cost_no_use_and_make_no_key(
    stall: Stall, buyer: Buyer, keyring: Keyring
) -> None:
    keys = keyring.sealing_keys()
    grant = stall.town.market.chain.grant(stall.dataset.offer_digest, buyer.account.address)
    with pytest.raises(InputError, match="`depth` is unknown"):
        start(stall, buyer, keyring, listed(stall), parameters={"depth": 1})
    assert keyring.sealing_keys() == keys
    assert stall.town.market.chain.grant(stall.dataset.offer_digest, buyer.account.address) == grant


def test_an_environment_that_the_listing_does_not_offer_costs_no_use_and_no_gas(
    stall: Stall, buyer: Buyer, keyring: Keyring, tmp_path: Path
) -> None:
    chain, address = stall.town.market.chain, buyer.account.address
    folder, keys, ether = folder_with(tmp_path), keyring.sealing_keys(), chain.ether(address)
    (folder / "algorithm.toml").write_bytes(MANIFEST.replace(b'"python-ml"', b'"python-gpu"'))
    with pytest.raises(RefusedError, match="got python-gpu; expected python-ml@"):
        start(stall, buyer, keyring, jobs.own_algorithm(folder))
    assert (keyring.sealing_keys(), chain.ether(address)) == (keys, ether)


def test_a_listed_algorithm_goes_by_its_name_or_its_digest_and_nothing_else(stall: Stall) -> None:
    listing = listing_of(stall.town.market.chain, stall.town.store, stall.dataset.token)
    digest = bundle.digest(COUNT).hex()
    for name in ("count", digest, "0x" + digest):
        assert jobs.listed_algorithm(stall.town.store, listing, name).data == COUNT
    for name in ("Count", "", "0x", digest[:-1], "thief"):
        with pytest.raises(NotFoundError, match="lists no such algorithm"):
            jobs.listed_algorithm(stall.town.store, listing, name)


def test_a_listed_bundle_that_the_gateway_changed_is_refused(stall: Stall) -> None:
    listing = listing_of(stall.town.market.chain, stall.town.store, stall.dataset.token)
    path = stall.town.folder.path_of(listing.algorithms[0].cid)
    good = path.read_bytes()
    try:
        path.write_bytes(good.replace(b"main.py", b"evil.py"))
        with pytest.raises(IntegrityError):
            jobs.listed_algorithm(stall.town.store, listing, "count")
    finally:
        path.write_bytes(good)


def test_a_folder_is_packed_alike_wherever_it_lies_without_what_python_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = folder_with(tmp_path / "a"), folder_with(tmp_path / "b")
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "main.pyc").write_bytes(b"compiled")
    assert jobs.own_algorithm(one).digest == jobs.own_algorithm(two).digest
    assert Cid.of("raw", jobs.own_algorithm(one).data).digest == jobs.own_algorithm(one).digest


def test_a_folder_without_a_manifest_is_no_algorithm(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("/dev/null")):
        with pytest.raises(InputError, match="no algorithm there"):
            jobs.own_algorithm(path)


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "broken link", "fifo"])
def test_a_folder_with_anything_but_plain_files_is_refused(tmp_path: Path, kind: str) -> None:
    folder = folder_with(tmp_path)
    targets = {"link to a file": "/etc/passwd", "link to a folder": "/etc", "broken link": "/nowhere"}
    if kind == "fifo":
        os.mkfifo(folder / "odd")
    else:
        (folder / "odd").symlink_to(targets[kind])
    with pytest.raises(InputError, match="plain files only"):
        jobs.own_algorithm(folder)


def test_a_folder_with_too_many_files_is_refused_without_reading_them_all(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    for number in range(bundle.MAX_FILES):
        (folder / "lib" / f"{number}.py").touch()
    with pytest.raises(InputError, match="too many files"):
        jobs.own_algorithm(folder)


def test_a_folder_with_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="too large"):
        jobs.own_algorithm(folder)


@pytest.mark.parametrize("manifest", [b"", b"\xff", b"name = 1", MANIFEST.replace(b"main.py", b"../main.py")])
def test_a_folder_with_a_bad_manifest_is_refused(tmp_path: Path, manifest: bytes) -> None:
    with pytest.raises(InputError):
        jobs.own_algorithm(folder_with(tmp_path, **{"algorithm.toml": manifest}))


def test_the_jobs_of_a_buyer_are_listed_oldest_first(stall: Stall) -> None:
    buyer = new_buyer(stall.town, "with two jobs")
    buyer.buy(stall.dataset, 2)
    opened = [buyer.open(stall.dataset, b"\1" * 32, b"\2" * 32).job_id for _ in range(2)]
    assert [
        event.job_id for event in jobs.opened_by(stall.town.market.chain, buyer.account.address)
    ] == opened


def test_a_parameter_that_names_no_column_is_refused_before_a_use_is_spent(
    stall: Stall, buyer: Buyer, keyring: Keyring, tmp_path: Path
) -> None:
    schema = (
        b'[parameters]\ntype = "object"\n[parameters.properties.target]\ntype = "string"\nformat = "column"\n'
    )
    manifest = MANIFEST.split(b"[parameters]")[0] + schema
    own = jobs.own_algorithm(folder_with(tmp_path, **{"algorithm.toml": manifest}))
    chain = stall.town.market.chain
    before = purchase.usable_access(chain, buyer.account.address, stall.dataset.token).grant.jobs_opened
    with pytest.raises(InputError, match="`target` names no column of the dataset"):
        start(stall, buyer, keyring, own, parameters={"target": "no such column"})
    after = purchase.usable_access(chain, buyer.account.address, stall.dataset.token).grant.jobs_opened
    assert after == before
