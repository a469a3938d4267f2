"""Air-quality index of the US EPA, and the WHO 2021 guideline levels.

Breakpoints in force since 6 May 2024 (EPA-454/B-24-002, 40 CFR 58 Appendix G): PM2.5 and PM10 from
the 24-hour mean in µg/m³, CO and O3 from the 8-hour mean in ppm, NO2 and SO2 from the highest hour
in ppb (SO2 from 305 ppb on from the 24-hour mean). Concentrations are truncated, the index rounds
half up, and the last band is open-ended with its own slope.
"""

from __future__ import annotations

import polars as pl

from aq_science.units import EU_REFERENCE_C, to_canonical

CATEGORIES = [
    "Good",
    "Moderate",
    "Unhealthy for Sensitive Groups",
    "Unhealthy",
    "Very Unhealthy",
    "Hazardous",
]
CATEGORY = pl.Enum(CATEGORIES)

# (lowest concentration, highest concentration, lowest index, highest index)
Band = tuple[float, float, int, int]
US_EPA_2024: dict[str, tuple[Band, ...]] = {
    "pm25": (
        (0.0, 9.0, 0, 50),
        (9.1, 35.4, 51, 100),
        (35.5, 55.4, 101, 150),
        (55.5, 125.4, 151, 200),
        (125.5, 225.4, 201, 300),
        (225.5, 325.4, 301, 500),
    ),
    "co": (
        (0.0, 4.4, 0, 50),
        (4.5, 9.4, 51, 100),
        (9.5, 12.4, 101, 150),
        (12.5, 15.4, 151, 200),
        (15.5, 30.4, 201, 300),
        (30.5, 50.4, 301, 500),
    ),
    "pm10": (
        (0, 54, 0, 50),
        (55, 154, 51, 100),
        (155, 254, 101, 150),
        (255, 354, 151, 200),
        (355, 424, 201, 300),
        (425, 604, 301, 500),
    ),
    "o3": (
        (0.0, 0.054, 0, 50),
        (0.055, 0.070, 51, 100),
        (0.071, 0.085, 101, 150),
        (0.086, 0.105, 151, 200),
        (0.106, 0.200, 201, 300),
    ),
    "no2": (
        (0, 53, 0, 50),
        (54, 100, 51, 100),
        (101, 360, 101, 150),
        (361, 649, 151, 200),
        (650, 1249, 201, 300),
        (1250, 2049, 301, 500),
    ),
    "so2": (
        (0, 35, 0, 50),
        (36, 75, 51, 100),
        (76, 185, 101, 150),
        (186, 304, 151, 200),
        (305, 604, 201, 300),
        (605, 1004, 301, 500),
    ),
}
# The table's unit and the decimals to which a concentration is truncated, by parameter.
INDEX_UNITS = {
    "pm25": ("µg/m³", 1),
    "pm10": ("µg/m³", 0),
    "co": ("ppm", 1),
    "o3": ("ppm", 3),
    "no2": ("ppb", 0),
    "so2": ("ppb", 0),
}
# From so many ppb of SO2 on the 24-hour mean counts; the hour says no more than the band before.
SO2_BY_MEAN = 305.0

# 24-hour levels of the WHO global air quality guidelines 2021 (O3: maximum daily 8-hour mean).
WHO_2021_DAILY = {"pm25": 15.0, "pm10": 45.0, "no2": 25.0, "so2": 40.0, "co": 4.0, "o3": 100.0}
WHO_2021_8H = frozenset({"o3"})


def aqi_concentration(
    parameter: str, value: pl.Expr, reference_c: float = EU_REFERENCE_C
) -> pl.Expr:
    """A concentration in the unit of the index table.

    Args:
        parameter: its canonical name.
        value: in the parameter's canonical unit.
        reference_c: temperature (°C) at which gases are converted.

    Returns:
        In the unit of `INDEX_UNITS`.
    """
    scale, _ = to_canonical(parameter, INDEX_UNITS[parameter][0], reference_c) or (1.0, 0.0)
    return value if scale == 1.0 else value / scale


def daily_aqi(
    parameter: str,
    mean: pl.Expr,
    maximum: pl.Expr,
    max_8h_mean: pl.Expr,
    reference_c: float = EU_REFERENCE_C,
) -> pl.Expr:
    """Index of a day.

    Args:
        parameter: its canonical name, one of `US_EPA_2024`.
        mean: of the day's hours, like the others in the parameter's canonical unit.
        maximum: highest hour.
        max_8h_mean: highest running 8-hour mean.
        reference_c: temperature (°C) at which gases are converted.

    Returns:
        The index (Int32); null where what it is made from is.
    """
    basis = {"co": max_8h_mean, "o3": max_8h_mean, "no2": maximum, "so2": maximum}
    value = aqi_concentration(parameter, basis.get(parameter, mean), reference_c)
    if parameter == "so2":
        whole_day = aqi_concentration(parameter, mean, reference_c)
        value = (
            pl.when(whole_day >= SO2_BY_MEAN)
            .then(whole_day)
            .otherwise(value.clip(upper_bound=SO2_BY_MEAN - 1))
        )
    return aqi(parameter, value)


def aqi(parameter: str, concentration: pl.Expr) -> pl.Expr:
    """Index (Int32) of `concentration` in the table's own unit; negative noise counts as 0."""
    # The small addend undoes binary representation (9.1 is stored just below 9.1).
    steps = 10 ** INDEX_UNITS[parameter][1]
    truncated = ((concentration.clip(lower_bound=0.0) + 1e-9) * steps).floor() / steps
    index: pl.Expr = pl.lit(None, pl.Float64)
    for low, high, index_low, index_high in US_EPA_2024[parameter]:
        slope = (index_high - index_low) / (high - low)
        index = (
            pl.when(truncated >= low - 1e-9)
            .then(index_low + slope * (truncated - low))
            .otherwise(index)
        )
    return (index + 0.5 + 1e-9).floor().cast(pl.Int32)


def aqi_category(index: pl.Expr) -> pl.Expr:
    """Name of the category an index falls in."""
    name: pl.Expr = pl.lit(None, CATEGORY)
    for (_, _, lowest, _), category in zip(US_EPA_2024["pm25"], CATEGORIES, strict=True):
        name = pl.when(index >= lowest).then(pl.lit(category, CATEGORY)).otherwise(name)
    return name


def by_parameter(parameter: pl.Expr, choices: dict[str, pl.Expr], otherwise: pl.Expr) -> pl.Expr:
    """The expression that belongs to each row's parameter.

    Args:
        parameter: the row's parameter.
        choices: expression by parameter.
        otherwise: for every other parameter.

    Returns:
        One expression for all rows.
    """
    chosen = otherwise
    for name, expression in choices.items():
        chosen = pl.when(parameter == name).then(expression).otherwise(chosen)
    return chosen
