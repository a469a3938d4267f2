"""OpenAQ's bodies, real ones among them, as readings worked out by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.network_client import Parsed, Problems
from aq_resources.networks.openaq.bodies import records_of
from aq_resources.networks.openaq.dimensions import Country, ListedParameter
from aq_resources.networks.openaq.locations import describe, listed
from aq_resources.networks.openaq.parse import read_answers, select_sensor
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.readings import hourly_readings
from aq_science.versions import VERSION_SCHEMA, fold_versions
from aq_science.windows import HOUR, Window

BASE = "https://openaq.example/v3"
NOW = datetime(2026, 6, 18, 9, 20, tzinfo=UTC)
ALWAYS = Window(datetime(2010, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def kept(
    path: str,
    body: object,
    window: Window = ALWAYS,
    *,
    status: int = 200,
    pulled_at: datetime = NOW,
) -> RawAnswer:
    """An answer with `body`: text as it is, anything else as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return RawAnswer(BASE + path, {}, (window.start, window.end), pulled_at, status, text)


def location(station: int, *sensors: tuple[int, str, str], **rest: Any) -> dict[str, Any]:
    listed = [
        {"id": number, "name": name, "parameter": {"id": 1, "name": name, "units": units}}
        for number, name, units in sensors
    ]
    return {"id": station, "name": "A", "sensors": listed, **rest}


def page(*results: object) -> dict[str, Any]:
    return {"meta": {"found": ">1"}, "results": list(results)}


def hour(ends: str, value: object = 7.0, name: str = "pm25", units: str = "µg/m³") -> Any:
    end = datetime.fromisoformat(ends)
    return {
        "value": value,
        "parameter": {"id": 2, "name": name, "units": units},
        "period": {
            "interval": "01:00:00",
            "datetimeFrom": {"utc": (end - HOUR).isoformat(), "local": "x"},
            "datetimeTo": {"utc": ends, "local": "x"},
        },
        "coverage": {"percentComplete": 100.0, "percentCoverage": 75.0},
    }


LISTED = kept(
    "/locations/5", page(location(5, (51, "pm25", "µg/m³"), (52, "pm25", "ppm"), timezone="UTC"))
)


def parse(*answers: RawAnswer) -> Parsed:
    return read_answers(answers)


def problems(parsed: Parsed) -> dict[str, int]:
    return {str(row["problem"]): int(row["records"]) for row in parsed.problems.rows()}


class TestRealBodies:
    def test_a_page_of_100_co_values(self, real_data: Path) -> None:
        body = (real_data / "openaq" / "sensor_7772024.json").read_text("utf-8")
        listed = kept("/locations/99", page(location(99, (7772024, "co", "µg/m³"))))
        parsed = parse(listed, kept("/sensors/7772024/measurements", body))
        assert problems(parsed) == {}
        readings = hourly_readings(fold_versions(parsed.versions), "openaq")
        assert len(readings) == 100
        assert set(readings["station_id"]) == {"99"}
        assert set(readings["sensor_id"]) == {"7772024"}
        assert set(readings["parameter"]) == {"co"}
        assert set(readings["unit"]) == {"mg/m³"}
        assert set(readings["unit_native"]) == {"µg/m³"}
        assert set(readings["coverage"]) == {1.0}
        # Each by hand from its own end and its micrograms.
        expected = {
            datetime.fromisoformat(row["period"]["datetimeTo"]["utc"]) - timedelta(hours=1): row[
                "value"
            ]
            / 1000
            for row in json.loads(body)["results"]
        }
        found = dict(readings.select("hour", "value").iter_rows())
        assert found.keys() == expected.keys()
        assert all(found[at] == pytest.approx(expected[at], rel=1e-12) for at in expected)
        # Three of them written out.
        assert found[datetime(2024, 1, 29, 15, tzinfo=UTC)] == pytest.approx(0.909)
        assert found[datetime(2024, 1, 29, 16, tzinfo=UTC)] == pytest.approx(0.7482)
        assert found[datetime(2024, 2, 4, 10, tzinfo=UTC)] == pytest.approx(0.5021)

    def test_a_page_of_53_locations(self, real_data: Path) -> None:
        body = (real_data / "openaq" / "mock_locations_vn.json").read_text("utf-8")
        found = Problems()
        stations = {s.station_id: s for s in map(describe, listed(kept("/locations", body), found))}
        assert not found.total
        assert len(stations) == 53
        ho_chi_minh = stations["2446"]
        assert ho_chi_minh.name == "US Diplomatic Post: Ho Chi Minh City"
        assert (ho_chi_minh.latitude, ho_chi_minh.longitude) == (10.783041, 106.700722)
        assert ho_chi_minh.timezone == "Asia/Ho_Chi_Minh"
        assert ho_chi_minh.country == "VN"
        assert ho_chi_minh.city is None
        assert ho_chi_minh.parameters == ("pm25",)
        assert ho_chi_minh.attribution == (
            "Ho Chi Minh City; Unknown Governmental Organization; via OpenAQ (https://openaq.org)"
        )
        # "N/A" is no city.
        assert stations["7441"].city is None
        assert stations["7440"].city == "Ho Chi Minh City"
        measured = [p for s in stations.values() for p in s.parameters]
        counts = {name: measured.count(name) for name in set(measured)}
        assert counts == {
            "pm25": 53,
            "pm10": 38,
            "co": 37,
            "no2": 37,
            "o3": 5,
            "so2": 5,
            "pm1": 4,
            "humidity": 4,
            "temperature": 4,
        }

    def test_a_documented_location_with_its_licence(self, real_data: Path) -> None:
        folder = real_data / "openaq" / "documented_bodies"
        body = (folder / "src__content__docs__using-the-api__quick-start__0.json").read_text()
        [found] = listed(kept("/locations/8118", body), Problems())
        station = describe(found)
        assert (station.station_id, station.name, station.city) == ("8118", "New Delhi", "India")
        assert station.attribution == (
            "AirNow; Unknown Governmental Organization (US Public Domain); "
            "via OpenAQ (https://openaq.org)"
        )

    @pytest.mark.parametrize("name", ["py_location", "py_locations", "py_locations_variation"])
    def test_a_location_of_the_sdk(self, real_data: Path, name: str) -> None:
        body = json.loads((real_data / "openaq" / "sdk_fixtures" / f"{name}.json").read_text())
        body = body if "results" in body else page(body)
        found = Problems()
        [one] = listed(kept("/locations/2178", body), found)
        assert not found.total
        station = describe(one)
        assert (station.station_id, station.timezone) == ("2178", "America/Denver")
        # NOx has no canonical name.
        assert station.parameters == ("co", "no", "no2", "o3", "pm10", "pm25", "so2")

    def test_hours_of_the_sdk(self, real_data: Path) -> None:
        body = (real_data / "openaq" / "sdk_fixtures" / "py_measurements.json").read_text()
        parsed = parse(LISTED, kept("/sensors/51/hours", body))
        assert problems(parsed) == {}
        assert dict(parsed.versions.select("hour", "value_native").iter_rows()) == {
            datetime(2023, 10, 16, 12, tzinfo=UTC): 6.0,
            datetime(2023, 10, 16, 13, tzinfo=UTC): 7.5,
        }

    def test_a_documented_value_in_ppm(self, real_data: Path) -> None:
        folder = real_data / "openaq" / "documented_bodies"
        body = (folder / "src__content__docs__resources__measurements__2.json").read_text()
        listed = kept("/locations/7", page(location(7, (71, "o3", "ppm"))))
        parsed = parse(listed, kept("/sensors/71/measurements", body))
        [reading] = hourly_readings(fold_versions(parsed.versions), "openaq").to_dicts()
        assert reading["hour"] == datetime(2016, 3, 6, 19, tzinfo=UTC)
        assert (reading["value_native"], reading["unit_native"]) == (0.043, "ppm")
        # 47.998 g/mol in 24.0548 l/mol at 20 °C and 101.325 kPa.
        assert reading["value"] == pytest.approx(0.043e3 * 47.998 / 24.0548, rel=1e-4)
        assert reading["unit"] == "µg/m³"

    def test_half_hours_are_counted_and_not_taken_for_hours(self, real_data: Path) -> None:
        path = real_data / "openaq" / "sdk_fixtures" / "r_list_sensor_measurements_limit_5.yml"
        recorded = yaml.safe_load(path.read_text("utf-8"))["http_interactions"][0]
        parsed = parse(
            LISTED, kept("/sensors/51/measurements", recorded["response"]["body"]["string"])
        )
        assert parsed.versions.is_empty()
        assert problems(parsed) == {"not_an_hour": 5}

    def test_bodies_of_nonsense_are_counted(self, real_data: Path) -> None:
        rows = json.loads((real_data / "openaq/sdk_fixtures/r_measurements.json").read_text())
        parsed = parse(LISTED, kept("/sensors/51/measurements", page(*rows)))
        assert parsed.versions.is_empty()
        assert parsed.problems.total == len(rows)
        assert parsed.unreadable == ("5",)

    def test_a_country_and_a_parameter_of_the_sdk(self, real_data: Path) -> None:
        folder = real_data / "openaq" / "sdk_fixtures"
        found = Problems()
        body = (folder / "py_countries.json").read_text("utf-8")
        [country] = records_of(kept("/countries", body), Country, found)
        assert country.row == {
            "country_id": 7,
            "code": "FJ",
            "name": "Fiji",
            "first_reading": datetime(2021, 1, 8, 23, 15, 31, tzinfo=UTC),
            "last_reading": datetime(2023, 8, 28, 21, 33, 44, tzinfo=UTC),
            "parameters": ["humidity", "pm1", "pm10", "pm25", "pressure", "temperature"],
        }
        body = (folder / "py_parameters.json").read_text("utf-8")
        [parameter] = records_of(kept("/parameters", body), ListedParameter, found)
        assert (parameter.row["parameter_id"], parameter.row["parameter"]) == (2, "pm25")
        assert not found.total

    def test_every_recorded_location(self, real_data: Path) -> None:
        path = real_data / "openaq" / "sdk_fixtures" / "r_list_locations.yml"
        recorded = yaml.safe_load(path.read_text("utf-8"))["http_interactions"][0]
        found = Problems()
        locations = listed(kept("/locations", recorded["response"]["body"]["string"]), found)
        assert not found.total
        zones = {str(one.id): one.timezone for one in locations}
        assert zones == {
            "1": "Pacific/Tahiti",
            "2": "America/Los_Angeles",
            "3": "America/New_York",
            "4": "Europe/London",
            "6": "Asia/Kolkata",
            "7": "America/Los_Angeles",
        }


class TestHours:
    def test_an_end_becomes_a_beginning(self) -> None:
        parsed = parse(LISTED, kept("/sensors/51/hours", page(hour("2026-06-01T00:00:00Z"))))
        [row] = parsed.versions.to_dicts()
        assert row["hour"] == datetime(2026, 5, 31, 23, tzinfo=UTC)
        assert (row["station_id"], row["sensor_id"]) == ("5", "51")
        assert row["coverage"] == 0.75
        assert parsed.versions.schema == VERSION_SCHEMA

    def test_the_window_holds_the_hours_that_begin_in_it(self) -> None:
        day = Window(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC))
        ends = [f"2026-06-01T{n:02}:00:00Z" for n in (0, 1)] + [
            f"2026-06-02T{n:02}:00:00Z" for n in (0, 1)
        ]
        parsed = parse(LISTED, kept("/sensors/51/hours", page(*map(hour, ends)), day))
        assert parsed.versions["hour"].dt.hour().to_list() == [0, 23]

    def test_the_hour_in_progress_is_left_out(self) -> None:
        rows = page(hour("2026-06-18T09:00:00Z"), hour("2026-06-18T10:00:00Z"))
        parsed = parse(LISTED, kept("/sensors/51/hours", rows))
        assert parsed.versions["hour"].to_list() == [datetime(2026, 6, 18, 8, tzinfo=UTC)]

    def test_hours_that_had_not_begun_are_counted(self) -> None:
        ends = ("2026-06-18T09:00:00Z", "2026-06-18T12:00:00Z", "2026-06-18T13:00:00Z")
        parsed = parse(LISTED, kept("/sensors/51/hours", page(*map(hour, ends))))
        assert parsed.versions["hour"].to_list() == [datetime(2026, 6, 18, 8, tzinfo=UTC)]
        assert problems(parsed) == {"future_stamp": 2}

    def test_a_gap_is_no_reading_whatever_it_covers(self) -> None:
        rows = page(hour("2026-06-01T05:00:00Z", None), hour("2026-06-01T06:00:00Z", 0.0))
        parsed = parse(LISTED, kept("/sensors/51/hours", rows))
        assert parsed.versions["value_native"].to_list() == [0.0]
        assert problems(parsed) == {}

    def test_a_row_that_names_no_value_has_another_form(self) -> None:
        row = hour("2026-06-01T05:00:00Z")
        row["mean"] = row.pop("value")
        parsed = parse(LISTED, kept("/sensors/51/hours", page(row)))
        assert parsed.versions.is_empty()
        assert problems(parsed) == {"row_form": 1}
        assert parsed.unreadable == ("5",)

    @pytest.mark.parametrize(
        ("percent", "share"), [(5_844_700.0, None), (-1.0, None), (None, None), (0.0, 0.0)]
    )
    def test_nonsense_is_no_coverage(self, percent: float | None, share: float | None) -> None:
        row = hour("2026-06-01T05:00:00Z")
        row["coverage"] = {"percentCoverage": percent}
        parsed = parse(LISTED, kept("/sensors/51/hours", page(row)))
        assert parsed.versions["coverage"].to_list() == [share]

    def test_a_bad_row_does_not_sink_its_neighbours(self) -> None:
        bad = [hour("2026-06-01T05:00:00Z", "7"), hour("2026-06-01T06:30:00Z"), {}, 5]
        rows = page(hour("2026-06-01T04:00:00Z"), *bad)
        parsed = parse(LISTED, kept("/sensors/51/hours", rows))
        assert len(parsed.versions) == 1
        assert problems(parsed) == {"row_form": 3, "not_an_hour": 1}
        assert parsed.unreadable == ()

    def test_of_an_hour_given_twice_the_last_value_stands(self) -> None:
        rows = page(hour("2026-06-01T05:00:00Z", 1.0), hour("2026-06-01T05:00:00Z", 2.0))
        parsed = parse(LISTED, kept("/sensors/51/hours", rows))
        assert parsed.versions.select("value_native", "duplicate").rows() == [(2.0, True)]
        assert problems(parsed) == {"duplicate_hour": 1}

    def test_the_same_row_twice_is_one_row(self) -> None:
        rows = page(*[hour("2026-06-01T05:00:00Z", 1.0), hour("2026-06-01T06:00:00Z", 2.0)] * 2)
        parsed = parse(LISTED, kept("/sensors/51/hours", rows))
        assert parsed.versions.select("value_native", "duplicate").rows() == [
            (1.0, False),
            (2.0, False),
        ]
        assert problems(parsed) == {}

    def test_one_sensor_speaks_for_a_station_hour_by_hour(self) -> None:
        listed = kept(
            "/locations/5",
            page(
                location(
                    5,
                    (51, "co", "mg/m³"),
                    (53, "co", "ppm"),
                    (54, "co", "ppb"),
                    (50, "co", "mg/m3"),
                )
            ),
        )
        ends = "2026-06-01T0{}:00:00Z"
        answers = [
            kept(
                f"/sensors/{sensor}/hours",
                page(*(hour(ends.format(n), 1.0, "co", units) for n in hours)),
            )
            for sensor, units, hours in (
                (54, "ppb", (3, 4, 5, 6)),
                (51, "mg/m³", (3,)),
                (50, "mg/m3", (3, 4)),
                (53, "ppm", (3, 4, 5)),
            )
        ]
        # The canonical unit first, then the larger number.
        parsed = parse(listed, *answers)
        assert dict(parsed.versions.select("hour", "sensor_id").sort("hour").iter_rows()) == {
            datetime(2026, 6, 1, 2, tzinfo=UTC): "51",
            datetime(2026, 6, 1, 3, tzinfo=UTC): "50",
            datetime(2026, 6, 1, 4, tzinfo=UTC): "54",
            datetime(2026, 6, 1, 5, tzinfo=UTC): "54",
        }

    def test_a_sensor_that_came_later_changes_nothing_of_what_was_known(self) -> None:
        end = "2026-06-01T05:00:00Z"
        listed = kept("/locations/5", page(location(5, (51, "pm25", "µg/m³"), (52, "pm25", "ppm"))))

        def told(sensor: int, units: str, value: float, hours_later: float) -> RawAnswer:
            at = NOW + hours_later * HOUR
            body = page(hour(end, value, "pm25", units))
            return kept(f"/sensors/{sensor}/hours", body, pulled_at=at)

        first, second, third = (
            [told(52, "ppm", 1.0, 0)],
            # Two sensors of one pull: they come together.
            [told(52, "ppm", 2.0, 24), told(51, "µg/m³", 7.0, 24.01)],
            [told(52, "ppm", 3.0, 48)],
        )

        def known(*answers: RawAnswer, by: float) -> list[tuple[str, float, int]]:
            versions = parse(listed, *answers).versions
            folded = fold_versions(versions, as_known_at=NOW + by * HOUR)
            columns = folded.select("sensor_id", "value_native", "revision")
            return [(sensor, value, revision) for sensor, value, revision in columns.iter_rows()]

        everything = [*first, *second, *third]
        assert known(*first, by=1) == known(*everything, by=1) == [("52", 1.0, 0)]
        assert known(*everything, by=25) == [("51", 7.0, 1)]
        # A pull without the chosen sensor does not give its place away.
        assert known(*everything, by=49) == [("51", 7.0, 1)]

    def test_the_choice_is_the_same_out_of_one_folder_or_two(self) -> None:
        end = "2026-06-01T05:00:00Z"
        early = kept("/sensors/51/hours", page(hour(end, 1.0)))
        late = kept(
            "/sensors/52/hours", page(hour(end, 2.0, units="ppm")), pulled_at=NOW + 24 * HOUR
        )
        at_once = parse(LISTED, early, late).versions
        apart = [parse(LISTED, answer).versions for answer in (early, late)]
        assert at_once["sensor_id"].to_list() == ["51"]
        assert select_sensor(pl.concat(apart)).equals(at_once)

    def test_what_has_no_canonical_name_is_left_out(self) -> None:
        rows = page(hour("2026-06-01T05:00:00Z", name="um003", units="particles/cm³"))
        parsed = parse(LISTED, kept("/sensors/51/hours", rows))
        assert parsed.versions.is_empty()
        assert problems(parsed) == {}

    def test_a_sensor_of_no_known_location_is_counted(self) -> None:
        rows = page(hour("2026-06-01T05:00:00Z"), hour("2026-06-01T06:00:00Z"))
        parsed = parse(LISTED, kept("/sensors/777/hours", rows))
        assert parsed.versions.is_empty()
        assert problems(parsed) == {"unknown_sensor": 2}

    def test_the_order_of_answers_does_not_matter(self) -> None:
        hours = kept("/sensors/51/hours", page(hour("2026-06-01T05:00:00Z")))
        assert parse(hours, LISTED).versions.equals(parse(LISTED, hours).versions)

    @pytest.mark.parametrize(
        ("body", "status", "kind"),
        [
            ("", 200, "not_json"),
            ("<html>", 200, "not_json"),
            ("[]", 200, "no_results"),
            ('{"results": {}}', 200, "no_results"),
            ('{"detail": "Too many requests"}', 429, "status_429"),
        ],
    )
    def test_a_body_of_another_form_is_counted(self, body: str, status: int, kind: str) -> None:
        parsed = parse(LISTED, kept("/sensors/51/hours", body, status=status))
        assert parsed.versions.is_empty()
        assert problems(parsed) == {kind: 1}

    def test_nothing_is_nothing(self) -> None:
        parsed = parse()
        assert parsed.versions.schema == VERSION_SCHEMA
        assert parsed.versions.is_empty()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["results", "id", "sensors", "period", "value", "parameter", "coverage"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["/sensors/51/hours", "/locations/5", "/parameters/2/latest"]))
def test_any_json_is_read_or_counted(body: Any, path: str) -> None:
    for given_body in (body, page(body), {"results": body}):
        parsed = parse(LISTED, kept(path, given_body))
        assert isinstance(parsed.versions, pl.DataFrame)
        assert parsed.versions.schema == VERSION_SCHEMA


class TestLatest:
    def latest(self, ends: str, sensor: int = 51, value: float | None = 7.0) -> dict[str, Any]:
        at = {"utc": ends, "local": "x"}
        return {"datetime": at, "value": value, "sensorsId": sensor, "locationsId": 5}

    def test_parameter_and_unit_come_from_the_sensor(self) -> None:
        rows = page(self.latest("2026-06-18T09:00:00Z"), self.latest("2026-06-18T09:00:00Z", 999))
        parsed = parse(LISTED, kept("/parameters/2/latest", rows))
        [row] = parsed.versions.to_dicts()
        assert (row["station_id"], row["sensor_id"]) == ("5", "51")
        assert (row["parameter"], row["unit_native"]) == ("pm25", "µg/m³")
        assert row["hour"] == datetime(2026, 6, 18, 8, tzinfo=UTC)
        # The rest of the world is no problem.
        assert problems(parsed) == {}

    def test_what_is_no_hours_mean_is_left_out(self) -> None:
        rows = page(
            self.latest("2026-06-18T08:50:00Z"),
            self.latest("2026-06-18T10:00:00Z"),
            self.latest("2026-06-18T08:00:00Z", value=None),
        )
        parsed = parse(LISTED, kept("/parameters/2/latest", rows))
        assert parsed.versions.is_empty()
        assert problems(parsed) == {}

    def test_it_is_the_same_reading_as_that_of_the_hours(self) -> None:
        latest = kept("/parameters/2/latest", page(self.latest("2026-06-18T09:00:00Z")))
        hours = kept("/sensors/51/hours", page(hour("2026-06-18T09:00:00Z")))
        one, other = (parse(LISTED, answer).versions for answer in (latest, hours))
        assert one.drop("coverage").equals(other.drop("coverage"))


HEADER = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"


def file(*rows: str, header: str = HEADER, end: str = "\r\n", station: int = 5) -> RawAnswer:
    folder = f"/records/csv.gz/locationid={station}/year=2026/month=06"
    path = f"{folder}/location-{station}-20260601.csv.gz"
    return kept(path, "".join(line + end for line in (header, *rows)))


def line(stamp: str, value: str = "7.0", sensor: str = "51", units: str = "µg/m³") -> str:
    return f'5,{sensor},"A, b-5",{stamp},1.5,2.5,pm25,{units},{value}'


class TestArchive:
    def test_the_14_documented_rows(self, real_data: Path) -> None:
        folder = real_data / "openaq" / "documented_bodies"
        body = (folder / "src__content__docs__aws__about__0.csv").read_text("utf-8")
        path = "/records/csv.gz/locationid=2178/year=2023/month=02/location-2178-20230222.csv.gz"
        parsed = parse(kept(path, body))
        readings = hourly_readings(fold_versions(parsed.versions), "openaq")
        # 01:00 of the local time, UTC-7, ends the hour that began at 07:00 UTC.
        values = [14, 4, 7, 6, 5, 9, 20, 28, 19, 26, 127, 318, 241, 9]
        assert readings.select("hour", "value").rows() == [
            (datetime(2023, 2, 22, 7 + n, tzinfo=UTC), value) for n, value in enumerate(values)
        ]
        assert readings.select(
            pl.col("station_id", "sensor_id", "parameter", "unit").cast(pl.String)
        ).unique().rows() == [("2178", "3919", "pm10", "µg/m³")]
        # The documentation's dots.
        assert problems(parsed) == {"row_form": 1}

    def test_quoted_numbers_and_crlf(self) -> None:
        quoted = '"5","51","A-5","2026-06-01T01:00:00+02:00","1.5","2.5","pm25","µg/m³","-1.5"'
        header = ",".join(f'"{name}"' for name in HEADER.split(","))
        parsed = parse(file(quoted, header=header), file(line("2026-06-01T02:00:00+02:00")))
        assert parsed.versions.select("hour", "value_native").rows() == [
            (datetime(2026, 5, 31, 22, tzinfo=UTC), -1.5),
            (datetime(2026, 5, 31, 23, tzinfo=UTC), 7.0),
        ]
        assert problems(parsed) == {}

    def test_the_columns_may_be_called_as_documented(self) -> None:
        header = HEADER.replace("sensors_id", "sensor_id").replace("units", "unit")
        parsed = parse(file(line("2026-06-01T01:00:00Z"), header=header, end="\n"))
        assert parsed.versions["value_native"].to_list() == [7.0]

    def test_columns_may_change_places(self) -> None:
        header = "value,units,parameter,lon,lat,datetime,location,sensors_id,location_id"
        row = "7.5,µg/m³,pm25,2.5,1.5,2026-06-01T01:00:00Z,A-5,51,5"
        parsed = parse(file(line("2026-06-01T02:00:00Z")), file(row, header=header))
        assert sorted(parsed.versions["value_native"].to_list()) == [7.0, 7.5]

    def test_shorter_periods_make_an_hours_mean(self) -> None:
        stamps = [f"2026-06-01T01:{n:02}:00Z" for n in (0, 15, 30, 45)] + ["2026-06-01T02:00:00Z"]
        parsed = parse(file(*(line(stamp, str(n)) for n, stamp in enumerate(stamps))))
        assert parsed.versions.sort("hour").select("hour", "value_native").rows() == [
            (datetime(2026, 6, 1, 0, tzinfo=UTC), 0.0),
            (datetime(2026, 6, 1, 1, tzinfo=UTC), 2.5),
        ]

    def test_of_an_hour_given_twice_the_last_stands(self) -> None:
        stamp = "2026-06-01T01:00:00Z"
        parsed = parse(file(line(stamp, "1"), line(stamp, "2"), line(stamp, "3")))
        assert parsed.versions.select("value_native", "duplicate").rows() == [(3.0, True)]
        assert problems(parsed) == {"duplicate_hour": 2}

    def test_the_same_row_twice_is_one_row(self) -> None:
        lines = [line("2026-06-01T01:00:00Z", "1"), line("2026-06-01T02:00:00Z", "2")]
        parsed = parse(file(*lines, *lines))
        assert parsed.versions.select("value_native", "duplicate").rows() == [
            (1.0, False),
            (2.0, False),
        ]
        assert problems(parsed) == {}

    def test_one_sensor_speaks_for_a_station(self) -> None:
        stamp = "2026-06-01T01:00:00Z"
        parsed = parse(
            file(line(stamp, "1", "49"), line(stamp, "2", "50"), line(stamp, "3", "51", "mg/m³"))
        )
        assert parsed.versions.select("value_native", "sensor_id").rows() == [(2.0, "50")]

    def test_bytes_written_as_text_are_a_unit(self) -> None:
        unit = r"b'\xc2\xb5g/m\xc2\xb3'"
        parsed = parse(file(line("2026-06-01T01:00:00Z", units=unit)))
        [reading] = hourly_readings(fold_versions(parsed.versions), "openaq").to_dicts()
        assert (reading["value"], reading["unit"]) == (7.0, "µg/m³")

    @pytest.mark.parametrize(
        "bad",
        [
            line("2026-06-01 01h"),
            line("2026-06-01T01:00:00"),
            line("2026-06-01T01:00:00Z", "much"),
            line("2026-06-01T01:00:00Z", "nan"),
            line("2026-06-01T01:00:00Z", ""),
            line("2026-06-01T01:00:00Z", "1", "x"),
            "5",
        ],
    )
    def test_a_bad_row_does_not_sink_its_neighbours(self, bad: str) -> None:
        parsed = parse(file(bad, line("2026-06-01T05:00:00Z")))
        assert len(parsed.versions) == 1
        assert problems(parsed) == {"row_form": 1}
        assert parsed.unreadable == ()

    @pytest.mark.parametrize(
        ("broken", "kind"),
        [
            (file("1,2", header="a,b"), "no_columns"),
            (file(line("2026-06-01T01:00:00Z") + ",9,9"), "csv_form"),
            (file('5,51,"A', 'b",2026-06-01T01:00:00Z,1,2,pm25,ppm,1'), "csv_form"),
        ],
    )
    def test_a_bad_file_does_not_sink_the_others(self, broken: RawAnswer, kind: str) -> None:
        good = file(line("2026-06-01T05:00:00Z"), station=6)
        parsed = parse(good, broken, good)
        assert parsed.versions["hour"].unique().to_list() == [datetime(2026, 6, 1, 4, tzinfo=UTC)]
        assert problems(parsed) == {kind: 1}

    def test_a_file_without_rows_is_a_day_without_readings(self) -> None:
        parsed = parse(file())
        assert parsed.versions.is_empty()
        assert problems(parsed) == {}
