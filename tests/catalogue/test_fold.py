"""The fold: events to rows, the same however they are cut into batches, rolled back or stored in between."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.catalogue.apply import append, forget, refold, roll_back
from marketplace.catalogue.fold import Tables, fold
from marketplace.catalogue.record import from_row, to_json, to_row
from marketplace.catalogue.rows import Asset, Grant, Job, Participant, Row
from marketplace.catalogue.schema import Database, fetch
from marketplace.core.canonical import canonical
from marketplace.core.events import (
    AccessBought,
    AssetPublished,
    Event,
    JobFailed,
    JobFaulted,
    JobOpened,
    Position,
    Transfer,
    UnusedClaimed,
)
from marketplace.core.job import State

from .event_strategies import ACCOUNTS, ASSETS, CONTRACTS, DIGESTS, chains, place

AT = Position(1, 0, bytes(32), bytes(32))
PROVIDER, BUYER = ACCOUNTS[0], ACCOUNTS[1]


def fill(database: Database, *batches: list[Event]) -> None:
    """Fills it with these batches and nothing else: one database for all examples, for making one takes longer."""
    with database.write() as connection:
        forget(connection)
    for batch in batches:
        with database.write() as connection:
            append(connection, batch)


@given(chains())
def test_an_event_is_the_same_after_it_was_stored(events: list[Event]) -> None:
    rows = [to_row(event) for event in events]
    assert [from_row(row) for row in rows] == events
    assert [row.data.encode() for row in rows] == [canonical(to_json(event)) for event in events]


@given(chains())
def test_the_same_events_give_the_same_rows_and_none_of_them_stops_the_fold(events: list[Event]) -> None:
    def rows() -> dict[type[Row], set[Row]]:
        return {kind: set(rows) for kind, rows in fold(Tables(), events).changed().items()}

    assert rows() == rows()


few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(events=chains(), cut=st.integers(0, 30))
def test_batches_cut_anywhere_leave_the_rows_of_one_fold(
    database: Database, events: list[Event], cut: int
) -> None:
    fill(database, events[:cut], events[cut:])
    expected = {kind: set(rows) for kind, rows in fold(Tables(), events).changed().items()}
    with database.read() as connection:
        for kind, rows in expected.items():
            assert set(fetch(connection, kind)) == rows


@few
@given(events=chains(), fork=st.integers(0, 10), other=chains())
def test_a_reorganisation_leaves_what_the_new_branch_alone_would_have_left(
    database: Database, fresh: Database, events: list[Event], fork: int, other: list[Event]
) -> None:
    branch = place(other, first_block=fork + 1, salt=7)
    fill(database, events)
    with database.write() as connection:
        roll_back(connection, fork)
        append(connection, branch)
    fill(fresh, [event for event in events if event.at.block <= fork] + branch)
    assert database.dump() == fresh.dump()


@few
@given(events=chains())
def test_folding_again_from_what_was_stored_changes_nothing(database: Database, events: list[Event]) -> None:
    fill(database, events)
    before = database.dump()
    with database.write() as connection:
        refold(connection)
    assert database.dump() == before
    with database.write() as connection:
        forget(connection)
    assert all(rows == [] for rows in database.dump().values())


def job_story(*ends: Event) -> list[Event]:
    digest, job = DIGESTS[0], DIGESTS[1]
    return [
        Transfer(AT, CONTRACTS[0], "0x" + "0" * 40, PROVIDER, ASSETS[0]),
        AssetPublished(AT, CONTRACTS[0], ASSETS[0], PROVIDER, DIGESTS[3]),
        AccessBought(AT, CONTRACTS[1], digest, BUYER, PROVIDER, ASSETS[0], 100, 5, 20_000),
        JobOpened(AT, CONTRACTS[1], job, PROVIDER, BUYER, digest, 0, DIGESTS[2], DIGESTS[3], 100, 99),
        *ends,
    ]


def test_a_policy_fault_ends_the_grant_and_pays_the_fee_only_when_it_is_final() -> None:
    job = DIGESTS[1]
    tables = fold(Tables(), job_story(JobFaulted(AT, CONTRACTS[1], job, 2, 20, 80, DIGESTS[2], 150)))
    faulted, grant = tables.get(Job, job), tables.get(Grant, DIGESTS[0], BUYER)
    assert faulted and (faulted.phase, faulted.price, faulted.credited_buyer) == (State.faulted, 20, 80)
    assert grant and (grant.last_day, grant.jobs_opened) == (0, 1)

    fold(tables, [JobFailed(AT, CONTRACTS[1], job, 20, 0, DIGESTS[2])])
    fold(tables, [UnusedClaimed(AT, CONTRACTS[1], DIGESTS[0], BUYER, 4, 400)])
    failed, grant = tables.get(Job, job), tables.get(Grant, DIGESTS[0], BUYER)
    assert failed and (failed.phase, failed.price, failed.credited_provider) == (State.failed, 0, 20)
    assert grant and grant.jobs_paid == 1
    provider, buyer = tables.get(Participant, PROVIDER), tables.get(Participant, BUYER)
    assert provider and (provider.earned, provider.jobs_run, provider.owed) == (20, 1, 20)
    assert buyer and (buyer.spent, buyer.refunded, buyer.jobs_bought) == (500, 480, 1)


def test_an_asset_follows_its_transfers_and_counts_its_jobs() -> None:
    tables = fold(Tables(), job_story(Transfer(AT, CONTRACTS[0], PROVIDER, ACCOUNTS[2], ASSETS[0])))
    asset = tables.get(Asset, ASSETS[0])
    assert asset and (asset.owner, asset.publisher, asset.jobs) == (ACCOUNTS[2], PROVIDER, 1)


def test_a_job_of_no_known_grant_is_not_invented() -> None:
    opened = job_story()[-1]
    tables = fold(Tables(), [opened])
    assert tables.get(Job, DIGESTS[1]) is None
    assert tables.changed() == {}
