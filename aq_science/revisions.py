"""What networks changed of hours that were already known: when, from which value to which."""

from __future__ import annotations

import polars as pl

from aq_science.readings import canonical_unit, in_canonical_units
from aq_science.tables.revisions import REVISIONS
from aq_science.units import EU_REFERENCE_C
from aq_science.versions import hour_changes
from aq_science.windows import Window


def revisions(
    versions: pl.DataFrame,
    network: str,
    reference_c: float = EU_REFERENCE_C,
    within: Window | None = None,
) -> pl.DataFrame:
    """Every change of an hour, as many of them as the `revision` of its reading says.

    Args:
        versions: `VERSION_SCHEMA`, as `fold_versions` gets them.
        network: Name of the network.
        reference_c: Temperature (°C) at which volume fractions of gases become concentrations.
        within: Only the hours of this window (UTC); all without.

    Returns:
        `REVISIONS` rows, sorted by their key.
    """
    if within is not None:
        inside = pl.col("hour").is_between(within.start, within.end, closed="left")
        versions = versions.filter(inside)
    contents = in_canonical_units(hour_changes(versions), reference_c)
    # The row before is the hour's former content, for all but its first.
    pairs = contents.with_columns(
        value_before=pl.col("value").shift(1),
        known_since=pl.col("pulled_at").shift(1),
        sensor_before=pl.col("sensor_id").shift(1),
    ).filter(pl.col("revision") > 0)
    return pairs.select(
        network=pl.lit(network, pl.Categorical()),
        station_id="station_id",
        parameter="parameter",
        date=pl.col("hour").dt.date(),
        hour="hour",
        revision="revision",
        known_since="known_since",
        changed_at="pulled_at",
        value_before="value_before",
        value_after="value",
        change=pl.col("value") - pl.col("value_before"),
        unit=canonical_unit(),
        status_after="status",
        sensor_before="sensor_before",
        sensor_after="sensor_id",
    ).select(REVISIONS.schema.names())
