"""Raw pulls: kept verbatim, never twice, never lost, and never so that a later fold is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_resources.stores import raw_pulls
from aq_resources.stores.object_store import LocalObjectStore, ObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore, folder_name, folder_window
from aq_science.versions import fold_versions
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, answer, versions
from tests.laws import examples

LATER = [MIDNIGHT + DAY + n * HOUR for n in range(8)]


@pytest.fixture
def pulls(local: LocalObjectStore) -> RawPullStore:
    return RawPullStore(local, "airqino")


def days(first: int, last: int) -> Window:
    """March of 2024, both days included."""
    return Window.of_days(date(2024, 3, first), date(2024, 3, last))


def everything(pulls: RawPullStore) -> list[RawAnswer]:
    whole = Window.of_days(date(2000, 1, 1), date(2100, 1, 1))
    return [one for folder in pulls.folders(whole) for one in pulls.read(folder)]


@pytest.mark.parametrize(
    ("window", "name"),
    [
        pytest.param(days(1, 1), "date=2024-03-01", id="day"),
        pytest.param(days(1, 3), "span=2024-03-01..2024-03-03", id="days"),
        pytest.param(Window(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR), "date=2024-03-01", id="hour"),
        pytest.param(
            Window(MIDNIGHT + 23 * HOUR, MIDNIGHT + 25 * HOUR),
            "span=2024-03-01..2024-03-02",
            id="over-midnight",
        ),
    ],
)
def test_folder_is_named_for_the_days_it_covers(window: Window, name: str) -> None:
    assert folder_name(window) == name
    whole = folder_window(name)
    assert (whole.start, whole.end) == (
        window.start.replace(hour=0),
        Window.of_days(window.dates[-1], window.dates[-1]).end,
    )


@pytest.mark.parametrize("name", ["month=2024-03", "date=soon", "2024-03-01"])
def test_folder_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        folder_window(name)


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text(), status=st.integers(100, 599), params=st.dictionaries(st.text(), st.text()))
def test_answer_comes_back_verbatim(
    local: LocalObjectStore, body: str, status: int, params: dict[str, str]
) -> None:
    pulls = RawPullStore(local, f"n{abs(hash((body, status, str(params))))}")
    window = days(1, 1)
    given_answer = RawAnswer(
        "https://x/ü", params, (window.start, window.end), LATER[0], status, body
    )
    pulls.append([given_answer])
    assert everything(pulls)[-1] == given_answer


def test_pulls_are_kept_in_the_folder_and_file_of_their_name(store: ObjectStore) -> None:
    pulls = RawPullStore(store, "airqino")
    pulls.append([answer("a", pulled_at=LATER[0])])
    pulls.append([answer("b", window=days(1, 3), pulled_at=LATER[1])])
    assert store.keys("airqino") == [
        "airqino/raw_pulls/date=2024-03-01/20240302T000000000000Z.jsonl.zst",
        "airqino/raw_pulls/span=2024-03-01..2024-03-03/20240302T010000000000Z.jsonl.zst",
    ]
    assert pulls.folders(days(3, 3)) == ["span=2024-03-01..2024-03-03"]
    assert pulls.folders(days(4, 9)) == []
    assert [one.body for one in everything(pulls)] == ["a", "b"]


def test_networks_keep_to_themselves(local: LocalObjectStore) -> None:
    RawPullStore(local, "airqino").append([answer("a")])
    assert everything(RawPullStore(local, "openaq")) == []


def test_identical_answer_is_not_stored_again(pulls: RawPullStore) -> None:
    first = pulls.append([answer("a", pulled_at=LATER[0])])
    again = pulls.append([answer("a", pulled_at=LATER[1])])
    assert (first.answers, first.repeated, len(first.files)) == (1, 0, 1)
    assert (again.answers, again.repeated, again.files, again.size_bytes) == (0, 1, [], 0)
    assert [one.pulled_at for one in everything(pulls)] == [LATER[0]]


@pytest.mark.parametrize(
    "change",
    [
        {"body": "b"},
        {"status": 500},
        {"station": "s2"},
        {"page": "2"},
        {"window": Window(MIDNIGHT, MIDNIGHT + HOUR)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_answer_that_differs_in_anything_is_stored(pulls: RawPullStore, change: dict) -> None:
    pulls.append([answer("a", pulled_at=LATER[0])])
    stored = pulls.append([answer(**{"body": "a", **change}, pulled_at=LATER[1])])
    assert (stored.answers, stored.repeated) == (1, 0)


def test_answer_that_came_back_is_stored(pulls: RawPullStore) -> None:
    for body, when in zip("aba", LATER, strict=False):
        assert pulls.append([answer(body, pulled_at=when)]).answers == 1


def test_identical_answer_counts_where_an_hour_has_ended_since(pulls: RawPullStore) -> None:
    """An hour in progress at the first pull is a reading from the first pull after its end on."""
    ten = MIDNIGHT + 10 * HOUR
    minutes = {-5: 1, -2: 0, 5: 1, 50: 0, 14 * 60 + 1: 1, 30 * 60: 0}
    for after, stored in minutes.items():
        done = pulls.append([answer("a", pulled_at=ten + timedelta(minutes=after))])
        assert done.answers == stored, after


def test_identical_answer_counts_where_another_folder_spoke_since(pulls: RawPullStore) -> None:
    """The span's value would stay the newest although the day's pull has contradicted it."""
    pulls.append([answer("a", pulled_at=LATER[0])])
    pulls.append([answer("b", window=days(1, 3), pulled_at=LATER[1])])
    assert pulls.append([answer("a", pulled_at=LATER[2])]).answers == 1
    assert pulls.append([answer("a", pulled_at=LATER[3])]).repeated == 1


def test_identical_answer_counts_where_another_pull_was_under_way(pulls: RawPullStore) -> None:
    """A file that was begun before the day's pull, and holds an answer from after it."""

    def slow() -> Iterator[RawAnswer]:
        yield answer("1", window=days(1, 3), station="s1", pulled_at=LATER[0])
        pulls.append([answer("2", station="s2", pulled_at=LATER[1])])
        yield answer("1", window=days(1, 3), station="s2", pulled_at=LATER[2])

    pulls.append(slow())
    assert pulls.append([answer("2", station="s2", pulled_at=LATER[3])]).answers == 1


def test_another_folder_of_other_days_does_not_matter(pulls: RawPullStore) -> None:
    pulls.append([answer("a", pulled_at=LATER[0])])
    pulls.append([answer("b", window=days(2, 3), pulled_at=LATER[1])])
    assert pulls.append([answer("a", pulled_at=LATER[2])]).repeated == 1


def test_long_pull_is_cut_into_files(pulls: RawPullStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_pulls, "FILE_BYTES", 100)
    answers = [
        answer("x" * 60, station=f"s{n}", pulled_at=LATER[0].replace(second=n)) for n in range(5)
    ]
    stored = pulls.append(answers)
    assert (stored.answers, len(stored.files)) == (5, 3)
    assert everything(pulls) == answers


def test_each_folder_gets_its_own_file(pulls: RawPullStore) -> None:
    answers = [
        answer("a", pulled_at=LATER[0]),
        answer("b", window=days(2, 2), pulled_at=LATER[0]),
        answer("c", window=days(1, 2), pulled_at=LATER[1]),
    ]
    assert len(pulls.append(answers).files) == 3
    assert everything(pulls) == answers


def test_answers_before_a_failure_are_kept(pulls: RawPullStore) -> None:
    def broken_off() -> Iterator[RawAnswer]:
        yield answer("a", station="s1")
        yield answer("b", station="s2")
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError, match="gone"):
        pulls.append(broken_off())
    assert [one.body for one in everything(pulls)] == ["a", "b"]


def test_pull_of_the_same_microsecond_gets_a_name_of_its_own(pulls: RawPullStore) -> None:
    for body in "abc":
        assert pulls.append([answer(body, pulled_at=LATER[0])]).answers == 1
    assert [one.body for one in everything(pulls)] == ["a", "b", "c"]


def test_nothing_pulled_writes_nothing(pulls: RawPullStore, local: LocalObjectStore) -> None:
    assert pulls.append([]).files == []
    assert local.keys("airqino") == []


# What the store leaves out must not change what is later known.

# The windows of one pull follow each other; those of different pulls overlap as they like.
one_pull = st.tuples(
    st.sampled_from(
        [
            [days(1, 1)],
            [days(2, 2)],
            [days(1, 1), days(2, 2)],
            [days(1, 2)],
            [days(1, 3)],
            [days(1, 2), days(3, 3)],
        ]
    ),
    st.sampled_from([["s1"], ["s2"], ["s1", "s2"]]),
    st.lists(st.sampled_from(["1", "2"]), min_size=4, max_size=4),
)
Asked = tuple[list[Window], list[str], list[str]]


def told(answers: list[RawAnswer]) -> pl.DataFrame:
    """Every day of an answer's window has its body as value."""
    return fold_versions(
        versions(
            *(
                {
                    "station_id": one.url.rsplit("/", 1)[1],
                    "hour": datetime(day.year, day.month, day.day, tzinfo=MIDNIGHT.tzinfo),
                    "value_native": float(one.body),
                    "pulled_at": one.pulled_at,
                }
                for one in answers
                for day in one.covers.dates
            )
        )
    )


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(one_pull, max_size=6), st.integers(0, 10**9))
def test_fold_of_what_is_stored_is_the_fold_of_all_that_came(
    local: LocalObjectStore, history: list[Asked], number: int
) -> None:
    pulls = RawPullStore(local, f"n{number}-{abs(hash(str(history)))}")
    came: list[RawAnswer] = []
    for n, (windows, stations, bodies) in enumerate(history):
        requests = [(window, station) for window in windows for station in stations]
        answers = [
            answer(
                body,
                window=window,
                station=station,
                pulled_at=LATER[0].replace(minute=n, second=k),
            )
            for k, ((window, station), body) in enumerate(zip(requests, bodies, strict=False))
        ]
        pulls.append(answers)
        came += answers
    assert_frame_equal(told(everything(pulls)), told(came))


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(one_pull, st.integers(0, 7)), max_size=6), st.integers(0, 10**9))
def test_a_clock_that_steps_about_does_not_change_what_is_known(
    local: LocalObjectStore, history: list[tuple[Asked, int]], number: int
) -> None:
    """The last answer that came is the newest one, whatever the clock said."""
    pulls = RawPullStore(local, f"c{number}-{abs(hash(str(history)))}")
    came: list[RawAnswer] = []
    for n, ((windows, stations, bodies), hour) in enumerate(history):
        requests = [(window, station) for window in windows for station in stations]

        def received(at: datetime, asked: list = requests, said: list = bodies) -> list[RawAnswer]:
            return [
                answer(body, window=window, station=station, pulled_at=at.replace(microsecond=k))
                for k, ((window, station), body) in enumerate(zip(asked, said, strict=False))
            ]

        pulls.append(received(LATER[hour]))
        came += received(LATER[0].replace(minute=n))
    found = told(everything(pulls)).drop("pulled_at")
    assert_frame_equal(found, told(came).drop("pulled_at"))


def test_a_write_that_arrived_and_was_tried_again_is_stored_once(local: LocalObjectStore) -> None:
    class LostAcknowledgement(LocalObjectStore):
        """Stores, and hears of it only by being refused the second time."""

        def put(self, key: str, data: bytes, *, overwrite: bool = True) -> None:
            super().put(key, data, overwrite=overwrite)
            super().put(key, data, overwrite=overwrite)

    pulls = RawPullStore(LostAcknowledgement(local.root), "airqino")
    stored = pulls.append([answer("a")])
    assert (stored.answers, len(stored.files)) == (1, 1)
    assert [one.body for one in everything(pulls)] == ["a"]


def test_an_answer_s_place_in_the_order_is_not_when_it_came(pulls: RawPullStore) -> None:
    """After a clock that was ahead, the hour in progress is no reading yet."""
    ahead, now = MIDNIGHT + 20 * HOUR, MIDNIGHT + 5.5 * HOUR
    pulls.append([answer("first", pulled_at=ahead)])
    pulls.append([answer("second", pulled_at=now)])
    first, second = sorted(everything(pulls), key=lambda one: one.pulled_at)
    assert (first.body, second.body) == ("first", "second")
    assert second.pulled_at > ahead
    assert second.received_at == now
    assert second.readable == (MIDNIGHT, MIDNIGHT + 5 * HOUR)
    assert (first.received_at, first.readable) == (None, first.window)
    # The hour has ended since: the same answer counts anew.
    again = pulls.append([answer("second", pulled_at=now + HOUR)])
    assert (again.answers, again.repeated) == (1, 0)
