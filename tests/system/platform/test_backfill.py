"""`aq backfill` and `aq refresh`: what they load, what they refuse, and how they say it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dagster as dg
import pytest

from aq_sandbox.server import RunningSandbox
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, Invoke, Loaded, days_ago

HOURLY_PATH = "/v3/getStationHourlyAvg/"


def refused(result: object, *says: str) -> None:
    """One readable line on standard error, and exit code 1."""
    assert result.exit_code == 1, result.output  # type: ignore[attr-defined]
    assert result.stdout == ""  # type: ignore[attr-defined]
    error: str = result.stderr  # type: ignore[attr-defined]
    assert error.startswith("aq: ")
    assert "Traceback" not in error
    for text in says:
        assert text in error


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2024-13-01", days_ago(1), "--start '2024-13-01' is no day: write YYYY-MM-DD"),
        (days_ago(2), "yesterday", "--end 'yesterday' is no day"),
        ("", days_ago(1), "--start '' is no day"),
        (days_ago(1), days_ago(2), f"--end {days_ago(2)} lies before --start {days_ago(1)}"),
        (days_ago(1), days_ago(-1), f"--end {days_ago(-1)} lies in the future"),
        (days_ago(31), days_ago(29), "before networks.airqino.start_date"),
    ],
)
def test_days_that_make_no_sense_are_refused(
    fresh: Installation, sandbox: RunningSandbox, invoke: Invoke, start: str, end: str, says: str
) -> None:
    refused(invoke(fresh, "backfill", "airqino", "--start", start, "--end", end), says)
    assert sandbox.requests() == []
    assert not (fresh.home / "objects").exists()


def test_both_days_are_needed(fresh: Installation, invoke: Invoke) -> None:
    result = invoke(fresh, "backfill", "--start", days_ago(1))
    assert result.exit_code == 2
    assert "--end" in result.stderr


@pytest.mark.parametrize("command", ["backfill", "refresh"])
def test_an_unknown_network_is_named(fresh: Installation, invoke: Invoke, command: str) -> None:
    days = ["--start", days_ago(1), "--end", days_ago(1)] if command == "backfill" else []
    refused(
        invoke(fresh, command, "airqino", "openak", *days),
        "No enabled network 'openak'",
        "airqino",
    )


def test_the_days_given_are_loaded_and_no_other(loaded: Loaded) -> None:
    installation = loaded.installation
    rows = installation.query(
        "SELECT station_id, min(date) AS first, max(date) AS last, count(DISTINCT date) AS days "
        "FROM airqino.daily_averages GROUP BY station_id ORDER BY station_id"
    )
    days = {"first": loaded.first, "last": loaded.last, "days": 3}
    assert rows == [{"station_id": station, **days} for station in STATIONS]
    assert len(installation.files("hourly_readings")) == 3
    output = " ".join(loaded.output.split())
    assert output.startswith("✓ airqino: pull, clean, average: 2 stations, 2 requests")


def test_its_runs_are_in_the_instance(loaded: Loaded) -> None:
    with loaded.installation.instance() as instance:
        published, run = instance.get_runs()
    assert published.job_name == "airqino_publish"
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.job_name == "airqino_refresh"
    assert run.tags["dagster/asset_partition_range_start"] == loaded.first
    assert run.tags["dagster/asset_partition_range_end"] == loaded.last


def test_an_unknown_station_is_reported_and_the_others_loaded(
    fresh: Installation, invoke: Invoke
) -> None:
    installation = fresh.with_networks(
        airqino={"start_date": days_ago(30), "stations": [*STATIONS, "777"]}
    )
    result = invoke(
        installation, "backfill", "airqino", "--start", days_ago(2), "--end", days_ago(1)
    )
    assert result.exit_code == 1
    assert "✓ airqino" in result.stdout
    assert "AirQino knows no station '777'" in result.stderr
    assert "networks.airqino.stations" in result.stderr
    days = installation.table("daily_averages")
    assert set(days["station_id"]) == set(STATIONS)
    assert days["date"].n_unique() == 2


def test_a_network_that_is_down_fails_the_command(
    fresh: Installation, sandbox: RunningSandbox, invoke: Invoke
) -> None:
    sandbox.inject("status", status=503, path_contains=HOURLY_PATH)
    result = invoke(fresh, "backfill", "airqino", "--start", days_ago(1), "--end", days_ago(1))
    assert result.exit_code == 1
    assert "✗ airqino" in result.stdout
    assert "AirQino answered 503" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_password_never_shows(
    fresh: Installation, sandbox: RunningSandbox, invoke: Invoke
) -> None:
    secret = "s3cr3t-of-the-test"
    installation = fresh.with_settings(
        AQ_AIRQINO_USERNAME="someone",
        AQ_AIRQINO_PASSWORD=secret,
        AQ_AIRQINO_CLIENT_ID="client",
        AQ_AIRQINO_CLIENT_SECRET=secret,
    )
    result = invoke(
        installation, "backfill", "airqino", "--start", days_ago(1), "--end", days_ago(1)
    )
    assert result.exit_code == 1
    assert "AQ_AIRQINO_PASSWORD" in result.stderr
    assert secret not in result.output
    with installation.instance() as instance:
        (run,) = instance.get_runs()
        events = [str(entry) for entry in instance.all_logs(run.run_id)]
    assert events
    assert not any(secret in event for event in events)
    stored = [path.read_bytes() for path in installation.home.rglob("*") if path.is_file()]
    assert not any(secret.encode() in content for content in stored)


def test_refresh_brings_the_newest_hours_and_their_forecast(
    fresh: Installation, invoke: Invoke
) -> None:
    before = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    result = invoke(fresh, "refresh", "airqino")
    after = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert result.exit_code == 0, result.output
    days = fresh.files("hourly_readings")
    assert set(days) >= {f"date={days_ago(n)}/readings.parquet" for n in (0, 1)}
    forecasts = fresh.table("forecasts")
    (issued_for,) = set(forecasts["issued_for"])
    assert before <= issued_for <= after
    assert set(forecasts["station_id"]) == set(STATIONS)
    assert set(forecasts["parameter"]) == {"co", "pm25"}
    assert sorted(set(forecasts["horizon"])) == [1, 2]
    # One that was made in the hour after says that it came late.
    assert set(forecasts["mode"]) <= {"live", *(["hindcast"] if after > before else [])}
    assert forecasts["value"].null_count() == 0


# ---------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AQ_HTTP_ATTEMPTS", "0", "greater than or equal to 1"),
        ("AQ_HTTP_TIMEOUT_SECONDS", "soon", "valid number"),
        ("AQ_CHUNK_DAYS", "-1", "greater than or equal to 1"),
        ("AQ_OBJECT_STORE", "ftp://somewhere", "must start with file:// or s3://"),
        ("AQ_WAREHOUSE", "duckdb:file.db", "must start with ducklake:sqlite:"),
        ("AQ_DAILY_DAY", "lunar", "'civil' or 'standard'"),
    ],
)
@pytest.mark.parametrize("command", ["query", "refresh", "doctor"])
def test_a_wrong_setting_is_named(
    fresh: Installation, invoke: Invoke, command: str, name: str, value: str, says: str
) -> None:
    arguments = [command, "SELECT 1"] if command == "query" else [command]
    result = invoke(fresh.with_settings(**{name: value}), *arguments)
    assert result.exit_code == 1
    assert f"{name}: " in result.output
    assert says in result.output
    assert "Traceback" not in result.output


def test_an_empty_setting_is_as_good_as_none(loaded: Loaded, invoke: Invoke) -> None:
    empty = dict.fromkeys(("AQ_HTTP_ATTEMPTS", "AQ_OBJECT_STORE", "AQ_WAREHOUSE"), "")
    installation = loaded.installation.with_settings(**empty)
    result = invoke(installation, "query", "SELECT count(*) AS n FROM airqino.stations")
    assert result.exit_code == 0


def test_a_missing_networks_file_is_named(fresh: Installation, invoke: Invoke) -> None:
    path = fresh.folder / "none.yaml"
    result = invoke(fresh.with_settings(AQ_NETWORKS=str(path)), "refresh")
    refused(result, f"{path}: no such file", "AQ_NETWORKS")


def test_a_wrong_networks_file_is_named_with_its_line(fresh: Installation, invoke: Invoke) -> None:
    path = fresh.folder / "wrong.yaml"
    entry = "networks:\n  airqino:\n    start_date: 2024-01-01\n    station: [x]\n"
    path.write_text(entry)
    result = invoke(fresh.with_settings(AQ_NETWORKS=str(path)), "refresh")
    refused(result, f"{path}, line 4", "did you mean 'stations'?")


def test_a_home_that_cannot_be_written_is_named(fresh: Installation, invoke: Invoke) -> None:
    blocked = fresh.folder / "file"
    blocked.write_text("")
    home = blocked / "home"
    result = invoke(fresh.with_settings(AQ_HOME=str(home)), "refresh")
    refused(result, str(home), "AQ_HOME")


def test_answers_are_kept_as_they_came(loaded: Loaded) -> None:
    import zstandard

    root = loaded.installation.home / "objects" / "airqino" / "raw_pulls"
    (path,) = root.rglob("*.jsonl.zst")
    assert path.parent.name == f"span={loaded.first}..{loaded.last}"
    data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    lines = [json.loads(line) for line in data.splitlines()]
    assert [line["url"].rsplit("/", 1)[1] for line in lines] == STATIONS
    assert {line["status"] for line in lines} == {200}
    assert all(json.loads(line["body"])["data"] for line in lines)
