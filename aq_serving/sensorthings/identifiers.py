"""Identifiers of entities: texts made of the keys of the tables, which stay the same.

`<network>:<station_id>` names a Thing, its place and its feature of interest;
`<network>:<station_id>:<parameter>:<series>` a Datastream, and `<Datastream>:<time>` an
Observation. The station may contain a colon; nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

SEPARATOR = ":"
MINUTE = "%Y%m%dT%H%MZ"
MICROSECOND = "%Y%m%dT%H%M%S%6fZ"
DAY = "%Y%m%d"


def joined(*parts: pl.Expr) -> pl.Expr:
    """The identifier made of these parts."""
    return pl.concat_str(*parts, separator=SEPARATOR)


def station_of(network: pl.Expr, station: pl.Expr) -> pl.Expr:
    """Identifier of the station's Thing."""
    return joined(network.cast(pl.String), station.cast(pl.String))


@dataclass(frozen=True)
class ObservationId:
    """What an Observation's identifier says.

    Attributes:
        datastream: The Datastream's.
        around: The time in it, which is at most a day from the phenomenon's.
    """

    datastream: str
    around: datetime


def parse_observation(text: str) -> ObservationId | None:
    """The parts of an Observation's identifier; None where it is none.

    >>> parse_observation("airqino:s1:pm25:hourly:20240301T0500Z").datastream
    'airqino:s1:pm25:hourly'
    >>> parse_observation("airqino:s1") is None
    True
    """
    datastream, _, stamp = text.rpartition(SEPARATOR)
    for form in (MINUTE, DAY):
        try:
            around = datetime.strptime(stamp, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return ObservationId(datastream, around) if around.year > 1 and datastream else None
    return None
