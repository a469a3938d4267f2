"""The European Air Quality Index with its bands of 2024: a level for the hour of each pollutant.

European Environment Agency; bands of ETC HE Report 2024/17. All five pollutants are judged by the
mean of the hour in µg/m³, a level goes up to its upper bound, which belongs to it, and the index of
a station is the worst of its pollutants.
"""

from __future__ import annotations

import polars as pl

NAME = "2024"
SOURCE = "ETC HE Report 2024/17"

CATEGORIES = ["Good", "Fair", "Moderate", "Poor", "Very poor", "Extremely poor"]
CATEGORY = pl.Enum(CATEGORIES)

# Those of the index's map at airindex.eea.europa.eu, from the best level to the worst.
COLOURS = ("#50F0E6", "#50CCAA", "#F0E641", "#FF5050", "#960032", "#7D2181")

# Upper bounds of the first five levels in µg/m³; what is above the last one is of the sixth.
UPPER_BOUNDS: dict[str, tuple[float, ...]] = {
    "pm25": (5.0, 15.0, 50.0, 90.0, 140.0),
    "pm10": (15.0, 45.0, 120.0, 195.0, 270.0),
    "no2": (10.0, 25.0, 60.0, 100.0, 150.0),
    "o3": (60.0, 100.0, 120.0, 160.0, 180.0),
    "so2": (20.0, 40.0, 125.0, 190.0, 275.0),
}

# In our own words after the health messages that the EEA gives with each level, the same for every
# pollutant: first for everyone, then for those who are sensitive to bad air.
_SYMPTOMS = "with symptoms such as a cough, a sore throat or sore eyes,"
_LESS = "less physical activity, above all outdoors and with symptoms."
ADVICE = (
    "Everyone: outdoor activities as usual.",
    "Everyone: outdoor activities as usual.",
    "Everyone: outdoor activities as usual. Sensitive people: less intense ones with symptoms.",
    f"Everyone: {_SYMPTOMS} less intense activities outdoors. Sensitive people: consider {_LESS}",
    f"Everyone: {_SYMPTOMS} less intense activities outdoors. Sensitive people: {_LESS}",
    "Everyone: less physical activity outdoors. Sensitive people: no physical activity outdoors.",
)


def european_level(parameter: str, value: pl.Expr) -> pl.Expr:
    """Level of an hour: 1 (good) to 6 (extremely poor), as Int8.

    `parameter` is one of `UPPER_BOUNDS`, `value` the hour's mean in µg/m³; noise below zero is
    good, and no value has no level.
    """
    level: pl.Expr = pl.lit(1, pl.Int8)
    for reached, bound in enumerate(UPPER_BOUNDS[parameter], start=2):
        level = pl.when(value > bound).then(pl.lit(reached, pl.Int8)).otherwise(level)
    # A value that is no number is above every bound to polars.
    return pl.when(value.is_not_null() & value.is_not_nan()).then(level)


def european_category(level: pl.Expr) -> pl.Expr:
    """Name of a level."""
    levels = dict(enumerate(CATEGORIES, start=1))
    return level.replace_strict(levels, default=None, return_dtype=CATEGORY)
