"""Hourly readings: folded versions in canonical units, flagged."""

from __future__ import annotations

import polars as pl

from aq_science.parameters import PARAMETERS
from aq_science.quality.core import Suite
from aq_science.quality.findings import flag_readings
from aq_science.quality.suite import STANDARD
from aq_science.tables.types import PARAMETER_SLOTS, UNIT
from aq_science.units import EU_REFERENCE_C, to_canonical
from aq_science.windows import Window

# Parameter and unit in one integer, which joins faster than the two columns; null without a unit.
_PAIR = (
    pl.col("unit_native").to_physical().cast(pl.Int64) * PARAMETER_SLOTS
    + pl.col("parameter").to_physical().cast(pl.Int64)
).alias("pair")


def hourly_readings(
    folded: pl.DataFrame,
    network: str,
    reference_c: float = EU_REFERENCE_C,
    suite: Suite = STANDARD,
    within: Window | None = None,
    neighbours: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Folded versions as `HOURLY_READINGS`: canonical units, quality flags and their reasons.

    A unit that is absent or cannot be converted leaves `value` null and flags the row `invalid`;
    the value as reported stays in `value_native`.

    Args:
        folded: One row an hour, as `fold_versions` gives them.
        network: Name of the network.
        reference_c: Temperature (°C) at which volume fractions of gases become concentrations.
        suite: The quality tests to run.
        within: Only the hours of this window are returned; the others of `folded` are what the
            tests look at beside them (`Suite.with_context`). None returns all of them.
        neighbours: Which stations are `NEIGHBOURS` of each other; None where that is not known.

    Returns:
        The readings in the order of `folded`; `hour` is the UTC beginning of the hour.
    """
    flagged = flag_readings(in_canonical_units(folded, reference_c), suite, neighbours)
    if within is not None:
        flagged = flagged.filter(pl.col("hour").is_between(within.start, within.end, closed="left"))
    return flagged.select(
        pl.lit(network, pl.Categorical()).alias("network"),
        "station_id",
        "parameter",
        "hour",
        "value",
        canonical_unit(),
        "value_native",
        "unit_native",
        "coverage",
        "flag",
        "reasons",
        "status",
        "sensor_id",
        "pulled_at",
        "revision",
    )


def canonical_unit() -> pl.Expr:
    """`unit`: the canonical one of each row's parameter."""
    units = pl.Series([p.unit for p in PARAMETERS.values()], dtype=UNIT)
    return pl.lit(units).gather(pl.col("parameter").to_physical()).alias("unit")


def in_canonical_units(folded: pl.DataFrame, reference_c: float = EU_REFERENCE_C) -> pl.DataFrame:
    """With `value` in the parameter's canonical unit, null where the unit is not known."""
    pairs = folded.select("parameter", "unit_native", _PAIR).unique("pair")
    factors = pl.DataFrame(
        [
            (pair, *((unit and to_canonical(parameter, unit, reference_c)) or (None, None)))
            for parameter, unit, pair in pairs.iter_rows()
        ],
        schema={"pair": pl.Int64(), "scale": pl.Float64(), "offset": pl.Float64()},
        orient="row",
    )
    if factors.filter(
        pl.col("scale").ne_missing(1.0) | pl.col("offset").ne_missing(0.0)
    ).is_empty():
        return folded.with_columns(value="value_native")
    return (
        folded.with_columns(_PAIR)
        .join(factors, on="pair", how="left", maintain_order="left")
        .with_columns(value=pl.col("value_native") * pl.col("scale") + pl.col("offset"))
        .drop("pair", "scale", "offset")
    )
