"""Where an hour's reading came from: the conversion, the tests that fired, and the raw pulls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from aq_resources.network_client import NetworkClient
from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_science.parameters import PARAMETERS
from aq_science.quality.findings import findings
from aq_science.quality.suite import STANDARD, neighbours_of
from aq_science.readings import in_canonical_units
from aq_science.units import to_canonical
from aq_science.versions import fold_versions
from aq_science.windows import HOUR, Window


@dataclass(frozen=True)
class Sources:
    """What a network's readings were made of.

    Attributes:
        stations: `STATIONS` of the network.
        readings: Its hourly readings.
        pulls: Its raw pulls.
        client: Reads them.
        reference_c: Temperature at which gases are converted, in °C.
    """

    stations: pl.DataFrame
    readings: DayFiles
    pulls: RawPullStore
    client: NetworkClient
    reference_c: float


@dataclass(frozen=True)
class Conversion:
    """From the network's unit to ours: `value_native * scale + offset`.

    Attributes:
        scale: Factor.
        offset: What is added then.
        reference_c: Temperature, of gases whose volume becomes a mass; None of all else.
    """

    scale: float
    offset: float
    reference_c: float | None


@dataclass(frozen=True)
class StoredAnswer:
    """An answer that a reading was made of.

    Attributes:
        uri: Address of its file.
        line: Its line in it, from 1.
        sha256: Of the line.
        answer: The answer itself; credentials were struck out before it was stored.
    """

    uri: str
    line: int
    sha256: str
    answer: RawAnswer


@dataclass(frozen=True)
class Origin:
    """Where a reading came from.

    Attributes:
        reading: Its row of `HOURLY_READINGS`.
        conversion: None where there is no value, or its unit cannot be converted.
        tests: What each test that fired saw: `test, version, flag, observed, limit`.
        answers: Empty where they are no longer stored, or the reading was made of older ones.
    """

    reading: dict[str, Any]
    conversion: Conversion | None
    tests: list[dict[str, Any]]
    answers: list[StoredAnswer]


def origin_of(sources: Sources, station: str, parameter: str, hour: datetime) -> Origin | None:
    """Where the reading of an hour came from.

    Args:
        sources: The network's.
        station: Its id.
        parameter: Canonical name.
        hour: Start of the hour, UTC.

    Returns:
        None where there is no reading.

    Raises:
        DamagedPull: A file of raw pulls cannot be read whole.
    """
    own = [
        pl.col("station_id").cast(pl.String) == station,
        pl.col("parameter").cast(pl.String) == parameter,
        pl.col("hour") == hour,
    ]
    day = Window.of_days(hour.date(), hour.date())
    rows = sources.readings.scan(day).filter(*own).collect()
    if rows.is_empty():
        return None
    reading = rows.row(0, named=True)
    return Origin(
        reading,
        _conversion(parameter, reading, sources.reference_c),
        _fired(sources, station, own, day),
        list(_answers(sources.pulls, reading["pulled_at"], Window(hour, hour + HOUR))),
    )


def _conversion(parameter: str, reading: dict[str, Any], reference_c: float) -> Conversion | None:
    unit = reading["unit_native"]
    found = unit and to_canonical(parameter, unit, reference_c)
    if reading["value_native"] is None or not found:
        return None
    is_gas = PARAMETERS[parameter].molar_mass is not None
    return Conversion(*found, reference_c if is_gas else None)


def _fired(sources: Sources, station: str, own: list[pl.Expr], day: Window) -> list[dict[str, Any]]:
    """What the tests that fired saw, and their limits."""
    of_station = pl.col("station_id").cast(pl.String) == station
    near = neighbours_of(sources.stations)
    around = near.filter(of_station)["neighbour"]
    reader = VersionReader(sources.pulls, sources.client)
    versions = reader.read(STANDARD.with_context(day)).filter(
        of_station | pl.col("station_id").is_in(around.implode())
    )
    converted = in_canonical_units(fold_versions(versions), sources.reference_c)
    fired = findings(converted, neighbours=near).filter(*own)
    return fired.select("test", "version", "flag", "observed", "limit").to_dicts()


def _answers(pulls: RawPullStore, pulled_at: datetime, window: Window) -> Iterator[StoredAnswer]:
    for folder in pulls.folders(window):
        for uri, line, digest, answer in pulls.lines(folder):
            if answer.pulled_at == pulled_at and answer.covers.overlaps(window):
                yield StoredAnswer(uri, line, digest, answer)
