"""The demo's findings, and the wall between sandbox data and real data."""

from __future__ import annotations

from urllib.parse import urlparse

import polars as pl
from rich.console import Console
from rich.table import Table

from aq_resources.failures import SettingsError
from aq_resources.networks import settings_class
from aq_resources.platform import Platform

_MARK = "sandbox/these-readings-are-invented"
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def claim_for_sandbox(platform: Platform) -> None:
    """Mark the object store as holding invented readings; refuse one that holds others."""
    store = platform.object_store
    if store.exists(_MARK):
        return
    if store.folders(""):
        raise SettingsError(
            f"{platform.settings.object_store_url} holds readings that the sandbox did not make; "
            "its invented ones must not mix with them. Set AQ_HOME to an empty folder, and leave "
            "AQ_OBJECT_STORE and AQ_WAREHOUSE unset."
        )
    store.put(_MARK, b"Made by `aq demo` or `aq up --sandbox`.\n")


def refuse_mixing(platform: Platform) -> None:
    """Keep real networks out of a store that holds invented readings."""
    if not platform.object_store.exists(_MARK):
        return
    for network in platform.networks:
        try:
            address = str(getattr(settings_class(network)(), "url", ""))
        except SettingsError:
            # Nothing is pulled with settings that are wrong.
            continue
        if urlparse(address).hostname not in _LOCAL:
            raise SettingsError(
                f"{platform.settings.object_store_url} holds the demo's invented readings, and "
                f"{network} is set to the real {address}. Set AQ_HOME to another folder for real "
                "data (or delete this one), or add --sandbox to stay in the demo."
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
        SELECT network, station_id, name, city, round(latitude, 4) AS latitude,
               round(longitude, 4) AS longitude, timezone, len(parameters) AS parameters
        FROM air_quality.stations ORDER BY ALL""",
    "Last daily averages": """
        SELECT network, coalesce(name, station_id) AS station, parameter, date,
               round(mean, 2) AS mean, d.unit, hours_valid || '/' || hours_expected AS hours,
               CASE WHEN valid THEN 'yes' ELSE 'no' END AS valid, aqi, aqi_category
        FROM air_quality.daily_averages d LEFT JOIN air_quality.stations USING (network, station_id)
        WHERE parameter IN ('pm25', 'co')
          AND date > (SELECT max(date) FROM air_quality.daily_averages) - 2
        ORDER BY network, station, parameter, date""",
    "Forecast of the next two hours": """
        SELECT network, coalesce(name, station_id) AS station, parameter,
               strftime(hour, '%H:%M UTC') AS hour, round(value, 2) AS value,
               round(lower_80, 2) || ' - ' || round(upper_80, 2) AS "80 % interval", unit, model
        FROM air_quality.forecasts LEFT JOIN air_quality.stations USING (network, station_id)
        WHERE issued_for = (SELECT max(issued_for) FROM air_quality.forecasts)
        ORDER BY network, station, parameter, horizon""",
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
