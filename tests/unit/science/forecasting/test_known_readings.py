"""What a forecast may see: only what had been received by its issue time."""

from datetime import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_science.forecasting.known import known_readings
from aq_science.quality.core import NEIGHBOURS
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from tests.factories import DAY, HOUR, MIDNIGHT, versions

READ = ["station_id", "parameter", "hour", "value", "flag"]
H = [MIDNIGHT + n * HOUR for n in range(12)]

# Two hours, received at 01:00 and 02:00; the first is corrected from 1 to 9 at 05:00.
HISTORY = versions(
    {"hour": H[0], "value_native": 1.0, "pulled_at": H[1]},
    {"hour": H[1], "value_native": 2.0, "pulled_at": H[2]},
    {"hour": H[0], "value_native": 9.0, "pulled_at": H[5]},
)


def seen(
    issue_times: list[datetime], issued_at: datetime, history: pl.DataFrame = HISTORY
) -> dict[datetime, dict[datetime, float]]:
    """Values by hour, for every issue time."""
    today = hourly_readings(fold_versions(history), "airqino").select(READ)
    found = {}
    for times, known in known_readings("airqino", today, history, issue_times, issued_at, 20.0):
        assert known.columns == READ
        for when in times:
            assert when not in found
            found[when] = dict(known.select("hour", "value").iter_rows())
    return found


@pytest.mark.parametrize(
    ("issued_for", "expected"),
    [
        pytest.param(H[1], {H[0]: 1.0}, id="first-hour-just-received"),
        pytest.param(H[2], {H[0]: 1.0, H[1]: 2.0}, id="both"),
        pytest.param(H[4], {H[0]: 1.0, H[1]: 2.0}, id="before-the-correction"),
        pytest.param(H[5], {H[0]: 9.0, H[1]: 2.0}, id="as-the-correction-came"),
        pytest.param(H[9], {H[0]: 9.0, H[1]: 2.0}, id="after-it"),
    ],
)
def test_hindcast_sees_what_had_been_received(
    issued_for: datetime, expected: dict[datetime, float]
) -> None:
    assert seen([issued_for], MIDNIGHT + 10 * DAY) == {issued_for: expected}


def test_hindcast_sees_no_hour_that_had_not_ended() -> None:
    """Even if a network gave it early."""
    early = versions(
        {"hour": H[0], "value_native": 1.0, "pulled_at": H[1]},
        {"hour": H[3], "value_native": 4.0, "pulled_at": H[2]},
    )
    assert seen([H[3]], MIDNIGHT + 10 * DAY, early) == {H[3]: {H[0]: 1.0}}


def test_history_loaded_later_is_seen_as_it_is_now() -> None:
    """Nothing had been received by then: the readings of today stand for what there was."""
    loaded = HISTORY.with_columns(pulled_at=pl.col("pulled_at") + pl.duration(days=300))
    assert seen([H[2]], MIDNIGHT + 301 * DAY, loaded) == {H[2]: {H[0]: 9.0, H[1]: 2.0}}


def test_live_forecast_sees_the_readings_of_today() -> None:
    assert seen([H[2]], H[2]) == {H[2]: {H[0]: 9.0, H[1]: 2.0}}


def test_without_any_version_every_time_sees_the_readings_of_today() -> None:
    assert seen([H[2], H[3]], MIDNIGHT + DAY, versions()) == {H[2]: {}, H[3]: {}}


def test_every_issue_time_is_served_once() -> None:
    times = H[:8]
    assert seen(times, MIDNIGHT + 10 * DAY).keys() == set(times)


def test_many_issue_times_at_once_see_what_each_sees_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A high hour is suspect until the neighbour's, which shares it, has come in."""
    near = pl.DataFrame([("a", "b"), ("b", "a")], schema=NEIGHBOURS, orient="row")
    history = versions(
        *(
            {"station_id": name, "hour": H[n], "value_native": value, "pulled_at": H[n + late]}
            for name, late, high in (("a", 1, 900.0), ("b", 3, 850.0))
            for n, value in enumerate((20.0, 21.0, high, 20.0, 22.0, 20.0))
        )
    )
    times = H[2:10]
    together = _by_time(history, times, near)
    alone = {when: _by_time(history, [when], near)[when] for when in times}
    monkeypatch.setattr("aq_science.forecasting.known._TOGETHER", 30)
    in_turn = _by_time(history, times, near)
    for when in times:
        assert_frame_equal(together[when], alone[when])
        assert_frame_equal(together[when], in_turn[when])
    flags = {when: _flag(together[when], "a", H[2]) for when in times}
    assert flags == {
        when: None if when < H[3] else "suspect" if when < H[5] else "valid" for when in times
    }


def _by_time(
    history: pl.DataFrame, times: list[datetime], near: pl.DataFrame
) -> dict[datetime, pl.DataFrame]:
    today = hourly_readings(fold_versions(history), "airqino").select(READ)
    issued_at = MIDNIGHT + 10 * DAY
    made = known_readings("airqino", today, history, times, issued_at, 20.0, near)
    return {when: seen.sort("station_id", "hour") for whens, seen in made for when in whens}


def _flag(seen: pl.DataFrame, station: str, hour: datetime) -> str | None:
    flags = seen.filter(pl.col("station_id") == station, pl.col("hour") == hour)["flag"].to_list()
    return flags[0] if flags else None
