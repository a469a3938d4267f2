"""`aq backtest`: a file in, a row a forecast out, the same bytes each time, and the scores."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from aq_science.forecasting.backtest import BACKTEST_SCHEMA
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import Invoke

HOURS = 24 * 24
START = datetime(2024, 1, 1)
SINCE = "2024-01-18"


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stations; hours without a zone, and one missing day."""
    path = tmp_path_factory.mktemp("readings") / "hours.parquet"
    hours = [START + timedelta(hours=n) for n in range(HOURS)]
    rows = [
        {
            "station_id": station,
            "parameter": parameter,
            "hour": hour,
            "value": scale * (20 + 6 * math.sin(n / 4) + (n * 7919 % 13) / 3),
        }
        for station in ("a", "b")
        for parameter, scale in (("pm25", 1.0), ("co", 0.03), ("no2", 1.5))
        for n, hour in enumerate(hours)
        if hour.day != 12
    ]
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_every_forecast_is_a_row_and_a_second_run_gives_the_same_bytes(
    fresh: Installation, invoke: Invoke, readings: Path, tmp_path: Path
) -> None:
    written = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for path in written:
        arguments = ("--readings", str(readings), "--out", str(path), "--since", SINCE)
        result = invoke(fresh, "backtest", *arguments)
        assert result.exit_code == 0, result.output
    assert written[0].read_bytes() == written[1].read_bytes()
    rows = pl.read_parquet(written[0])
    assert rows.schema == BACKTEST_SCHEMA
    # Two series a station, two horizons, and an issue time an hour up to the last reading.
    issue_times = HOURS - 17 * 24
    assert len(rows) == 2 * 2 * 2 * issue_times
    assert rows["value"].null_count() == 0
    assert rows["actual"].null_count() == 4
    assert "pm25" in result.stdout
    assert "skill" in result.stdout


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (pl.all().exclude("value"), (), "lacks value"),
        (pl.all(), ("--since", "2025-01-01"), "before scoring starts at 2025-01-01 00:00Z"),
        (pl.all(), ("--since", "2024-01-18T00:30"), "not on the hour"),
        (pl.all(), (), "before scoring starts"),
    ],
    ids=["a column", "too late", "half an hour", "too short for eight weeks"],
)
def test_what_cannot_be_done_is_said_in_one_line(
    fresh: Installation,
    invoke: Invoke,
    readings: Path,
    tmp_path: Path,
    change: pl.Expr,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    path, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pl.read_parquet(readings).select(change).write_parquet(path)
    result = invoke(fresh, "backtest", "--readings", str(path), "--out", str(out), *arguments)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())
    assert not out.exists()


def test_two_readings_of_an_hour_are_refused(
    fresh: Installation, invoke: Invoke, readings: Path, tmp_path: Path
) -> None:
    path = tmp_path / "in.parquet"
    table = pl.read_parquet(readings)
    pl.concat([table, table[:1]]).write_parquet(path)
    result = invoke(fresh, "backtest", "--readings", str(path), "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "more than one reading of an hour" in " ".join(result.stderr.split())
