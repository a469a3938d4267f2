"""What the quality tests find in real recordings: a table by month, and pictures to look at.

Reads AirQino's two stations of Abidjan and three of Beijing from `AQ_REAL_DATA`; pictures of every
series, with what is flagged in colour, go into `build/flags`. Of values reported by networks
between 0.65 and 5.7 % are flagged (Wu et al. 2018: 1,436 stations of CNEMC).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.readings import hourly_readings
from aq_science.tables.types import INSTANT
from aq_science.versions import VERSION_SCHEMA, fold_versions
from benchmarks.common import machine

SHOWN = ("pm25", "pm10", "co", "no2", "o3")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def airqino(folder: Path) -> Iterator[pl.DataFrame]:
    """Versions of AirQino's stations, by its own parser."""
    config = NetworkConfig(name="airqino", start_date=_NOW.date(), stations=("1",))
    client = create_client(config, Settings(), lambda: _NOW)
    for path in sorted((folder / "airqino").glob("*_2024-09.json")):
        station = path.name.partition("_")[0]
        window = (datetime(2023, 9, 1, tzinfo=UTC), datetime(2024, 10, 1, tzinfo=UTC))
        url = f"/v3/getStationHourlyAvg/{station}"
        yield client.parse(
            [RawAnswer(url, {}, window, _NOW, 200, path.read_text("utf-8"))]
        ).versions


def beijing(folder: Path) -> Iterator[pl.DataFrame]:
    """Versions of three stations of Beijing; local time is UTC+8."""
    fields = {"PM2.5": "pm25", "PM10": "pm10", "CO": "co", "NO2": "no2", "O3": "o3"}
    for path in sorted((folder / "prsa").glob("*.csv.gz")):
        wide = pl.read_csv(path, null_values=["NA"], infer_schema_length=None)
        long = wide.select(
            hour=pl.datetime("year", "month", "day", "hour") - pl.duration(hours=8),
            **{name: pl.col(field).cast(pl.Float64) for field, name in fields.items()},
        ).unpivot(index="hour", variable_name="parameter", value_name="value_native")
        rows = long.drop_nulls().with_columns(
            station_id=pl.lit(path.name.partition("_")[0]),
            hour=pl.col("hour").dt.replace_time_zone("UTC").cast(INSTANT),
            unit_native=pl.lit("µg/m³"),
            duplicate=pl.lit(value=False),
            provider_flag=pl.lit(value=False),
            pulled_at=pl.lit(_NOW),
        )
        yield rows.select(
            (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
            for name, kind in VERSION_SCHEMA.items()
        )


def by_month(readings: pl.DataFrame) -> pl.DataFrame:
    """Rows of station and parameter, a column a month: per cent flagged, and the tests of all."""
    flagged = pl.col("flag").is_in(["suspect", "invalid"])
    series = ["station_id", "parameter"]
    months = (
        readings.group_by(*series, pl.col("hour").dt.strftime("%y-%m").alias("month"))
        .agg(share=(100 * flagged.mean()).round(1))
        .sort("month")
        .pivot("month", index=series, values="share")
    )
    tests = (
        readings.filter(flagged)
        .explode("reasons")
        .filter(pl.col("reasons") != "negative")
        .group_by(*series, "reasons")
        .len()
        .sort("len", descending=True)
        .group_by(series, maintain_order=True)
        .agg(tests=pl.format("{} {}", "reasons", "len").str.join(", "))
    )
    whole = readings.group_by(series).agg(
        pl.len().alias("hours"), all=(100 * flagged.mean()).round(2)
    )
    return whole.join(tests, on=series, how="left").join(months, on=series).sort(series)


def draw(readings: pl.DataFrame, folder: Path) -> None:
    """One picture a series: every value, and in colour what is not valid."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    for (station, parameter), part in readings.partition_by(
        "station_id", "parameter", as_dict=True
    ).items():
        figure = Figure(figsize=(14, 3), layout="constrained")
        axes = figure.add_subplot()
        for flag, colour in (("valid", "#5b7f95"), ("suspect", "#e07b39"), ("invalid", "#b5122b")):
            own = part.filter(pl.col("flag") == flag)
            axes.plot(own["hour"].to_list(), own["value"].to_list(), ".", ms=2, color=colour)
        axes.set_title(f"{station} {parameter}", fontsize=9)
        axes.set_ylabel(str(part["unit"][0]))
        figure.savefig(folder / f"{station}_{parameter}.png", dpi=80)


def main() -> None:
    """Flag, print the table and write the pictures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pictures", type=Path, default=Path("build/flags"))
    given = options.parse_args()
    folder = Path(os.environ.get("AQ_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    print(machine())
    for name, versions in (("airqino", airqino(folder)), ("beijing", beijing(folder))):
        readings = hourly_readings(fold_versions(pl.concat(versions)), name)
        readings = readings.filter(pl.col("parameter").is_in(SHOWN))
        with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=200, tbl_width_chars=-1):
            print(by_month(readings).select("station_id", "parameter", "hours", "all", "tests"))
            print(by_month(readings).drop("hours", "all", "tests"))
        draw(readings, given.pictures)


if __name__ == "__main__":
    main()
