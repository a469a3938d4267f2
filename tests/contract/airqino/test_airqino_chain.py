"""AirQino all the way through: what is kept of bad days, what goes on, what is said and scored."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest
import zstandard

from aq_platform.definitions import build_defs
from aq_platform.evidence import explain, why
from aq_platform.runs import Runner, RunResult
from aq_resources.failures import SettingsError
from aq_resources.networks.airqino.parse import AirQinoRows
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_sandbox.server import RunningSandbox
from aq_science.windows import HOUR, Window, midnight
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from tests.contract.conftest import STATIONS
from tests.factories import DAY as ONE_DAY
from tests.unit.serving.conftest import asker

DAY = date(2025, 6, 10)
SICK, WELL = STATIONS[1], (STATIONS[0], *STATIONS[2:])


class Chain:
    """AirQino's chain on a store of its own."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self.services = services
        self.runner = Runner(services, build_defs(services), instance)
        self.pulls = RawPullStore(services.object_store, "airqino")

    def backfill(self) -> RunResult:
        outcome, *published = self.runner.backfill(self.services.networks["airqino"], DAY, DAY)
        assert [run.job for run in published if run.success] == [
            "airqino_publish"
        ] * outcome.success
        return outcome

    def night(self, first: date, last: date, job: str = "nightly") -> RunResult:
        outcome = self.runner._run(
            self.services.networks["airqino"], job, first.isoformat(), last.isoformat()
        )
        assert outcome.success, outcome.failures
        return outcome

    def score(self, first: date, last: date) -> RunResult:
        outcome = self.night(first, last)
        assert outcome.warnings == []
        return outcome

    def scores(self) -> list[dict[str, Any]]:
        query = "SELECT * FROM airqino.forecast_scores ORDER BY ALL"
        return list(self.services.warehouse.read(query).iter_rows(named=True))

    def answers(self) -> list[RawAnswer]:
        return list(self.pulls.read(f"date={DAY}"))

    def readings(self) -> pl.DataFrame:
        return self.services.warehouse.read("SELECT * FROM airqino.hourly_readings")

    def stations(self) -> set[str]:
        return set(self.readings()["station_id"])


@pytest.fixture
def chain(
    configure: Callable[..., None],
    sandbox: RunningSandbox,
) -> Iterator[Chain]:
    configure(sandbox, airqino={"start_date": "2025-06-01", "stations": STATIONS})
    with (
        closing(Services.from_environment()) as services,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Chain(services, instance)


@pytest.mark.parametrize("fault", ["html", "truncate", "empty"])
def test_a_broken_answer_is_kept_and_mended_by_a_later_one(
    chain: Chain, sandbox: RunningSandbox, fault: str
) -> None:
    sandbox.inject(fault, path_contains=SICK)
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert outcome.incomplete
    assert any(SICK in warning and "broken answer" in warning for warning in outcome.warnings)
    broken = chain.answers()
    assert len(broken) == len(STATIONS)
    assert chain.stations() == set(WELL)
    assert outcome.metadata["hourly_readings"]["malformed_records"] == 1
    assert outcome.metadata["hourly_readings"]["unreadable_stations"] == [SICK]

    sandbox.clear()
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert not outcome.incomplete
    assert outcome.metadata["raw_pulls"]["answers_repeated"] == len(WELL)
    kept = chain.answers()
    assert kept[: len(broken)] == broken
    assert [answer.url.rsplit("/", 1)[-1] for answer in kept[len(broken) :]] == [SICK]
    assert chain.stations() == set(STATIONS)


def test_at_midnight_the_new_day_is_averaged_from_what_there_is(chain: Chain) -> None:
    """Yesterday's last hour has automation ask for today's averages, before today's first hour."""
    assert chain.backfill().success
    config = chain.services.networks["airqino"]
    outcome = chain.runner._days(config, "daily", DAY + ONE_DAY, DAY + ONE_DAY)
    assert outcome.success, outcome.failures
    assert outcome.metadata["daily_averages"]["days_without_hourly_readings"] == 1
    far = DAY + 5 * ONE_DAY
    outcome = chain.runner._days(config, "daily", far, far)
    assert not outcome.success
    assert f"date={far}/readings.parquet does not exist" in outcome.failures[0]


@pytest.mark.parametrize("status", [404, 500])
def test_a_sick_station_is_reported_and_the_others_loaded(
    chain: Chain, sandbox: RunningSandbox, status: int
) -> None:
    sandbox.inject("status", status=status, path_contains=SICK)
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert outcome.incomplete
    assert any(SICK in warning and str(status) in warning for warning in outcome.warnings)
    assert chain.stations() == set(WELL)
    # What a retry may mend is no answer; a refusal is one.
    kept = [answer.status for answer in chain.answers()]
    assert sorted(kept) == [200] * len(WELL) + ([404] if status == 404 else [])
    listed = chain.services.warehouse.read("SELECT station_id FROM airqino.stations")
    assert set(listed["station_id"]) == set(STATIONS)


def test_a_sick_network_fails_with_its_reason_and_touches_nothing(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    answers, readings = chain.answers(), chain.readings()
    sandbox.inject("status", status=500)
    outcome = chain.backfill()
    assert not outcome.success
    assert any("AirQino answered 500 to GET" in failure for failure in outcome.failures)
    assert chain.answers() == answers
    assert chain.readings().equals(readings)


def test_a_changed_form_at_every_station_stops_the_chain(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    for station in STATIONS:
        row = {"timestamp": "2025-06-10T11:00:00Z", "CO": 0.5}
        sandbox.set_answer(station, json.dumps({"header": {}, "data": [row]}))
    outcome = chain.backfill()
    assert not outcome.success
    (failure,) = outcome.failures
    assert "Not one record of AirQino could be read" in failure
    assert "timestamp_format" in failure
    assert "2025-06-10T11:00:00Z" in failure
    assert len(chain.answers()) == len(STATIONS)


def test_an_answer_without_readings_is_a_day_without_rows(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    for station in STATIONS:
        sandbox.set_answer(station, '{"header": {}, "data": []}')
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert chain.readings().is_empty()
    assert chain.services.warehouse.read("SELECT * FROM airqino.daily_averages").is_empty()


@pytest.mark.parametrize(
    "body",
    [
        '{"error": "database down", "data": []}',
        '{"header": {}, "data": [{"timestamp": "3940-01-01 00:00:00", "CO": 1}]}',
        '{"header": {"station_id": 7}, "data": [{"timestamp": "2025-06-10 05:00:00", "CO": 1}]}',
    ],
    ids=["error with 200", "other days", "another station's header"],
)
def test_a_station_lost_in_a_sound_answer_is_told(
    chain: Chain, sandbox: RunningSandbox, body: str
) -> None:
    sandbox.set_answer(SICK, body)
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert outcome.incomplete
    assert outcome.metadata["raw_pulls"]["failed_subjects"] == 1
    (warning,) = [w for w in outcome.warnings if "every_station_answered" in w]
    assert SICK in warning
    assert chain.stations() == set(WELL)
    assert body in {answer.body for answer in chain.answers()}


def test_an_answer_that_makes_the_parser_raise_is_named_and_stops_no_other_station(
    chain: Chain, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = AirQinoRows.add

    def add(self: AirQinoRows, answer: RawAnswer) -> None:
        known(self, answer)
        if answer.url.endswith(SICK):
            raise OverflowError("date value out of range")

    monkeypatch.setattr(AirQinoRows, "add", add)
    outcome = chain.backfill()
    assert outcome.success, outcome.failures
    assert chain.stations() == set(WELL)
    assert outcome.metadata["hourly_readings"]["answers_set_aside"] == 1
    (warning,) = [w for w in outcome.warnings if "every_answer_read" in w]
    assert SICK in warning
    assert "date value out of range" in warning
    # Once the parser is mended, nothing is left of it.
    monkeypatch.undo()
    outcome = chain.backfill()
    assert not outcome.warnings
    assert chain.stations() == set(STATIONS)


# Scores


def scores_by_hand(chain: Chain) -> dict[tuple[Any, ...], dict[str, float]]:
    """Scores of every forecast in the warehouse, worked out one after another."""
    valid: dict[tuple[str, str, datetime], float] = {
        (row["station_id"], row["parameter"], row["hour"]): row["value"]
        for row in chain.readings().filter(pl.col("flag") == "valid").iter_rows(named=True)
    }
    found: dict[tuple[Any, ...], list[dict[str, float]]] = {}
    forecasts = chain.services.warehouse.read("SELECT * FROM airqino.forecasts")
    for row in forecasts.iter_rows(named=True):
        series = row["station_id"], row["parameter"]
        actual = valid.get((*series, row["hour"]))
        if actual is None or row["value"] is None:
            continue
        before = (row["hour"] - lag * HOUR for lag in range(row["horizon"], 9))
        last = next((valid[*series, hour] for hour in before if (*series, hour) in valid), math.nan)
        key = (*series, row["horizon"], row["issued_for"].date(), row["mode"])
        found.setdefault(key, []).append(
            {
                "error": row["value"] - actual,
                "persistence": abs(last - actual),
                "80": row["lower_80"] <= actual <= row["upper_80"],
                "95": row["lower_95"] <= actual <= row["upper_95"],
            }
        )
    return {
        key: {
            "n": len(rows),
            "mae": fmean(abs(row["error"]) for row in rows),
            "rmse": math.sqrt(fmean(row["error"] ** 2 for row in rows)),
            "bias": fmean(row["error"] for row in rows),
            "mae_persistence": fmean(
                row["persistence"] for row in rows if not math.isnan(row["persistence"])
            ),
            "coverage_80": fmean(row["80"] for row in rows),
            "coverage_95": fmean(row["95"] for row in rows),
        }
        for key, rows in found.items()
    }


def test_scores_are_those_of_the_forecasts_there_are(chain: Chain) -> None:
    """Readings of three days; forecasts of one whole day and of six hours of the next."""
    config = chain.services.networks["airqino"]
    first, second = DAY - ONE_DAY, DAY
    runs = list(chain.runner.backfill(config, first - ONE_DAY, second))
    for hours in ((first, 0, 23), (second, 3, 8)):
        begin = midnight(hours[0])
        runs.append(chain.runner._hours(config, begin + hours[1] * HOUR, begin + hours[2] * HOUR))
    assert [failure for run in runs for failure in run.failures] == []

    # The day before has readings and no forecasts, the day after has neither.
    outcome = chain.score(first - ONE_DAY, second + ONE_DAY)
    scores = chain.scores()
    expected = scores_by_hand(chain)
    assert {key[3] for key in expected} == {first, second}
    assert {key[0] for key in expected} == set(STATIONS)
    found = {
        (row["station_id"], row["parameter"], row["horizon"], row["date"], row["mode"]): row
        for row in scores
    }
    assert len(found) == len(scores)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        told = found[key]
        assert {name: told[name] for name in row} == pytest.approx(row)
        assert told["skill"] == pytest.approx(1 - row["mae"] / row["mae_persistence"])
        assert told["network"] == "airqino"
    assert 0 < sum(row["n"] for row in scores if row["date"] == second) <= 6 * 4 * len(STATIONS)

    metadata = outcome.metadata["forecast_scores"]
    assert metadata["run"]["rows"] == len(scores)
    assert metadata["days_without_forecasts"] == 2
    assert metadata["scored"] == sum(row["n"] for row in scores)
    assert "image/png" in metadata["plot"]
    assert {record.data["date"] for record in metadata["last_day"].records} == {str(second)}

    # Again, in chunks of a day, and a day by itself: the same rows, once each.
    chain.score(first, first)
    settings = chain.services.settings
    chain.services.settings = settings.model_copy(update={"chunk_days": 1})
    chain.score(first - ONE_DAY, second + ONE_DAY)
    assert chain.scores() == scores


def test_days_without_forecasts_are_scored_with_zero_rows(chain: Chain) -> None:
    """Before anything was pulled or forecast, and for the day in progress."""
    today = chain.services.now().date()
    for day in (DAY, today):
        outcome = chain.score(day, day)
        metadata = outcome.metadata["forecast_scores"]
        assert metadata["dagster/partition_row_count"] == 0
        assert (metadata["forecasts"], metadata["days_without_forecasts"]) == (0, 1)
        assert "plot" not in metadata
    assert chain.scores() == []


def test_a_run_that_read_early_does_not_have_the_last_word(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between this run's reading and its writing, another stores a correction and is done."""
    assert chain.backfill().success
    first = chain.answers()[0]
    body = json.loads(first.body)
    row = next(
        row for row in body["data"] if row["timestamp"].startswith(f"{DAY} 12") and "PM2.5" in row
    )
    row["PM2.5"] = 77.25
    corrected = msgspec.structs.replace(
        first, body=json.dumps(body), pulled_at=first.pulled_at + timedelta(hours=1)
    )
    reads: list[Window] = []
    read = VersionReader.read

    def read_then_lose_the_race(reader: VersionReader, window: Window) -> pl.DataFrame:
        versions = read(reader, window)
        if not reads:
            chain.pulls.append([corrected])
        reads.append(window)
        return versions

    monkeypatch.setattr(VersionReader, "read", read_then_lose_the_race)
    assert chain.backfill().success
    assert len(reads) == 2
    revised = chain.readings().filter(pl.col("revision") == 1)
    assert revised["value"].to_list() == [77.25]


def test_a_first_backfill_of_averages_brings_the_stations_by_itself(chain: Chain) -> None:
    """As from the UI on a fresh home: three assets are chosen, and the stations are not."""
    chosen = [
        dg.AssetKey(["airqino", name])
        for name in ("raw_pulls", "hourly_readings", "daily_averages")
    ]
    job = build_defs(chain.services).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=chain.runner.instance, asset_selection=chosen, partition_key=DAY.isoformat()
    )
    assert result.success
    rows = chain.services.warehouse.read("SELECT * FROM airqino.stations")
    assert set(rows["station_id"]) == set(STATIONS)
    # The UI shows them as materialized, by this run.
    [event] = chain.runner.instance.fetch_materializations(
        dg.AssetKey(["airqino", "stations"]), limit=5
    ).records
    assert event.event_log_entry.run_id == result.run_id
    averages = chain.services.warehouse.read("SELECT * FROM airqino.daily_averages")
    assert set(averages["timezone"]) == {"Africa/Abidjan"}


QUALITY = ("gaps", "data_quality")


class TestEvidence:
    """What `aq why`, `aq explain` and the gaps say of a day with faults of every kind."""

    @pytest.fixture
    def faulty(self, chain: Chain, sandbox: RunningSandbox) -> Chain:
        rows = [
            {"timestamp": f"{DAY} {n:02}:00:00", "PM2.5": 20.0 + n % 7, "CO": 0.4 + 0.01 * n}
            for n in range(24)
            if n not in (3, 4)
        ]
        rows[8]["PM2.5"] = -999.0
        rows[12]["PM2.5"] = 700.0
        body = {"header": {"station_name": SICK}, "data": rows}
        sandbox.set_answer(SICK, json.dumps(body))
        chain.backfill()
        return chain

    def lines(self, chain: Chain, parameter: str = "pm25", day: date = DAY) -> list[str]:
        config = chain.services.networks["airqino"]
        return list(why(chain.services, config, SICK, parameter, day))

    def test_every_hour_has_its_cause(self, faulty: Chain) -> None:
        first, second, *hours = self.lines(faulty)
        assert first.endswith("(Africa/Abidjan): 20 of 24 hours are valid.")
        assert "The day is valid: it has 83% of its hours; 75% are needed" in second
        assert [line.partition(": ")[2] for line in hours] == [
            "AirQino answered, and had no value",
            "AirQino answered, and had no value",
            "rejected by sentinel, gross_range (it says -999 µg/m³)",
            "rejected by gross_range, spike (it says 700 µg/m³)",
        ]

    def test_a_day_never_pulled_says_so(self, faulty: Chain) -> None:
        first, second, *hours = self.lines(faulty, day=DAY - 9 * ONE_DAY)
        assert "0 of 24 hours are valid" in first
        assert f"aq backfill airqino --start {DAY - 9 * ONE_DAY}" in second
        assert len(hours) == 24
        assert all("no answer of AirQino" in line for line in hours)

    def test_a_stranger_is_refused(self, faulty: Chain) -> None:
        config = faulty.services.networks["airqino"]
        with pytest.raises(SettingsError, match="no station '77'"):
            list(why(faulty.services, config, "77", "pm25", DAY))
        with pytest.raises(SettingsError, match="No parameter 'pm'"):
            list(why(faulty.services, config, SICK, "pm", DAY))

    def test_a_reading_leads_back_to_its_bytes(self, faulty: Chain) -> None:
        config = faulty.services.networks["airqino"]
        hour = midnight(DAY) + 10 * HOUR
        lines = list(explain(faulty.services, config, SICK, "pm25", hour))
        assert any("reading: -999 µg/m³, invalid (sentinel, gross_range" in one for one in lines)
        assert any("test sentinel 1 (invalid): saw -999, limit -999" in one for one in lines)
        [raw] = [one for one in lines if "raw pull" in one]
        uri, number, digest = re.search(r"raw pull: (\S+), line (\d+), sha256 (\w+)", raw).groups()  # type: ignore[union-attr]
        data = zstandard.ZstdDecompressor().decompress(
            Path(uri.removeprefix("file://")).read_bytes(), max_output_size=10**8
        )
        line = data.splitlines()[int(number) - 1]
        assert hashlib.sha256(line).hexdigest() == digest
        assert b"-999" in line

    def test_the_api_says_what_the_command_says(self, faulty: Chain) -> None:
        config = faulty.services.networks["airqino"]
        hour = midnight(DAY) + 10 * HOUR
        lines = list(explain(faulty.services, config, SICK, "pm25", hour))
        ask = asker(create_app(faulty.services, ApiSettings()))
        path = f"/v1/explain/airqino/{SICK}/pm25"
        answer = ask(f"{path}/{hour:%Y-%m-%dT%H:%MZ}")
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["value"], said["flag"]) == (-999.0, "invalid")
        assert said["conversion"] == {"scale": 1.0, "offset": 0.0, "reference_celsius": None}
        assert {test["test"] for test in said["tests"]} == set(said["reasons"])
        [raw] = said["raw_pulls"]
        written = [line for line in lines if "raw pull" in line]
        uri = faulty.services.object_store.uri(raw["key"])
        assert written == [f"  raw pull: {uri}, line {raw['line']}, sha256 {raw['sha256']}"]
        assert not raw["key"].startswith("/")
        later = f"{hour + 30 * ONE_DAY:%Y-%m-%dT%H:%MZ}"
        for wrong, status in ((later, 404), (f"{hour:%Y-%m-%d}", 400), ("2026-01-31T05:00", 400)):
            assert ask(f"{path}/{wrong}").status_code == status

    def test_an_average_leads_to_its_hours(self, faulty: Chain) -> None:
        config = faulty.services.networks["airqino"]
        first, *hours, _ = explain(faulty.services, config, SICK, "pm25", DAY)
        assert "of 20 valid hours, rule 75_percent_of_hours_civil_day" in first
        assert len(hours) == 22
        assert sum("invalid" in one or "suspect" in one for one in hours) == 2

    def test_gaps_add_up(self, faulty: Chain) -> None:
        job = build_defs(faulty.services).resolve_implicit_global_asset_job_def()
        for _ in range(2):
            result = job.execute_in_process(
                instance=faulty.runner.instance,
                asset_selection=[dg.AssetKey(["airqino", name]) for name in QUALITY],
                partition_key=DAY.isoformat(),
            )
            assert result.success
            assert all(check.passed for check in result.get_asset_check_evaluations())
        rows = faulty.services.warehouse.read(
            f"SELECT cause, hours, hour(first_hour) AS at, tests FROM airqino.gaps "
            f"WHERE station_id = '{SICK}' AND parameter = 'pm25' ORDER BY first_hour"
        )
        assert rows.select("cause", "hours", "at").rows() == [
            ("source_silent", 2, 3),
            ("rejected", 1, 10),
            ("rejected", 1, 14),
        ]
        whole = faulty.services.warehouse.read(
            "SELECT g.station_id, g.parameter, g.missing + coalesce(d.hours_valid, 0) AS total "
            "FROM (SELECT station_id, parameter, sum(hours) AS missing FROM airqino.gaps "
            "GROUP BY ALL) g LEFT JOIN airqino.daily_averages d "
            f"ON d.station_id = g.station_id AND d.parameter = g.parameter AND d.date = '{DAY}'"
        )
        assert set(whole["total"]) == {24}
        short = faulty.services.warehouse.read(
            "SELECT q.station_id, q.parameter, q.hours_expected - q.hours_valid AS hours, "
            "coalesce(sum(g.hours), 0) AS in_gaps "
            "FROM airqino.data_quality q LEFT JOIN airqino.gaps g USING "
            "(station_id, parameter, date) GROUP BY ALL"
        )
        assert short["hours"].to_list() == short["in_gaps"].to_list()
        tests = faulty.services.warehouse.read(
            "SELECT fired.test, fired.hours FROM (SELECT unnest(tests) AS fired "
            f"FROM airqino.data_quality WHERE station_id = '{SICK}' AND parameter = 'pm25') "
            "ORDER BY ALL"
        )
        assert tests.rows() == [("gross_range", 2), ("negative", 1), ("sentinel", 1), ("spike", 1)]


def test_days_before_a_move_stay_where_they_were_measured(
    chain: Chain, sandbox: RunningSandbox
) -> None:
    """From Abidjan (UTC) to Kampala (UTC+3)."""
    rows = [
        {"timestamp": f"{DAY + n // 24 * ONE_DAY} {n % 24:02}:00:00", "PM2.5": 20.0 + n % 24}
        for n in range(-24, 48)
    ]

    def stands_at(latitude: float, longitude: float) -> None:
        header = {"station_name": SICK, "station_lat": latitude, "station_lon": longitude}
        sandbox.set_answer(SICK, json.dumps({"header": header, "data": rows}))
        backfill()
        chain.night(DAY, DAY)

    def backfill() -> None:
        config = chain.services.networks["airqino"]
        assert all(one.success for one in chain.runner.backfill(config, DAY, DAY))

    def average() -> dict[str, Any]:
        query = f"SELECT * FROM airqino.daily_averages WHERE station_id = '{SICK}' "
        return chain.services.warehouse.read(
            query + f"AND parameter = 'pm25' AND date = '{DAY}'"
        ).row(0, named=True)

    # Without the catalogue an answer's header says where a station stands.
    sandbox.inject("status", status=404, path_contains="/api/station")
    stands_at(5.35, -4.0)
    before = average()
    assert (before["timezone"], before["mean"]) == ("Africa/Abidjan", 31.5)
    stands_at(0.32, 32.58)
    backfill()
    assert average() == before
    history = chain.services.warehouse.read(
        f"SELECT timezone, moved_km FROM airqino.station_history WHERE station_id = '{SICK}' "
        "ORDER BY valid_from"
    )
    assert history["timezone"].to_list() == ["Africa/Abidjan", "Africa/Kampala"]
    assert history["moved_km"].to_list() == [None, pytest.approx(4100, rel=0.01)]
    chain.night(DAY, DAY, "revisions")
    rules = chain.services.warehouse.read(
        "SELECT rule, mean, valid FROM airqino.daily_averages_by_rule "
        f"WHERE station_id = '{SICK}' AND parameter = 'pm25' ORDER BY rule"
    )
    assert rules.rows() == [
        (rule, 31.5, True) for rule in ("eu_civil_day", "eu_standard_day", "us_epa", "who_2021")
    ]
