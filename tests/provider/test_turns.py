"""Places in the queue and what is said of them: in order, rounded, few words for many jobs, nothing of single runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compute.provider.journal import Entry, Step
from compute.provider.turns import Told, Turn, rounded_up, seconds_with_those_ahead, turns
from marketplace.core.job import Request

FAST, SLOW = b"\1" * 32, b"\2" * 32


def entry(number: int, algorithm: bytes = FAST, step: Step = Step.run) -> Entry:
    request = Request(b"\5" * 32, "0x" + "11" * 20, number, algorithm, b"\6" * 32)
    return Entry(number.to_bytes(32), number, step, 7, 2**33, request, {})


DURATIONS = {(FAST, 7): [1.0, 2.0, 30.0], (SLOW, 7): [100.0]}


def test_jobs_have_places_in_their_order_and_those_that_wait_for_people_have_none() -> None:
    entries = [entry(1), entry(2, step=Step.approval), entry(3, SLOW), entry(4), entry(5, step=Step.window)]
    found = turns(entries, DURATIONS, running=[entries[0].job_id])
    assert found == {entries[2].job_id: Turn(1, 120), entries[3].job_id: Turn(2, 120)}


def test_without_past_runs_nothing_is_estimated_and_an_unknown_algorithm_counts_as_the_usual_one() -> None:
    assert turns([entry(1)], {}, running=())[entry(1).job_id] == Turn(1, 0)
    unknown = entry(1, b"\3" * 32)
    assert turns([unknown], {(FAST, 7): [40.0]}, running=())[unknown.job_id] == Turn(1, 40)


def test_what_a_job_needs_counts_those_opened_before_it_and_no_others() -> None:
    entries = [entry(1, SLOW), entry(2, step=Step.review), entry(3, step=Step.judge), entry(4, SLOW)]
    assert seconds_with_those_ahead(entries[2], entries, DURATIONS) == 102.0
    assert seconds_with_those_ahead(entries[0], entries, DURATIONS) == 100.0


@given(st.floats(0, 1e6))
def test_estimates_are_rounded_up_to_coarse_steps(seconds: float) -> None:
    found = rounded_up(seconds)
    assert seconds <= found <= seconds + 1_800
    assert found % 5 == 0
    assert found == rounded_up(found)


def test_a_thousand_places_are_told_in_few_words_and_the_near_ones_each() -> None:
    told, words = Told(), []
    job = entry(1).job_id
    for position in range(1_000, 0, -1):
        words += [turn.position for turn in told.news({job: Turn(position, 5)}).values()]
    assert len(words) <= 14
    assert words[-3:] == [3, 2, 1]
