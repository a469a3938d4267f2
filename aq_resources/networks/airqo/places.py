"""Where AirQo's records were measured: the site that each names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import as_dict, dicts_in
from aq_resources.network_toolkit.rows import instant
from aq_resources.networks.airqo.bodies import device_of, position, records_of, stamp_of
from aq_resources.networks.airqo.parse import SECONDS, STAMP
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.places import PLACE_SCHEMA
from aq_science.stations import country_code

_ZERO = (0.0, 0.0)


def read_places(answers: Iterable[RawAnswer]) -> pl.DataFrame:
    """The site of every record that names one.

    Args:
        answers: Stored answers.

    Returns:
        `PLACE_SCHEMA`; 0, 0 is no position.
    """
    frames = [PLACE_SCHEMA.to_frame()]
    for answer in answers:
        records = records_of(answer, Problems(), set()) or []
        rows = [_row(record, answer) for record in dicts_in(records)]
        read = pl.DataFrame(
            [row for row in rows if row is not None],
            schema={**PLACE_SCHEMA, "hour": pl.String()},
            orient="row",
        )
        stamp = pl.col("hour").str.extract(STAMP).str.replace("T", " ")
        frames.append(read.with_columns(hour=instant(stamp, SECONDS)).drop_nulls("hour"))
    return pl.concat(frames)


def _row(record: dict[str, Any], answer: RawAnswer) -> tuple[Any, ...] | None:
    device, stamp = device_of(record), stamp_of(record)
    if not isinstance(device, str) or not isinstance(stamp, str):
        return None
    site = as_dict(record.get("siteDetails")) or record
    name = _text(site.get("name")) or _text(record.get("site_name"))
    latitude, longitude = position(site)
    if latitude is None or longitude is None or (latitude, longitude) == _ZERO:
        latitude = longitude = None
    country = _text(site.get("country"))
    return (
        device,
        stamp,
        answer.pulled_at,
        name,
        latitude,
        longitude,
        country and country_code(country),
        _text(site.get("city")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
