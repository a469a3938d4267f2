"""Air-quality index of the US EPA, and the WHO 2021 guideline levels.

Breakpoints in force since 6 May 2024 (EPA-454/B-24-002): PM2.5 from the 24-hour mean in µg/m³,
CO from the 8-hour mean in ppm. Concentrations are truncated to 0.1, the index rounds half up, and
the last band is open-ended with its own slope.
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
}

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
        ppm for CO, µg/m³ for PM2.5.
    """
    if parameter != "co":
        return value
    scale, _ = to_canonical("co", "ppm", reference_c) or (1.0, 0.0)
    return value / scale


def aqi(parameter: str, concentration: pl.Expr) -> pl.Expr:
    """Index (Int32) of `concentration` in the table's own unit; negative noise counts as 0."""
    # The small addend undoes binary representation (9.1 is stored just below 9.1).
    truncated = ((concentration.clip(lower_bound=0.0) + 1e-9) * 10).floor() / 10
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
