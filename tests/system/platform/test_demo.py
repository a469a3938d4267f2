"""`aq demo`: from nothing to forecasts, with one command and no settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.integration.harness import Installation
from tests.system.platform.conftest import Invoke, Loaded


def test_the_demo_shows_stations_averages_and_forecasts(tmp_path: Path, invoke: Invoke) -> None:
    installation = Installation(tmp_path)
    done = installation.run("demo", "--days", "10")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    for title in ("Stations", "Last daily averages", "Forecast of the next two hours"):
        assert title in done.stdout
    for text in (
        "SMART188",
        "SMART189",
        "SMART193",
        "pm25",
        "co",
        "µg/m³",
        "mg/m³",
        "aq up",
        "http://127.0.0.1:8700",
    ):
        assert text in done.stdout

    def count(sql: str) -> list[dict[str, object]]:
        result = invoke(installation, "query", sql, "--format", "json")
        assert result.exit_code == 0, result.stderr
        rows: list[dict[str, object]] = json.loads(result.stdout)
        return rows

    (loaded,) = count(
        "SELECT count(DISTINCT date) AS days, count(DISTINCT station_id) AS stations "
        "FROM air_quality.daily_averages"
    )
    assert loaded["stations"] == 3
    # Soon after midnight, today has no whole hour yet.
    assert loaded["days"] in (9, 10)
    assert count(
        "SELECT count(*) AS n, count(value) AS finite, count(DISTINCT issued_for) AS issues "
        "FROM air_quality.forecasts"
    ) == [{"n": 12, "finite": 12, "issues": 1}]
    # What it invented stays apart from a real network (.invalid is nobody's: RFC 2606).
    real = installation.with_settings(AQ_AIRQINO_URL="https://airqino.invalid")
    refused = invoke(real, "refresh")
    assert refused.exit_code == 1
    assert "invented readings" in refused.stderr
    assert "AQ_HOME" in refused.stderr
    examined = invoke(real, "doctor")
    assert examined.exit_code == 1
    (home,) = [line for line in examined.stdout.splitlines() if " home: " in line]
    assert home.startswith("✗")
    assert "invented readings" in home


@pytest.mark.parametrize("arguments", [("demo", "--days", "2"), ("up", "--sandbox")])
def test_real_readings_stay_apart_from_the_demo(loaded: Loaded, arguments: tuple[str, ...]) -> None:
    before = loaded.installation.files("hourly_readings")
    done = loaded.installation.run(*arguments)
    assert done.returncode == 1
    assert "must not mix" in done.stderr
    assert "AQ_HOME" in done.stderr
    assert loaded.installation.files("hourly_readings") == before


def test_a_demo_needs_two_days(tmp_path: Path, invoke: Invoke) -> None:
    result = invoke(Installation(tmp_path), "demo", "--days", "1")
    assert result.exit_code == 2
    assert "--days" in result.stderr
