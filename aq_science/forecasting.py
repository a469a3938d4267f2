"""Forecasts of the next two hours from stored models and the readings known at the issue time.

`fit_models` (once a day, `forecast_fit`) decides per series which method serves; `forecast` and
`forecast_many` apply it, fast and without Prophet. Issue time H uses only readings whose hour ended
by H and only models of a day that had begun by H, and predicts the hours that start at H and at
H + 1 h. Every series gets both rows at every issue time. What can stand in `model`, in the order
of falling back: the rungs of the series' model as it ranked them (`prophet_regression`,
`prophet_residual`, `persistence`), `prophet_curve` and `hour_of_day_mean` where the last reading is
too old, `network_median` for a station without any valid reading, and `no_valid_readings`, with
null values, where the whole network has none.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from aq_science.forecast_common import (
    ANY_LAG,
    CURVE,
    CURVE_REACH_HOURS,
    FEATURES,
    FORECAST_SCHEMA,
    HORIZONS,
    HOUR_MEAN,
    LAGS,
    MIN_HALF_WIDTH_95_FACTOR,
    MODEL_SCHEMA,
    NETWORK_MEDIAN,
    NO_READINGS,
    PERSISTENCE,
    PERSISTENCE_MAX_LAG,
    QUANTILES,
    REGRESSION,
    RESIDUAL,
    TRAINING_DAYS,
    Floats,
    Grid,
    Ints,
    epoch_hours,
    grid,
    median_of_others,
    min_half_width,
    series_keys,
    signed,
    usable,
    wide_quantiles,
)
from aq_science.forecast_fit import fit_models, plain_model
from aq_science.prophet_curve import curve_at

__all__ = ["FORECAST_SCHEMA", "MODEL_SCHEMA", "fit_models", "forecast", "forecast_many"]

NETWORK_MIN_STATIONS = 10
"""Stations from which the spread of their readings is taken as the interval; with fewer, the 80 %
range would be one or two stations' accident and the wide default stands in."""

NETWORK_MAX_AGE_HOURS = 24
"""Other stations' readings older than this count only where none is younger."""

WINDOW_HOURS = TRAINING_DAYS * 24
"""Readings older than this at the issue time do not exist, for every fallback alike."""

_KEY = ["station_id", "parameter"]


def forecast(
    models: pl.DataFrame, readings: pl.DataFrame, issued_for: datetime, series: pl.DataFrame
) -> pl.DataFrame:
    """Forecasts of one issue time; see `forecast_many`."""
    return forecast_many(models, readings, [issued_for], series)


def forecast_many(
    models: pl.DataFrame,
    readings: pl.DataFrame,
    issue_times: Sequence[datetime],
    series: pl.DataFrame,
) -> pl.DataFrame:
    """Forecast every series at every issue time, as if each were the only one.

    `models`: rows of `MODEL_SCHEMA`, of one or several days (the newest day begun by the issue time
    counts), or empty. `readings`: as for `fit_models`; only those of the `TRAINING_DAYS` before an
    issue time matter, and a week is enough where models exist. `issue_times`: aware, on the hour.
    `series`: the (station_id, parameter) pairs that get rows. Returns `FORECAST_SCHEMA`, sorted by
    station, parameter, issue time and horizon; values and bounds in the readings' unit,
    lower_95 <= lower_80 <= value <= upper_80 <= upper_95, not below 0 for concentrations.
    """
    issues = np.array(sorted({epoch_hours(moment) for moment in issue_times}), dtype=np.int64)
    keys = series_keys(series)
    if not len(issues) or not keys.height:
        return pl.DataFrame(schema=FORECAST_SCHEMA)
    end = int(issues[-1])
    valid = usable(readings, int(issues[0]) - WINDOW_HOURS, end)
    # Only as much grid as there are readings: a caller with models passes a week.
    earliest = valid.get_column("at").to_numpy().min(initial=int(issues[0]))
    first = int(earliest) - 1
    grids = {
        str(name): grid(
            valid.filter(pl.col("parameter") == name),
            wanted.get_column("station_id").to_list(),
            first,
            end,
        )
        for (name,), wanted in keys.group_by("parameter", maintain_order=True)
    }
    state = pl.concat(
        _state(grids[str(name)], wanted, issues)
        for (name,), wanted in keys.group_by("parameter", maintain_order=True)
    ).with_row_index("row")
    state, chosen = _choose_models(state, models, grids)
    state = state.join(_curve_values(state, chosen), on="row", how="left")
    ahead = pl.concat(_at_horizon(state, horizon) for horizon in HORIZONS)
    best = _first_computable(ahead, chosen)
    out = ahead.join(best, on=["row", "horizon"], how="left")
    out = _from_network(out, grids)
    out = _bounded(out.join(_per_parameter(keys), on="parameter", how="left"))
    return (
        out.with_columns(
            _moment("issue").alias("issued_for"),
            _moment("target").alias("hour"),
            pl.when(pl.col("lag") <= PERSISTENCE_MAX_LAG).then("last").alias("persistence"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in FORECAST_SCHEMA.items())
        .sort("station_id", "parameter", "issued_for", "horizon")
    )


def _state(data: Grid, wanted: pl.DataFrame, issues: Ints) -> pl.DataFrame:
    """What is known at each issue time of each series: one row each, NaN as null.

    last_at (epoch hours of the last valid reading), last, previous (the hour before it), and the
    other stations' median in the same two hours.
    """
    columns = np.array([data.stations[name] for name in wanted.get_column("station_id")])
    values = data.values[:, columns]
    index = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    newest = np.maximum.accumulate(index, axis=0)[issues - data.first - 1]
    there = newest + data.first >= issues[:, None] - WINDOW_HOURS
    there &= newest >= 0
    # The median of the others is a sort: only for the hours that are asked for.
    asked = np.unique(np.concatenate([newest[there], newest[there] - 1]))
    others = np.full_like(values, np.nan)
    others[asked] = median_of_others(data.values[asked])[:, columns]

    def at(table: Floats, back: int) -> Floats:
        # The grid starts an hour before the first reading, so that newest - 1 is on it.
        place = np.maximum(newest - back, 0)
        return np.where(there, table[place, np.arange(len(columns))], np.nan).ravel()

    repeated = pl.concat([wanted] * len(issues))
    return repeated.with_columns(
        pl.Series("issue", np.repeat(issues, len(columns))),
        pl.Series("last_at", np.where(there, newest + data.first, -1).ravel()).replace(-1, None),
        pl.Series("last", at(values, 0)),
        pl.Series("previous", at(values, 1)),
        pl.Series("others", at(others, 0)),
        pl.Series("others_previous", at(others, 1)),
    )


def _choose_models(
    state: pl.DataFrame, models: pl.DataFrame, grids: dict[str, Grid]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add `model_row` to `state`; return it with the model rows it points at.

    A series with readings but no model with rungs gets a plain one from the readings known then.
    """
    wanted = state.select(_KEY).unique()
    stored = (
        (models if models.height else pl.DataFrame(schema=MODEL_SCHEMA))
        .select(pl.col(name).cast(dtype) for name, dtype in MODEL_SCHEMA.items())
        .filter(pl.col("rungs").list.len() > 0)
        .join(wanted, on=_KEY, how="semi")
        .sort("day")
        .with_row_index("model_row")
        .with_columns(pl.col("model_row").cast(pl.Int64))
    )
    state = (
        state.with_columns(_moment("issue").dt.date().alias("day"))
        .sort("day")
        .join_asof(
            stored.select(*_KEY, "day", "model_row", pl.col("day").alias("model_day")),
            on="day",
            by=_KEY,
            strategy="backward",
            check_sortedness=False,  # sorted just above; polars cannot check it within groups
        )
        .drop("day")
    )
    without = state.filter(pl.col("model_row").is_null(), pl.col("last_at").is_not_null())
    if without.height:
        plain = [
            {
                **_plain(
                    grids[row["parameter"]], row["station_id"], row["parameter"], row["issue"]
                ),
                "model_row": stored.height + i,
            }
            for i, row in enumerate(without.select(*_KEY, "issue").iter_rows(named=True))
        ]
        schema = {"model_row": pl.Int64(), **MODEL_SCHEMA}
        stored = pl.concat([stored, pl.DataFrame(plain, schema=schema, orient="row")])
        made = without.select(
            "row", pl.Series("made", range(stored.height - len(plain), stored.height))
        )
        state = (
            state.join(made, on="row", how="left")
            .with_columns(pl.coalesce("model_row", "made").alias("model_row"))
            .drop("made")
        )
    return state, stored.join(state, on="model_row", how="semi")


def _plain(data: Grid, station: str, parameter: str, issue: int) -> dict[str, Any]:
    start = max(issue - WINDOW_HOURS, data.first)
    known = data.values[start - data.first : issue - data.first, data.stations[station]]
    return plain_model(known, start, parameter, "no model")


def _curve_values(state: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Per state row the curve at the last reading's hour and at both predicted hours.

    Null past `CURVE_REACH_HOURS` from the end of training.
    """
    curves = models.filter(pl.col("curve").is_not_null()).select(
        "model_row", "curve", pl.col("training_end").dt.epoch("s").floordiv(3600).alias("ended")
    )
    parts = (
        state.select("row", "model_row", "issue", "last_at")
        .join(curves.select("model_row", "ended"), on="model_row")
        .sort("model_row")
    )
    issue = parts.get_column("issue").to_numpy()
    last = parts.get_column("last_at").fill_null(0).to_numpy()
    at = np.stack([last, *(issue + h - 1 for h in HORIZONS)])
    values = np.full(at.shape, np.nan)
    texts = dict(curves.select("model_row", "curve").iter_rows())
    used, starts = np.unique(parts.get_column("model_row").to_numpy(), return_index=True)
    stops = np.append(starts, parts.height)[1:]
    for model_row, start, stop in zip(used, starts, stops, strict=True):
        curve = json.loads(texts[int(model_row)])
        values[:, start:stop] = curve_at(curve, at[:, start:stop] * 3600)
    values[at - parts.get_column("ended").to_numpy() > CURVE_REACH_HOURS] = np.nan
    names = ["curve_last", *(f"curve_h{h}" for h in HORIZONS)]
    return parts.select("row", *(pl.Series(n, v) for n, v in zip(names, values, strict=True)))


def _at_horizon(state: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """State rows of one horizon with the predicted hour, its lag and the lag tabulated for it."""
    target = pl.col("issue") + horizon - 1
    table = pl.DataFrame({"tabulated": LAGS}, schema={"tabulated": pl.Int64}).with_columns(
        pl.col("tabulated").alias("lag")
    )
    return (
        state.with_columns(
            pl.lit(horizon, dtype=pl.Int8).alias("horizon"),
            target.alias("target"),
            (target - pl.col("last_at")).alias("lag"),
            pl.col(f"curve_h{horizon}").alias("curve_target"),
        )
        .drop(f"curve_h{h}" for h in HORIZONS)
        .sort("lag", nulls_last=True)
        .join_asof(table, on="lag", strategy="forward")
    )


def _first_computable(ahead: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Per row and horizon the value, name and quantiles of the best rung that can be computed."""
    rungs = (
        models.select(
            "model_row",
            "scale",
            "hour_of_day",
            "rungs",
            pl.int_ranges(0, pl.col("rungs").list.len()).alias("rank"),
        )
        .explode("rungs", "rank")
        .unnest("rungs")
        .with_columns(pl.col("lag").cast(pl.Int64).alias("rung_lag"))
        .drop("lag")
    )
    inputs = {
        "curve_step": pl.col("curve_target") - pl.col("curve_last"),
        "residual": pl.col("last") - pl.col("curve_last"),
        "change": pl.col("last") - pl.col("previous"),
        "others_excess": pl.col("others") - pl.col("last"),
        "others_change": pl.col("others") - pl.col("others_previous"),
    }
    steps = [
        # A feature the fit did without (weight null) may be missing now as well.
        pl.when(pl.col(f"w_{name}").is_null())
        .then(0.0)
        .otherwise(pl.col(f"w_{name}") * inputs[name])
        for name in FEATURES
    ]
    rung = pl.col("rung")
    value = (
        pl.when(rung == REGRESSION)
        .then(pl.col("last") + sum(steps[1:], steps[0]))
        .when(rung == RESIDUAL)
        .then(pl.col("curve_target") + pl.col("rho") * inputs["residual"])
        .when(rung == PERSISTENCE)
        .then(pl.col("last"))
        .when(rung == CURVE)
        .then(pl.col("curve_target"))
        .when(rung == HOUR_MEAN)
        .then(pl.col("hour_of_day").list.get(pl.col("target") % 24, null_on_oob=True))
    )
    rows = ahead.filter(pl.col("model_row").is_not_null())
    with_last = rows.filter(pl.col("tabulated").is_not_null()).join(
        rungs, left_on=["model_row", "tabulated"], right_on=["model_row", "rung_lag"]
    )
    without_last = rows.join(rungs.filter(pl.col("rung_lag") == ANY_LAG), on="model_row")
    columns = ["row", "horizon", "rank", "rung", "scale", *(f"q_{name}" for name in QUANTILES)]
    return (
        pl.concat(
            [part.select(*columns, value.alias("value")) for part in (with_last, without_last)]
        )
        .filter(pl.col("value").is_finite())
        .sort("rank")
        .unique(["row", "horizon"], keep="first", maintain_order=True)
        .rename({"rung": "model"})
        .drop("rank")
    )


def _from_network(rows: pl.DataFrame, grids: dict[str, Grid]) -> pl.DataFrame:
    """Fill rows still without a value from the other stations' latest valid readings.

    A row gets here only if its own station has no valid reading in the window, so that every
    reading of the grid is another station's.
    """
    needed = rows.filter(pl.col("value").is_null()).select("parameter", "issue").unique()
    made = [
        {**key, **_spread(grids[key["parameter"]], key["parameter"], key["issue"])}
        for key in needed.iter_rows(named=True)
    ]
    columns = ["value", "scale", "model", *(f"q_{name}" for name in QUANTILES)]
    network = pl.DataFrame(
        made, schema=rows.select("parameter", "issue", *columns).schema, orient="row"
    )
    return rows.join(
        network, on=["parameter", "issue"], how="left", suffix="_network"
    ).with_columns(
        pl.when(pl.col("value").is_null()).then(f"{name}_network").otherwise(name).alias(name)
        for name in columns
    )


def _spread(data: Grid, parameter: str, issue: int) -> dict[str, Any]:
    """Median and spread of the stations' latest readings before `issue`, as a rung would give."""
    known = data.values[max(issue - WINDOW_HOURS - data.first, 0) : issue - data.first]
    index = np.where(np.isnan(known), -1, np.arange(len(known))[:, None]).max(axis=0)
    read = np.flatnonzero(index >= 0)
    if not len(read):
        return {"model": NO_READINGS}
    young = read[index[read] >= len(known) - NETWORK_MAX_AGE_HOURS]
    used = young if len(young) else read
    latest = known[index[used], used]
    middle = float(np.median(latest))
    out: dict[str, Any] = {"model": NETWORK_MEDIAN, "value": middle, "scale": 0.0}
    if len(latest) < NETWORK_MIN_STATIONS:
        # Temperature has no scale of its own here; for it the magnitude has to do.
        out["scale"] = abs(middle) if signed(parameter) else 0.0
        return {**out, **wide_quantiles()}
    unit = (
        min_half_width(parameter) if signed(parameter) else max(middle, min_half_width(parameter))
    )
    shares = [0.025, 0.1, 0.9, 0.975]
    spread = (np.quantile(latest, shares) - middle) / unit
    return {**out, **{f"q_{name}": float(q) for name, q in zip(QUANTILES, spread, strict=True)}}


def _moment(epoch: str) -> pl.Expr:
    """Epoch hours as a UTC instant."""
    return (pl.col(epoch) * 3_600_000_000).cast(pl.Datetime("us", "UTC"))


def _per_parameter(keys: pl.DataFrame) -> pl.DataFrame:
    names = keys.get_column("parameter").unique().to_list()
    return pl.DataFrame(
        {
            "parameter": names,
            "signed": [signed(name) for name in names],
            "least": [min_half_width(name) for name in names],
        },
        schema={"parameter": pl.String, "signed": pl.Boolean, "least": pl.Float64},
    )


def _bounded(rows: pl.DataFrame) -> pl.DataFrame:
    """Intervals from quantiles, not narrower than the least, ordered, not below 0 if unsigned."""
    value = _not_negative("value")
    level = pl.when("signed").then(0.0).otherwise(value.abs())
    unit = pl.max_horizontal(level + pl.col("scale"), "least")
    rows = rows.with_columns(value, unit.alias("unit"))
    least = {"80": pl.col("least"), "95": pl.col("least") * MIN_HALF_WIDTH_95_FACTOR}
    return rows.with_columns(
        *(
            pl.min_horizontal(pl.col(f"q_lower_{c}") * pl.col("unit"), -least[c])
            .add(pl.col("value"))
            .alias(f"lower_{c}")
            for c in least
        ),
        *(
            pl.max_horizontal(pl.col(f"q_upper_{c}") * pl.col("unit"), least[c])
            .add(pl.col("value"))
            .alias(f"upper_{c}")
            for c in least
        ),
    ).with_columns(_not_negative(f"lower_{c}") for c in least)


def _not_negative(name: str) -> pl.Expr:
    return pl.when("signed").then(name).otherwise(pl.col(name).clip(0.0)).alias(name)
