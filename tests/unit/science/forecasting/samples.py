"""Small series and models for the tests of forecasting."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import Floats, Grid
from aq_science.forecasting.methods.curves import Curve
from aq_science.forecasting.methods.protocol import Failed, Fitted, Learned
from aq_science.tables.forecast_models import FORECAST_MODELS

DAY = date(2024, 3, 1)
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEKS = 56 * 24
FOUR_WEEKS = 28 * 24
STATIONS = ("a", "b", "c", "flat", "mute", "quiet", "short")
INPUT = pl.Schema(
    {
        "station_id": pl.String(),
        "parameter": pl.String(),
        "hour": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
        "flag": pl.String(),
    }
)
NO_MODELS = pl.DataFrame(schema=FORECAST_MODELS.schema)
EMPTY = pl.DataFrame(schema=INPUT)


def learned_of(fitted: Sequence[Fitted]) -> list[Learned]:
    """What was learned of each series, where every series was learned."""
    learned = []
    for one in fitted:
        assert one is not None
        assert not isinstance(one, Failed)
        learned.append(one)
    return learned


def frame(
    station: str,
    values: Floats | list[float],
    end: datetime = MIDNIGHT,
    parameter: str = "pm25",
    flag: str = "valid",
) -> pl.DataFrame:
    """Hourly readings whose last hour ends at `end`."""
    first = end - len(values) * HOUR
    return pl.DataFrame(
        {
            "station_id": station,
            "parameter": parameter,
            "hour": [first + i * HOUR for i in range(len(values))],
            "value": list(values),
            "flag": flag,
        },
        schema=INPUT,
    )


def air(n: int, seed: int) -> Floats:
    """A daily cycle and a slow weather shared by every seed, and noise of each seed's own."""
    weather = np.cumsum(np.random.default_rng(99).normal(size=n + 1))[1:]
    own = np.random.default_rng(seed).normal(size=n)
    values: Floats = np.abs(60 + 15 * np.sin(np.arange(n) / 24 * 2 * np.pi) + weather + own)
    return values


def keys(*stations: str, parameter: str = "pm25") -> pl.DataFrame:
    return pl.DataFrame({"station_id": stations, "parameter": parameter})


def all_readings() -> pl.DataFrame:
    """Eight weeks of three stations and a day more, and one series of each kind of trouble."""
    return pl.concat(
        [
            *(frame(s, air(WEEKS + 24, i), MIDNIGHT + 24 * HOUR) for i, s in enumerate("abc")),
            frame("short", air(100, 5)),
            frame("flat", np.where(np.arange(WEEKS) % 50 == 0, 3.0, 0.0)),
            frame("quiet", air(WEEKS - 240, 6), MIDNIGHT - 240 * HOUR),
            frame("mute", air(WEEKS, 7), flag="invalid"),
        ]
    )


def ahead_of_each_other() -> pl.DataFrame:
    """Four weeks and a day of a station, of another that has its values two hours later, and of
    a third far from both, so that the median of the others says little."""
    random = np.random.default_rng(11)
    first = 100 + np.cumsum(random.normal(scale=3, size=FOUR_WEEKS + 24))
    second = np.concatenate([first[:2], first[:-2]]) + random.normal(scale=0.2, size=len(first))
    end = MIDNIGHT + 24 * HOUR
    return pl.concat(
        [
            frame("first", first, end),
            frame("second", second, end),
            frame("third", 400 + np.cumsum(random.normal(scale=9, size=len(first))), end),
            frame("first", 20 + random.normal(size=len(first)), end, "temperature"),
        ]
    )


def plain_curve(level: float = 0.0, slope: float = 0.0, amplitude: float = 0.0) -> Curve:
    """A line from epoch hour 0 (`slope` an hour) plus a daily sine."""
    return Curve(
        start=0,
        t_scale=3600.0,
        y_scale=1.0,
        k=slope,
        m=level,
        delta=[],
        changepoints=[],
        seasonalities=[{"name": "daily", "period": 1.0, "order": 1, "beta": [amplitude, 0.0]}],
    )


def history(*columns: Floats | list[float], parameter: str = "pm25", first: int = 0) -> History:
    """A network of stations that are all meant, from epoch hour `first`."""
    values = np.array(columns, dtype=np.float64).T
    stations = {f"s{j}": j for j in range(values.shape[1])}
    grids = {parameter: Grid(first, stations, values)}
    return History.of(parameter, grids, list(stations))


def model_of(models: pl.DataFrame, station: str) -> dict[str, object]:
    return models.row(by_predicate=pl.col("station_id") == station, named=True)


def ordered(rows: pl.DataFrame) -> bool:
    """Whether the bounds of every forecast are."""
    bounds = ["lower_95", "lower_80", "value", "upper_80", "upper_95"]
    filled = rows.filter(~pl.col("model").is_in(["no_valid_readings", "sensor_flagged"]))
    table = filled.select(bounds).to_numpy()
    return bool(np.isfinite(table).all() and (np.diff(table, axis=1) >= 0).all())
