"""What fitting (`forecast_fit`) and forecasting (`forecasting`) share: constants, schemas, grid.

Terms. *Lag*: hours from the start of the last valid reading's hour to the start of the predicted
hour; 1 and 2 for the two horizons when the last hour arrived, more when it is late. *Rung*: one way
to make the forecast at one lag, with its coefficients and interval quantiles. A model row holds its
rungs best first, and the first that can be computed is served: choice and fallback are one list.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.parameters import PARAMETERS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HORIZONS = (1, 2)
"""Hours predicted from issue time H: horizon 1 is the hour that starts at H, 2 the one after it."""

TRAINING_DAYS = 56
"""Eight weeks. Measured on Beijing against four: skill of the corrected curve at two hours rises
from -30 % to -12 % (PM2.5) and -9 % to -4 % (CO) before selection; a fit still takes 0.1 s."""

LAGS = (1, 2, 3, 4, 6, 8, 12, 24)
"""Lags with rungs of their own; a lag in between uses the next longer one, to err on the wide
side. After a day without readings the last residual says nothing any more."""

PERSISTENCE_MAX_LAG = 8
"""Hours. "Same as the last reading" beyond a third of a day ignores the daily cycle."""

REGRESSION_MAX_LAG = 2
"""The regression rung serves the two horizons; late readings are the plain residual's case."""

CURVE_REACH_HOURS = 8 * 24
"""How far past its last training reading a curve counts. A day's model may be used for a week if
nightly fits fail; farther out the extrapolated trend, not the season, decides the value."""

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

# What a forecast can be called in `model`.
REGRESSION = "prophet_regression"
RESIDUAL = "prophet_residual"
PERSISTENCE = "persistence"
CURVE = "prophet_curve"
HOUR_MEAN = "hour_of_day_mean"
NETWORK_MEDIAN = "network_median"
NO_READINGS = "no_valid_readings"

ANY_LAG = 0
"""Lag of a rung that does not use the last reading (`prophet_curve`, `hour_of_day_mean`)."""

FEATURES = ("curve_step", "residual", "change", "others_excess", "others_change")
QUANTILES = ("lower_95", "lower_80", "upper_80", "upper_95")

RUNG = pl.Struct(
    {
        "lag": pl.Int16(),
        "rung": pl.String(),
        "rho": pl.Float64(),  # of prophet_residual
        **{f"w_{name}": pl.Float64() for name in FEATURES},  # of prophet_regression
        **{f"q_{name}": pl.Float64() for name in QUANTILES},  # in units of the scale
    }
)

SCORES = ("n", "mae", "rmse", "mae_persistence", "mae_prophet", "skill")

MODEL_SCHEMA = pl.Schema(
    {
        "station_id": pl.String(),
        "parameter": pl.String(),
        "day": pl.Date(),  # fitted on hours that ended by this day's midnight UTC
        "model": pl.String(),  # served at horizon 1 when the last hour arrived
        "model_h2": pl.String(),
        "reason": pl.String(),  # why there is no curve; null where there is one
        "n_training": pl.Int32(),
        "training_end": pl.Datetime("us", "UTC"),  # start of the last training hour
        "scale": pl.Float64(),  # SCALE_SHARE of the median reading, in its unit
        "rho_h1": pl.Float64(),
        "rho_h2": pl.Float64(),
        **{
            f"{name}_h{h}": pl.Int32() if name == "n" else pl.Float64()
            for h in HORIZONS
            for name in SCORES
        },
        "curve": pl.String(),  # JSON of prophet_curve.Curve
        "hour_of_day": pl.List(pl.Float64()),  # mean by UTC hour, 24 values
        "rungs": pl.List(RUNG),  # best first
    }
)

FORECAST_SCHEMA = pl.Schema(
    {
        "station_id": pl.String(),
        "parameter": pl.String(),
        "issued_for": pl.Datetime("us", "UTC"),
        "horizon": pl.Int8(),
        "hour": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
        "lower_80": pl.Float64(),
        "upper_80": pl.Float64(),
        "lower_95": pl.Float64(),
        "upper_95": pl.Float64(),
        "persistence": pl.Float64(),  # last valid reading, null past PERSISTENCE_MAX_LAG
        "model": pl.String(),
        "model_day": pl.Date(),  # null where no fitted model was used
    }
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_hours(moment: datetime) -> int:
    """Whole hours since 1970 of an aware datetime that lies on the hour; raises otherwise."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; issue times are aware, in UTC")
    hours, rest = divmod(moment - _EPOCH, timedelta(hours=1))
    if rest:
        raise ValueError(f"{moment.isoformat()} is not on the hour")
    return hours


def usable(readings: pl.DataFrame, first: int, end: int) -> pl.DataFrame:
    """Valid readings with `first <= at < end`: station_id, parameter, at (epoch hours), value."""
    return (
        readings.filter(pl.col("flag").cast(pl.String) == "valid")
        .select(
            pl.col("station_id").cast(pl.String),
            pl.col("parameter").cast(pl.String),
            pl.col("hour").dt.epoch("s").floordiv(3600).cast(pl.Int64).alias("at"),
            pl.col("value").cast(pl.Float64),
        )
        .filter(pl.col("value").is_finite(), pl.col("at").is_between(first, end, closed="left"))
    )


def series_keys(series: pl.DataFrame) -> pl.DataFrame:
    """The distinct (station_id, parameter) pairs as strings, sorted."""
    return (
        series.select(pl.col("station_id").cast(pl.String), pl.col("parameter").cast(pl.String))
        .unique()
        .sort("parameter", "station_id")
    )


@dataclass(frozen=True)
class Grid:
    """Readings of one parameter on every hour from `first` (epoch hours): NaN where there is none.

    `values[i, j]` is hour `first + i` at the station whose number in `stations` is j.
    """

    first: int
    stations: dict[str, int]
    values: Floats


def grid(readings: pl.DataFrame, stations: list[str], first: int, end: int) -> Grid:
    """Spread one parameter's `usable` readings out; its stations are added to `stations`."""
    present = readings.get_column("station_id").unique().sort().to_list()
    columns = {name: j for j, name in enumerate(dict.fromkeys([*stations, *present]))}
    values = np.full((end - first, len(columns)), np.nan)
    column = readings.get_column("station_id").replace_strict(columns, return_dtype=pl.Int64)
    values[readings.get_column("at").to_numpy() - first, column.to_numpy()] = readings.get_column(
        "value"
    ).to_numpy()
    return Grid(first, columns, values)


def median_of_others(values: Floats) -> Floats:
    """For every hour (row) and station (column), the median over the other stations present.

    NaN where no other station has a value. One sort a row: leaving one value out only shifts the
    middle of the sorted row by at most one place.
    """
    columns = values.shape[1]
    if columns < 2:
        return np.full_like(values, np.nan)
    order = np.argsort(values, axis=1)  # NaN last
    ordered = np.take_along_axis(values, order, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(columns), values.shape), axis=1)
    there = ~np.isnan(values)
    remaining = there.sum(axis=1, keepdims=True) - there  # others present
    own = np.where(there, rank, columns)  # absent: nothing to skip

    def place(index: Ints) -> Floats:
        at = np.clip(index + (index >= own), 0, columns - 1)
        return np.take_along_axis(ordered, at, axis=1)

    middle = (place((remaining - 1) // 2) + place(remaining // 2)) / 2
    return np.where(remaining > 0, middle, np.nan)


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
    """`SCALE_SHARE` of the median magnitude of the readings, in their unit."""
    return SCALE_SHARE * float(np.median(np.abs(values))) if len(values) else 0.0


def scaled(errors: Floats, predicted: Floats, scale: float, parameter: str) -> Floats:
    """Errors in units of the interval's scale (see `SCALE_SHARE`)."""
    # Temperature's magnitude is an accident of its zero, so that its errors get one constant scale.
    level = np.zeros_like(predicted) if signed(parameter) else np.abs(predicted)
    return errors / np.maximum(level + scale, min_half_width(parameter))


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
    return {
        "q_lower_95": -WIDE_DEFAULT_95,
        "q_lower_80": -WIDE_DEFAULT_80,
        "q_upper_80": WIDE_DEFAULT_80,
        "q_upper_95": WIDE_DEFAULT_95,
    }
