"""Where a forecast's interval comes from: quantiles of scaled errors, and bounds from quantiles."""

import numpy as np

from aq_science.forecasting.grid import Floats
from aq_science.parameters import PARAMETERS
from aq_science.tables.forecast_models import QUANTILES

COVERAGES = (0.80, 0.95)

MIN_HALF_WIDTH = {
    "µg/m³": 0.5,
    "mg/m³": 0.02,
    "ppm": 1.0,
    "°C": 0.2,
    "%": 0.5,
    "hPa": 0.2,
}
"""No 80 % interval is narrower than plus or minus this, about what a sensor resolves: a flat series
has differences of zero, and zero width would promise what no sensor can keep."""

DEFAULT_MIN_HALF_WIDTH = 0.01
"""The same for a parameter that is not in `PARAMETERS`, in its own unit."""

SIZED_SHARE = 0.1
"""Of the least width, where a method says how far the next hours are likely to move: it knows a
quiet night from a flat series. With all of it, 87 % of AirQino's CO lay within 80 %."""

MIN_HALF_WIDTH_95_FACTOR = 1.5
"""95 % over 80 % half width of a normal distribution: 1.96 / 1.28."""

WIDE_DEFAULT_80 = 0.5
WIDE_DEFAULT_95 = 1.0
"""Quantiles, in units of the scale, where there are too few readings to know: about a half and the
whole of the value up and down."""

SCALE_SHARE = 0.5
"""Errors grow with the level. The scale of an interval is |value| + this share of the median
reading; measured on Beijing, its 80 % interval score is 6 to 13 % better than of constant ones."""

EXTREME_WIDENING = 1.5
"""Where the sample is too small to hold a quantile (under 39 errors for 95 %), the largest error
times this stands in."""

MIN_ERRORS = 20
"""Errors from which quantiles are taken rather than a wide default."""


def signed(parameter: str) -> bool:
    """Whether values below zero are forecast as such: temperature, and what we do not know."""
    known = PARAMETERS.get(parameter)
    return known is None or known.signed


def min_half_width(parameter: str) -> float:
    """The least half width of an 80 % interval, in the parameter's canonical unit."""
    known = PARAMETERS.get(parameter)
    return (
        MIN_HALF_WIDTH.get(known.unit, DEFAULT_MIN_HALF_WIDTH) if known else DEFAULT_MIN_HALF_WIDTH
    )


def scale_of(values: Floats) -> float:
    """`SCALE_SHARE` of the median magnitude of the readings (no NaN), in their unit."""
    return SCALE_SHARE * float(np.median(np.abs(values))) if len(values) else 0.0


def interval_unit(parameter: str, predicted: Floats, scale: Floats | float) -> Floats:
    """What quantiles are multiples of.

    Args:
        parameter: Canonical name.
        predicted: Forecasts in the parameter's unit.
        scale: As `scale_of` gives it, one for all or one each.

    Returns:
        A width in the parameter's unit for each forecast.
    """
    # Temperature's magnitude is an accident of its zero, so that its errors get one constant scale.
    level = np.zeros_like(predicted) if signed(parameter) else np.abs(predicted)
    unit: Floats = np.maximum(level + scale, min_half_width(parameter))
    return unit


def error_quantiles(
    parameter: str, errors: Floats, predicted: Floats, scale: float
) -> dict[str, float]:
    """The quantiles of a candidate, in units of `interval_unit`.

    Args:
        parameter: Canonical name.
        errors: Observed minus predicted, NaN where there is none.
        predicted: The forecasts, as many.
        scale: As `scale_of` gives it.

    Returns:
        A number for each of `QUANTILES`.
    """
    return scaled_quantiles(errors / interval_unit(parameter, predicted, scale))


def scaled_quantiles(scaled: Floats) -> dict[str, float]:
    """The quantiles of errors in units of anything, NaN where there is none; see `QUANTILES`."""
    known = scaled[~np.isnan(scaled)]
    return conformal_quantiles(known) if len(known) >= MIN_ERRORS else wide_quantiles()


def conformal_quantiles(errors: Floats) -> dict[str, float]:
    """Signed quantiles with the finite-sample correction: the k-th of n with k from n + 1.

    `errors`: observed minus predicted, in any unit, not empty. Source: Lei et al. (2018),
    "Distribution-free predictive inference for regression".
    """
    ordered = np.sort(errors)
    n = len(ordered)
    out: dict[str, float] = {}
    for coverage in COVERAGES:
        k = int(np.floor((n + 1) * (1 - coverage) / 2 + 1e-9))
        widen = EXTREME_WIDENING if k < 1 else 1.0
        name = f"{coverage:.0%}".rstrip("%")
        out[f"q_lower_{name}"] = min(0.0, widen * float(ordered[max(k, 1) - 1]))
        out[f"q_upper_{name}"] = max(0.0, widen * float(ordered[n - max(k, 1)]))
    # A widened extreme of 80 % may pass the plain one of 95 %.
    out["q_lower_95"] = min(out["q_lower_95"], out["q_lower_80"])
    out["q_upper_95"] = max(out["q_upper_95"], out["q_upper_80"])
    return out


def wide_quantiles() -> dict[str, float]:
    """What stands in where there are too few errors to take quantiles of."""
    wide = (-WIDE_DEFAULT_95, -WIDE_DEFAULT_80, WIDE_DEFAULT_80, WIDE_DEFAULT_95)
    return dict(zip(QUANTILES, wide, strict=True))


def possible(parameter: str, values: Floats) -> Floats:
    """Values with those below zero at zero, where the quantity cannot be negative."""
    return values if signed(parameter) else np.where(values < 0, 0.0, values)


def bounds(
    parameter: str,
    value: Floats,
    unit: Floats,
    quantiles: dict[str, Floats],
    least: Floats | float | None = None,
) -> dict[str, Floats]:
    """Intervals around forecasts: not narrower than the least, ordered, possible.

    Args:
        parameter: Canonical name.
        value: Forecasts, as `possible` gives them.
        unit: For each forecast what its quantiles are multiples of, in the parameter's unit.
        quantiles: For each of `QUANTILES` a number a forecast.
        least: Half width of the narrowest 80 % interval; that of the parameter without.

    Returns:
        lower_95, lower_80, upper_80 and upper_95, in the parameter's unit.
    """
    least = min_half_width(parameter) if least is None else least
    out: dict[str, Floats] = {}
    for name in QUANTILES:
        side = name.removeprefix("q_")
        width = least * MIN_HALF_WIDTH_95_FACTOR if side.endswith("95") else least
        reach = quantiles[name] * unit
        if side.startswith("lower"):
            out[side] = possible(parameter, np.minimum(reach, -width) + value)
        else:
            out[side] = np.maximum(reach, width) + value
    return out


UNSEEN_SHARE_80 = 0.65
"""80 % over 95 % half width of a normal distribution, where only the widest is known."""


def widened(
    parameter: str, value: Floats, ends: dict[str, Floats], reach: Floats
) -> dict[str, Floats]:
    """Intervals that reach at least so far: of hours of the day that were never observed.

    Args:
        parameter: Canonical name.
        value: Forecasts.
        ends: Intervals, as `bounds` gives them.
        reach: Least half width of the 95 % interval, zero where nothing is to be widened.

    Returns:
        As `ends`.
    """
    out = {}
    for side, end in ends.items():
        half = reach * (1.0 if side.endswith("95") else UNSEEN_SHARE_80)
        if side.startswith("lower"):
            out[side] = possible(parameter, np.minimum(end, value - half))
        else:
            out[side] = np.maximum(end, value + half)
    return out
