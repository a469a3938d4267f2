"""What stands behind a number, in words: `aq why` and `aq explain`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from aq_assets.freshness import allowed_silence
from aq_assets.gaps import answered
from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.reading_origin import Origin, Sources, origin_of
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.averages import REACH_AFTER, REACH_BEFORE
from aq_science.gaps import expected_hours, hour_causes
from aq_science.parameters import PARAMETERS
from aq_science.stations import day_zone
from aq_science.tables.daily_averages import COMPLETENESS, DAILY_AVERAGES
from aq_science.tables.stations import STATIONS
from aq_science.tables.types import PARAMETER
from aq_science.windows import DAY, Window, midnight

_IN_WORDS = {
    "rejected": "rejected by {tests}",
    "coverage_too_low": "too little of the hour was measured",
    "withdrawn": "{title} has taken the value back",
    "not_yet_due": "not due yet",
    "pull_failed": "no answer of {title} that covers it has come since it ended",
    "station_retired": "nothing has been heard of the station for a month before",
    "source_silent": "{title} answered, and had no value",
}


class _Series:
    """One station's parameter in a network, with all that is stored about it."""

    def __init__(
        self, services: Services, config: NetworkConfig, station: str, parameter: str
    ) -> None:
        if parameter not in PARAMETERS:
            raise SettingsError(f"No parameter {parameter!r}; there are {', '.join(PARAMETERS)}.")
        self.services = services
        self.config = config
        self.parameter = parameter
        self.station = station
        # Conditions on a table's rows.
        of_station = pl.col("station_id").cast(pl.String) == station
        self.own = (of_station, pl.col("parameter").cast(pl.String) == parameter)
        self.pulls = RawPullStore(services.object_store, config.name)
        self.stations = services.warehouse.rows(config.name, STATIONS).filter(of_station)
        zone = self.stations["timezone"].to_list() if len(self.stations) else []
        self.zone = day_zone(zone[0] if zone else None)
        self.name = f"{config.name} {station} {parameter}"

    def readings(self, window: Window) -> pl.DataFrame:
        """The series' hourly readings."""
        files = self.services.files.day_files(self.config.name, "hourly_readings")
        return (
            files.scan(window)
            .filter(
                *self.own,
                pl.col("hour").is_between(window.start, window.end, closed="left"),
            )
            .collect()
            .sort("hour")
        )

    def average(self, day: date) -> dict[str, Any] | None:
        """The row of a local day."""
        rows = self.services.warehouse.rows(self.config.name, DAILY_AVERAGES, (day, day + DAY))
        own = rows.filter(*self.own)
        return own.row(0, named=True) if len(own) else None

    def local(self, moment: datetime) -> datetime:
        """In the station's zone."""
        return moment.astimezone(ZoneInfo(self.zone))


def why(
    services: Services, config: NetworkConfig, station: str, parameter: str, day: date
) -> Iterator[str]:
    """Say what became of every hour of a station's local day.

    Args:
        services: For the stores.
        config: The network.
        station: Its id.
        parameter: Canonical name.
        day: Local date of the station.

    Yields:
        Lines of text.

    Raises:
        SettingsError: There is no such parameter or station.
    """
    series = _Series(services, config, station, parameter)
    around = Window(midnight(day) - REACH_BEFORE, midnight(day) + DAY + REACH_AFTER)
    whole_days = Window.of_days(around.dates[0], around.dates[-1])
    readings = series.readings(whole_days)
    if series.stations.is_empty() and readings.is_empty():
        raise SettingsError(
            f"{config.name} has no station {station!r}: SELECT station_id, name FROM "
            f"{config.name}.stations lists them."
        )
    of_day = pl.col("hour").dt.convert_time_zone(series.zone).dt.date() == day
    listed = pl.DataFrame(
        {"station_id": [station], "parameters": [[parameter]]},
        schema={"station_id": pl.Categorical(), "parameters": pl.List(pl.String())},
    )
    expected = expected_hours(listed, readings, whole_days).filter(
        of_day, pl.col("parameter") == pl.lit(parameter, PARAMETER)
    )
    evidence = answered(series.pulls, series.stations, readings, whole_days)
    due = services.now() - allowed_silence(config)
    causes = hour_causes(expected, readings, evidence, series.stations, due)
    yield from _verdict(series, day, len(expected), len(expected) - len(causes))
    values = {row["hour"]: row for row in readings.iter_rows(named=True)}
    for row in causes.iter_rows(named=True):
        words = _IN_WORDS[row["cause"]].format(
            tests=", ".join(row["tests"] or []), title=series.services.client(config.name).title
        )
        reading = values.get(row["hour"])
        if reading is not None and reading["value_native"] is not None:
            words += f" (it says {reading['value_native']:g} {reading['unit_native']})"
        yield f"  {row['hour']:%Y-%m-%d %H:%M}Z, {series.local(row['hour']):%H:%M} there: {words}"


def _verdict(series: _Series, day: date, expected: int, valid: int) -> Iterator[str]:
    row = series.average(day)
    where = f"{series.name} on {day} ({series.zone})"
    yield f"{where}: {valid} of {expected} hours are valid."
    if row is None:
        yield (
            "There is no daily average of it: no hour has a value, or the day was never averaged "
            f"(aq backfill {series.config.name} --start {day} --end {day})."
        )
        return
    if row["mean"] is None:
        yield "There is no mean, since no hour is valid."
    else:
        share = f"{row['completeness']:.0%} of its hours; {COMPLETENESS:.0%} are needed"
        verdict = "valid" if row["valid"] else "not valid"
        yield f"The mean is {row['mean']:g} {row['unit']}. The day is {verdict}: it has {share}."


def explain(
    services: Services,
    config: NetworkConfig,
    station: str,
    parameter: str,
    moment: date | datetime,
) -> Iterator[str]:
    """Lead from a number back to the bytes that it came from.

    Args:
        services: For the stores.
        config: The network.
        station: Its id.
        parameter: Canonical name.
        moment: An hour (aware), or the local date of a daily average.

    Yields:
        Lines of text.

    Raises:
        SettingsError: There is no such number.
    """
    series = _Series(services, config, station, parameter)
    if isinstance(moment, datetime):
        yield from _explain_hour(series, moment)
        return
    row = series.average(moment)
    if row is None:
        raise SettingsError(f"There is no daily average of {series.name} on {moment}.")
    yield (
        f"{series.name} on {moment} ({row['timezone']}): mean {_number(row['mean'])} "
        f"{row['unit']} of {row['hours_valid']} valid hours, rule {row['rule']}"
    )
    around = Window.of_days(moment - DAY, moment + DAY)
    zone = str(row["timezone"])
    of_day = pl.col("hour").dt.convert_time_zone(zone).dt.date() == moment
    for reading in series.readings(around).filter(of_day).iter_rows(named=True):
        reasons = f" ({', '.join(reading['reasons'])})" if reading["reasons"] else ""
        yield (
            f"  {reading['hour']:%Y-%m-%d %H:%M}Z {_number(reading['value'])} {reading['unit']} "
            f"{reading['flag']}{reasons}"
        )
    yield f"An hour's own way: aq explain {series.name} 2026-01-31T05:00Z, with its time."


def _explain_hour(series: _Series, moment: datetime) -> Iterator[str]:
    sources = Sources(
        series.services.warehouse.rows(series.config.name, STATIONS),
        series.services.files.day_files(series.config.name, "hourly_readings"),
        series.pulls,
        series.services.client(series.config.name),
        series.services.settings.gas_reference_celsius,
    )
    origin = origin_of(sources, series.station, series.parameter, moment)
    if origin is None:
        raise SettingsError(
            f"There is no reading of {series.name} at {moment:%Y-%m-%d %H:%M}Z. "
            f"aq why {series.name} {series.local(moment).date()} says why."
        )
    reading = origin.reading
    yield f"{series.name} at {moment:%Y-%m-%d %H:%M}Z, the hour that begins then"
    reasons = ", ".join(reading["reasons"]) or "no test fired"
    yield f"  reading: {_number(reading['value'])} {reading['unit']}, {reading['flag']} ({reasons})"
    yield f"  of sensor {reading['sensor_id']}" if reading["sensor_id"] else "  of one sensor alone"
    yield f"  {_conversion(origin)}"
    yield f"  revision {reading['revision']}, received {reading['pulled_at']:%Y-%m-%d %H:%M:%S}Z"
    for row in origin.tests:
        yield (
            f"  test {row['test']} {row['version']} ({row['flag']}): "
            f"saw {_number(row['observed'])}, limit {_number(row['limit'])}"
        )
    for stored in origin.answers:
        yield f"  raw pull: {stored.uri}, line {stored.line}, sha256 {stored.sha256}"
        yield f"    {stored.answer.url} {dict(stored.answer.params) or ''}".rstrip()
    if not origin.answers:
        yield "  raw pull: it is no longer stored, or the reading was made of an older one"


def _conversion(origin: Origin) -> str:
    native, unit = origin.reading["value_native"], origin.reading["unit_native"]
    if native is None:
        return "no value"
    given = f"{native:g} {unit or 'without a unit'}"
    conversion = origin.conversion
    if conversion is None:
        return f"as received: {given}, which cannot be converted"
    scale, offset = conversion.scale, conversion.offset
    if (scale, offset) == (1.0, 0.0):
        return f"as received: {given}"
    shift = f" {offset:+g}" if offset else ""
    reference_c = conversion.reference_c
    reference = "" if reference_c is None else f", at {reference_c:g} °C and 101.325 kPa"
    return f"as received: {given}, times {scale:.6g}{shift}{reference}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
