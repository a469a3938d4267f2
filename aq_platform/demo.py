"""The demo's findings, and the wall between sandbox data and real data."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import polars as pl
from rich.console import Console
from rich.table import Table

from aq_resources.failures import SettingsError
from aq_resources.networks import settings_class
from aq_resources.platform import Platform

_MARK = "holds-sandbox-data"
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def mark_sandbox_home(home: Path) -> None:
    """Note that this home holds invented readings."""
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()


def refuse_mixing(platform: Platform) -> None:
    """Keep real networks out of a home that holds invented readings."""
    if not (platform.settings.home / _MARK).exists():
        return
    for network in platform.networks:
        address = str(getattr(settings_class(network)(), "url", ""))
        if urlparse(address).hostname not in _LOCAL:
            raise SettingsError(
                f"{platform.settings.home} holds the demo's invented readings, and {network} is "
                f"set to the real {address}. Set AQ_HOME to another folder for real data (or "
                "delete this one), or add --sandbox to stay in the demo."
            )


def print_findings(platform: Platform, console: Console) -> None:
    """Stations, the last daily averages and the next two hours' forecasts."""
    connection = platform.warehouse.connect_read_only()
    try:
        for title, sql in _FINDINGS.items():
            console.print(rich_table(connection.sql(sql).pl(), title))
    finally:
        connection.close()


_FINDINGS = {
    "Stations": """
        SELECT network, station_id, name, round(latitude, 4) AS latitude,
               round(longitude, 4) AS longitude, timezone, len(parameters) AS parameters
        FROM air_quality.stations ORDER BY ALL""",
    "Last daily averages": """
        SELECT network, station_id, parameter, date, round(mean, 2) AS mean, unit,
               hours_valid || '/' || hours_expected AS hours, valid,
               round(max_8h_mean, 2) AS max_8h, aqi, aqi_category
        FROM air_quality.daily_averages
        WHERE parameter IN ('pm25', 'co')
          AND date > (SELECT max(date) FROM air_quality.daily_averages) - 3
        ORDER BY network, station_id, parameter, date""",
    "Forecast of the next two hours": """
        SELECT network, station_id, parameter, strftime(hour, '%Y-%m-%d %H:%M') AS hour_utc,
               round(value, 2) AS value, round(lower_80, 2) AS lower_80,
               round(upper_80, 2) AS upper_80, unit, model, aqi_category
        FROM air_quality.forecasts
        WHERE issued_for = (SELECT max(issued_for) FROM air_quality.forecasts)
        ORDER BY network, station_id, parameter, hour""",
}


def rich_table(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A frame as a table for the terminal."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*("" if value is None else _cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
