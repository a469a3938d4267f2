"""A value that its network takes back no longer counts, and stays in what was known before."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest

from aq_resources.network_client import NetworkClient, Parsed
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.averages import daily_averages
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions, with_withdrawals
from aq_science.windows import HOUR, Window

DAY = date(2026, 1, 10)
WINDOW = Window.of_days(DAY, DAY)
FIRST = WINDOW.end + 2 * HOUR
LATER = FIRST + timedelta(days=30)
BAD = WINDOW.start + 5 * HOUR
# Hours, and what each has: a value, None for an explicit null, or nothing at all.
Hours = dict[datetime, Any]


def all_day(**changed: Any) -> Hours:
    """24 hours of 12, of which the bad one has another value; `gone=True` leaves it out."""
    hours: Hours = {WINDOW.start + n * HOUR: 12.0 for n in range(24)}
    if changed.get("gone"):
        del hours[BAD]
    else:
        hours[BAD] = changed.get("bad", 12.0)
    return hours


def airqino(hours: Hours) -> tuple[str, str, dict[str, str]]:
    rows = [{"timestamp": f"{at:%Y-%m-%d %H:%M:%S}", "PM2.5": v} for at, v in hours.items()]
    return "/v3/getStationHourlyAvg/1", as_json({"header": {}, "data": rows}), {}


def airqo(hours: Hours) -> tuple[str, str, dict[str, str]]:
    records = [
        {
            "device": "1",
            "time": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
            "frequency": "hourly",
            "site_id": "s1",
            "pm2_5": {"value": 99.0, "calibratedValue": v},
        }
        for at, v in hours.items()
    ]
    body = as_json({"success": True, "measurements": records})
    return "/api/v2/devices/measurements/cohorts/c1", body, {}


def irceline(hours: Hours) -> tuple[str, str, dict[str, str]]:
    values = [
        {"timestamp": int((at + HOUR).timestamp()) * 1000, "value": v} for at, v in hours.items()
    ]
    asked = {"7": {"station": "1", "phenomenon": "Particulate Matter < 2.5 µm", "uom": "µg/m³"}}
    params = {"series": msgspec.json.encode(asked).decode()}
    return "/sos/api/v1/timeseries/getData", as_json({"7": {"values": values}}), params


def openaq(hours: Hours) -> tuple[str, str, dict[str, str]]:
    rows = [
        {
            "value": v,
            "parameter": {"id": 2, "name": "pm25", "units": "µg/m³"},
            "period": {
                "datetimeFrom": {"utc": at.isoformat()},
                "datetimeTo": {"utc": (at + HOUR).isoformat()},
            },
            "coverage": {"percentCoverage": 100.0},
        }
        for at, v in hours.items()
    ]
    return "/v3/sensors/71/hours", as_json({"results": rows}), {"limit": "1000", "page": "1"}


def as_json(body: object) -> str:
    return msgspec.json.encode(body).decode()


BODIES = {"airqino": airqino, "airqo": airqo, "irceline": irceline, "openaq": openaq}
LISTED = RawAnswer(
    "https://n.example/v3/locations/1",
    {},
    (WINDOW.start, WINDOW.end),
    FIRST,
    200,
    as_json(
        {
            "results": [
                {
                    "id": 1,
                    "timezone": "UTC",
                    "sensors": [
                        {"id": 71, "parameter": {"id": 2, "name": "pm25", "units": "µg/m³"}}
                    ],
                }
            ]
        }
    ),
)


def read(network: str, *told: tuple[datetime, Hours]) -> Parsed:
    """Answers received at these times, parsed by the network's client."""
    config = NetworkConfig(name=network, start_date=date(2020, 1, 1), stations=("1",))
    client: NetworkClient = create_client(config, Settings(), lambda: LATER)
    answers = [LISTED] if network == "openaq" else []
    for at, hours in told:
        path, body, params = BODIES[network](hours)
        window = (WINDOW.start, WINDOW.end)
        answers.append(RawAnswer(f"https://n.example{path}", params, window, at, 200, body))
    return client.parse(answers)


def as_known(parsed: Parsed, at: datetime = LATER) -> pl.DataFrame:
    versions = with_withdrawals(parsed.versions, parsed.absences, parsed.whole)
    return hourly_readings(fold_versions(versions, as_known_at=at), "n")


def mean_of(readings: pl.DataFrame) -> tuple[float, int]:
    [day] = daily_averages(readings, {}, (DAY, DAY)).to_dicts()
    return day["mean"], day["hours_valid"]


NETWORKS = pytest.mark.parametrize("network", sorted(BODIES))


@NETWORKS
def test_a_null_takes_a_value_back(network: str) -> None:
    parsed = read(network, (FIRST, all_day(bad=480.0)), (LATER, all_day(bad=None)))
    now = as_known(parsed)
    assert mean_of(now) == (12.0, 23)
    [row] = now.filter(pl.col("hour") == BAD).to_dicts()
    assert (row["value"], row["status"], row["flag"]) == (None, "withdrawn", "missing")
    assert (row["reasons"], row["revision"], row["pulled_at"]) == (["withdrawn"], 1, LATER)
    # Before it was taken back it was known.
    [before] = as_known(parsed, FIRST).filter(pl.col("hour") == BAD).to_dicts()
    assert (before["value"], before["status"]) == (480.0, None)


@NETWORKS
def test_a_code_in_its_place_does_not_count(network: str) -> None:
    parsed = read(network, (FIRST, all_day(bad=480.0)), (LATER, all_day(bad=-9999.0)))
    assert mean_of(as_known(parsed)) == (12.0, 23)


@NETWORKS
def test_an_hour_left_out_is_taken_back_where_the_network_lists_every_hour(network: str) -> None:
    parsed = read(network, (FIRST, all_day(bad=480.0)), (LATER, all_day(gone=True)))
    [row] = as_known(parsed).filter(pl.col("hour") == BAD).to_dicts()
    assert row["value"] == (None if network == "openaq" else 480.0)


@NETWORKS
def test_a_value_that_comes_again_is_a_new_revision(network: str) -> None:
    parsed = read(
        network,
        (FIRST, all_day(bad=13.0)),
        (FIRST + HOUR, all_day(bad=None)),
        (LATER, all_day(bad=13.0)),
    )
    [row] = as_known(parsed).filter(pl.col("hour") == BAD).to_dicts()
    assert (row["value"], row["status"], row["revision"]) == (13.0, None, 2)


@NETWORKS
def test_a_null_before_any_value_is_nothing(network: str) -> None:
    parsed = read(network, (FIRST, all_day(bad=None)), (LATER, all_day()))
    [row] = as_known(parsed).filter(pl.col("hour") == BAD).to_dicts()
    assert (row["value"], row["revision"]) == (12.0, 0)
    assert BAD not in set(as_known(parsed, FIRST)["hour"])


@NETWORKS
@pytest.mark.parametrize("later", [dict.fromkeys(all_day()), {}], ids=["only-nulls", "empty"])
def test_an_answer_without_any_value_takes_nothing_back(network: str, later: Hours) -> None:
    parsed = read(network, (FIRST, all_day()), (LATER, later))
    if network in ("irceline", "openaq") and later:
        # Theirs are rows of one quantity: a null in every one of them is said of every one.
        assert set(as_known(parsed)["status"]) == {"withdrawn"}
    else:
        assert mean_of(as_known(parsed)) == (12.0, 24)


@pytest.mark.parametrize("network", ["airqino", "airqo"])
def test_what_cannot_be_read_takes_nothing_back(network: str) -> None:
    parsed = read(network, (FIRST, all_day()), (LATER, all_day(bad="n/a")))
    assert mean_of(as_known(parsed)) == (12.0, 24)
    assert parsed.problems.total


def test_the_newest_hours_may_have_yet_to_come() -> None:
    """OpenAQ's list of hours may lag behind its latest values."""
    last = WINDOW.end - HOUR
    hours = all_day()
    without_last = {at: value for at, value in hours.items() if at != last}
    parsed = read("openaq", (FIRST, hours), (FIRST + HOUR, without_last))
    assert mean_of(as_known(parsed)) == (12.0, 24)
