"""Tidying raw pulls: fewer files, every answer, for whoever reads, appends or tidies meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_resources.stores import raw_pulls
from aq_resources.stores.object_store import LocalObjectStore, MissingObject, ObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, answer
from tests.laws import examples
from tests.unit.resources.test_raw_pulls import LATER, days, everything, one_pull, told

pytestmark = pytest.mark.server

numbers = count()
# After every day the tests speak of.
AFTERWARDS = MIDNIGHT + 10 * DAY
FOLDER = "date=2024-03-01"


@pytest.fixture
def pulls(local: LocalObjectStore) -> RawPullStore:
    return RawPullStore(local, "airqino")


def received(one: RawAnswer) -> datetime:
    return one.pulled_at


def append(pulls: RawPullStore, *bodies: str) -> list[RawAnswer]:
    """Pulls of one station, an hour apart, each of its own file."""
    given = [answer(body, pulled_at=when) for body, when in zip(bodies, LATER, strict=False)]
    for one in given:
        assert pulls.append([one]).answers == 1
    return given


def test_many_small_files_become_one(store: ObjectStore) -> None:
    pulls = RawPullStore(store, "airqino")
    given = append(pulls, *"abcde")
    other = answer("x", window=days(1, 3), pulled_at=LATER[5])
    pulls.append([other])
    done = pulls.tidy(AFTERWARDS)
    assert (done.folders, done.files_before, done.files_after) == (1, 6, 2)
    assert done.bytes_after == sum(store.sizes("airqino").values()) < done.bytes_before
    assert (done.copies_dropped, done.folders_left) == (0, 0)
    assert len(store.keys(f"airqino/raw_pulls/{FOLDER}")) == 1
    assert everything(pulls) == [*given, other]
    assert pulls.tidy(AFTERWARDS).folders == 0


def test_no_answer_is_newer_than_its_file_s_name(pulls: RawPullStore) -> None:
    append(pulls, *"abc")
    for _ in range(3):
        pulls.tidy(AFTERWARDS)
        (key,) = pulls.store.keys(pulls.root)
        newest = max(one.pulled_at for one in everything(pulls))
        assert timedelta(0) <= raw_pulls._received(key) - newest < timedelta(milliseconds=1)
        pulls.append([answer("d", pulled_at=newest + HOUR)])
        pulls.append([answer("e", pulled_at=newest + 2 * HOUR)])


def test_folders_whose_days_ended_later_are_left_alone(pulls: RawPullStore) -> None:
    for when in LATER[:2]:
        for window in (days(1, 1), days(2, 2), days(1, 3)):
            pulls.append([answer(f"{when}", window=window, pulled_at=when)])
    assert pulls.tidy(MIDNIGHT + 2 * DAY).folders == 2
    assert len(pulls.store.keys(pulls.root)) == 1 + 1 + 2


def test_a_night_s_work_is_bounded_and_begins_with_the_oldest(pulls: RawPullStore) -> None:
    for when in LATER[:3]:
        for day in (3, 1, 2):
            pulls.append([answer(f"{when}", window=days(day, day), pulled_at=when)])
    done = pulls.tidy(AFTERWARDS, limit=2)
    assert (done.folders, done.folders_left) == (2, 1)
    names = [key.split("/")[-2] for key in pulls.store.keys(pulls.root)]
    assert [names.count(f"date=2024-03-0{n}") for n in (1, 2, 3)] == [1, 1, 3]
    assert pulls.tidy(AFTERWARDS, limit=2).folders == 1


def test_merged_files_stay_of_a_size_that_fits_into_memory(
    pulls: RawPullStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = append(pulls, *(sha256(bytes([n])).hexdigest() * 9 for n in range(8)))
    largest = max(pulls.store.sizes(pulls.root).values())
    monkeypatch.setattr(raw_pulls, "MERGED_BYTES", 3 * largest)
    for _ in range(8):
        pulls.tidy(AFTERWARDS)
        assert everything(pulls) == given
    sizes = pulls.store.sizes(pulls.root)
    assert 1 < len(sizes) < 8, sizes
    assert max(sizes.values()) <= 3 * largest


class Dying(LocalObjectStore):
    """Ends at the n-th change of the store."""

    left = 0

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def put(self, key: str, data: bytes, *, overwrite: bool = True) -> None:
        self._step()
        super().put(key, data, overwrite=overwrite)

    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)


def test_killed_at_any_point_it_loses_nothing_and_is_finished_later(
    pulls: RawPullStore, local: LocalObjectStore
) -> None:
    given = append(pulls, *"abcd")
    dying = Dying(local.root)
    copies = 0
    for left in range(6):
        dying.left = left
        try:
            copies += RawPullStore(dying, "airqino").tidy(AFTERWARDS).copies_dropped
        except KeyboardInterrupt:
            assert sorted(everything(pulls), key=received) == given
    assert copies > 0
    assert len(local.keys(pulls.root)) == 1
    assert sorted(everything(pulls), key=received) == given


class Meanwhile(LocalObjectStore):
    """Lets something happen just before an object is read."""

    def __init__(self, store: LocalObjectStore, happens: Callable[[], object], at: int) -> None:
        super().__init__(store.root)
        self.happens = happens
        self.at = at

    def get(self, key: str) -> bytes:
        self.at -= 1
        if self.at == -1:
            self.happens()
        return super().get(key)


@pytest.mark.parametrize("at", range(4))
def test_a_reader_sees_every_answer_once_while_files_are_merged(
    pulls: RawPullStore, local: LocalObjectStore, at: int
) -> None:
    given = append(pulls, *"abcd")
    store = Meanwhile(local, lambda: pulls.tidy(AFTERWARDS), at)
    assert list(RawPullStore(store, "airqino").read(FOLDER)) == given


@pytest.mark.parametrize("at", range(4))
def test_two_that_tidy_at_once_lose_nothing(
    pulls: RawPullStore, local: LocalObjectStore, at: int
) -> None:
    given = append(pulls, *"abcd")
    store = Meanwhile(local, lambda: pulls.tidy(AFTERWARDS), at)
    RawPullStore(store, "airqino").tidy(AFTERWARDS)
    assert everything(pulls) == given
    pulls.tidy(AFTERWARDS)
    assert len(local.keys(pulls.root)) == 1


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("later", [LATER[6], LATER[3]], ids=["later", "in the same instant"])
def test_a_pull_that_arrives_meanwhile_is_kept(
    pulls: RawPullStore, local: LocalObjectStore, at: int, later: datetime
) -> None:
    given = append(pulls, *"abcd")
    new = answer("e", pulled_at=later)
    store = Meanwhile(local, lambda: pulls.append([new]), at)
    RawPullStore(store, "airqino").tidy(AFTERWARDS)
    kept = sorted(everything(pulls), key=received)
    assert [one.body for one in kept] == [*(one.body for one in given), "e"]


def test_an_object_that_is_listed_and_cannot_be_read_is_an_error(
    pulls: RawPullStore, local: LocalObjectStore
) -> None:
    append(pulls, *"ab")

    class Broken(LocalObjectStore):
        def get(self, key: str) -> bytes:
            raise MissingObject(key)

    with pytest.raises(MissingObject):
        list(RawPullStore(Broken(local.root), "airqino").read(FOLDER))


def known(pulls: RawPullStore, at: datetime | None) -> pl.DataFrame:
    return told([one for one in everything(pulls) if at is None or one.pulled_at <= at])


Pull = tuple[list[Window], list[str], list[str]]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(one_pull, st.booleans()), max_size=6),
    st.integers(-1, 7 * 60),
)
def test_whatever_is_known_at_any_time_stays_the_same(
    local: LocalObjectStore, history: list[tuple[Pull, bool]], minute: int
) -> None:
    """Two stores of the same pulls; one is tidied now and then, and at the end."""
    number = next(numbers)
    plain, tidied = (RawPullStore(local, f"{kind}{number}") for kind in ("plain", "tidied"))
    for n, ((windows, stations, bodies), tidy) in enumerate(history):
        requests = [(window, station) for window in windows for station in stations]
        answers = [
            answer(
                body, window=window, station=station, pulled_at=LATER[n] + timedelta(microseconds=k)
            )
            for k, ((window, station), body) in enumerate(zip(requests, bodies, strict=False))
        ]
        for pulls in (plain, tidied):
            pulls.append(answers)
        if tidy:
            tidied.tidy(AFTERWARDS)
    before = tidied.tidy(AFTERWARDS).files_before
    assert len(tidied.store.keys(tidied.root)) <= before
    assert len(tidied.store.keys(tidied.root)) == len(tidied.store.folders(tidied.root))
    for as_known_at in (None, LATER[0] + minute * timedelta(minutes=1)):
        known = [
            told(
                [
                    one
                    for one in everything(pulls)
                    if not as_known_at or one.pulled_at <= as_known_at
                ]
            )
            for pulls in (plain, tidied)
        ]
        assert_frame_equal(*known)
