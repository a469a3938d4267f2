"""Made-up devices, as `aq devices simulate` has them, against the endpoint."""

from __future__ import annotations

from aq_sandbox.devices import KINDS, Fleet, Troubles, hostile_bodies
from tests.unit.serving.ingest.ingest_bench import NOW, IngestBench

SECOND = round(NOW.timestamp()) - 1


def test_a_fleet_sends_the_same_for_the_same_seed() -> None:
    assert Fleet(20, 3).second(SECOND) == Fleet(20, 3).second(SECOND)
    assert Fleet(20, 3).second(SECOND) != Fleet(20, 4).second(SECOND)
    assert {one["tag"] for one in Fleet(20, 3).second(SECOND)} == set(KINDS)


def test_all_that_it_sends_is_taken(bench: IngestBench) -> None:
    answer = bench.push(Fleet(200).second(SECOND))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 200})
    assert len({row[2] for row in bench.stored()}) == len(
        {n for k in KINDS.values() for n, *_ in k}
    )


def test_with_troubles_the_sound_messages_are_taken(bench: IngestBench) -> None:
    troubles = Troubles(1)
    fleet = Fleet(300)
    sent = [one for n in range(10) for one in troubles.apply(fleet.second(SECOND - n), SECOND)]
    answer = bench.push(sent)
    assert answer.status_code == 207
    refused = len(answer.json()["refused"])
    assert 0 < refused < len(sent) / 20
    assert answer.json()["accepted"] + refused == len(sent)
    assert troubles.waiting
    # Those sent twice are there twice, and one to whoever reads.
    assert len(bench.stored()) > len(set(bench.stored()))


def test_hostile_bodies_are_refused(bench: IngestBench) -> None:
    for body, headers in hostile_bodies(SECOND):
        named = {name.lower(): value for name, value in headers.items()}
        assert bench.push(body, **named).status_code in {401, 413, 422}
    assert bench.stored() == []
