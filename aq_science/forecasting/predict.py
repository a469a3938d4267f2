"""Forecasts of the next two hours from stored models and the readings known at the issue time.

`select.fit_models` (once a day) decides per series which method serves; `forecast` and
`forecast_many` apply it, fast and without Prophet. Issue time H uses only readings whose hour ended
by H and only models of a day that had begun by H, and predicts the hours that start at H and at
H + 1 h; of a station whose hours begin between full hours of UTC, the one in progress at H and the
next. Every series gets both rows at every issue time. What can stand in `model`, in the order of
falling back: the methods of the series' model as it ranked them, the seasonal ones where the last
reading is too old, the last resort for a station without any valid reading, and `NO_READINGS`, with
null values, where the whole network has none. A station that reports while nothing of its last day
is valid is not forecast from what its sensor said before: it gets the last resort too, and
`SENSOR_FLAGGED` with null values where no other station has a valid reading of that day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from aq_science.forecasting import methods
from aq_science.forecasting.features import History, Seasonals, State
from aq_science.forecasting.grid import (
    HOUR_SECONDS,
    Floats,
    Grid,
    Ints,
    beyond_hour,
    epoch_hours,
    grids,
    received,
    series_keys,
    usable,
)
from aq_science.forecasting.intervals import (
    SIZED_SHARE,
    bounds,
    interval_unit,
    min_half_width,
    possible,
    widened,
)
from aq_science.forecasting.methods.protocol import Learned, Prediction
from aq_science.forecasting.network_models import Key, NetworkModels
from aq_science.forecasting.schema import (
    ANY_LAG,
    FORECAST_SCHEMA,
    HORIZONS,
    LAGS,
    NO_READINGS,
    SENSOR_FLAGGED,
    SILENT_HOURS,
    WINDOW_HOURS,
)
from aq_science.forecasting.select import plain_models
from aq_science.tables.forecast_models import FORECAST_MODELS, QUANTILES

_KEY = ["station_id", "parameter"]
# Of a model, what its intervals need beside the quantiles.
_OF_SERIES = ["scale", "hours_seen", "reading_range"]


def forecast(
    models: pl.DataFrame,
    readings: pl.DataFrame,
    issued_for: datetime,
    series: pl.DataFrame,
    network: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Forecasts of one issue time; see `forecast_many`.

    Args:
        models: Rows of `FORECAST_MODELS`.
        readings: As for `fit_models`.
        issued_for: Aware, on the hour.
        series: The (station_id, parameter) pairs that get rows.
        network: `NETWORK_MODELS` that the models point at.

    Returns:
        `FORECAST_SCHEMA`, two rows a series.
    """
    return forecast_many(models, readings, [issued_for], series, network)


def forecast_many(
    models: pl.DataFrame,
    readings: pl.DataFrame,
    issue_times: Sequence[datetime],
    series: pl.DataFrame,
    network: pl.DataFrame | NetworkModels | None = None,
) -> pl.DataFrame:
    """Forecast every series at every issue time, as if each were the only one.

    Args:
        models: Rows of `FORECAST_MODELS`, of one or several days (the newest day begun by the issue
            time counts), or empty.
        readings: As for `fit_models`; only those of the `TRAINING_DAYS` before an issue time
            matter, and a week is enough where models exist.
        issue_times: Aware, on the hour.
        series: The (station_id, parameter) pairs that get rows.
        network: `NETWORK_MODELS` that the models point at; made to `NetworkModels` once where many
            calls need them.

    Returns:
        `FORECAST_SCHEMA`, sorted by station, parameter, issue time and horizon; values and bounds
        in the readings' unit, lower_95 <= lower_80 <= value <= upper_80 <= upper_95, not below 0
        for concentrations.

    Raises:
        ValueError: An issue time has no time zone or is not on the hour.
    """
    issues = np.array(sorted({epoch_hours(moment) for moment in issue_times}), dtype=np.int64)
    keys = series_keys(series)
    if not len(issues) or not keys.height:
        return pl.DataFrame(schema=FORECAST_SCHEMA)
    end = int(issues[-1])
    valid = usable(readings, int(issues[0]) - WINDOW_HOURS, end)
    # Only as much grid as there are readings: a caller with models passes a week.
    earliest = valid.get_column("at").to_numpy().min(initial=int(issues[0]))
    tables = grids(valid, keys, int(earliest) - 1, end)
    histories = {
        str(name): History.of(str(name), tables, wanted.get_column("station_id").to_list())
        for (name,), wanted in keys.group_by("parameter", maintain_order=True)
    }
    state = pl.concat(
        _known(histories[str(name)], wanted, issues)
        for (name,), wanted in keys.group_by("parameter", maintain_order=True)
    ).with_row_index("row")
    state, chosen = _choose_models(state, models, histories)
    state = _without_flagged(state, received(readings, int(issues[0]) - SILENT_HOURS, end))
    candidates = _candidates(chosen)
    seasonal = _seasonal_values(state, chosen, candidates)
    ahead = pl.concat(_at_horizon(state, horizon) for horizon in HORIZONS)
    fitted = network if isinstance(network, NetworkModels) else NetworkModels(network)
    serving = _Serving(candidates, histories, seasonal, fitted)
    best = _first_computable(ahead, serving)
    out = ahead.join(best, on=["row", "horizon"], how="left", maintain_order="left")
    out = _from_network(out, tables)
    out = pl.concat(
        _bounded(str(name), part)
        for (name,), part in out.group_by("parameter", maintain_order=True)
    )
    return (
        out.join(beyond_hour(readings), on=_KEY, how="left", maintain_order="left")
        .with_columns(
            _moment("issue").alias("issued_for"),
            (_moment("target") - pl.col("ahead").fill_null(pl.duration())).alias("hour"),
            pl.when(pl.col("lag") <= max(methods.BASELINE.lags)).then("last").alias("persistence"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in FORECAST_SCHEMA.items())
        .sort("station_id", "parameter", "issued_for", "horizon")
    )


def _known(history: History, wanted: pl.DataFrame, issues: Ints) -> pl.DataFrame:
    """What each series starts from at each issue time, one row each.

    column and place of its last valid reading in the grid (place -1 without one), last_at (its
    epoch hour) and last (its value), both null without one.
    """
    values, first = history.values, history.grid.first
    index = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    newest = np.maximum.accumulate(index, axis=0)[issues - first - 1]
    there = (newest >= 0) & (newest + first >= issues[:, None] - WINDOW_HOURS)
    place = np.where(there, newest, -1).ravel()
    last = np.where(there, np.take_along_axis(values, np.maximum(newest, 0), axis=0), np.nan)
    return pl.concat([wanted] * len(issues)).with_columns(
        pl.Series("issue", np.repeat(issues, len(history.columns))),
        pl.Series("column", np.tile(history.columns, len(issues))),
        pl.Series("place", place),
        pl.Series("last_at", np.where(place >= 0, place + first, -1)).replace(-1, None),
        pl.Series("last", last.ravel(), nan_to_null=True),
        pl.Series("known", np.repeat(issues - first, len(history.columns))),
    )


def _choose_models(
    state: pl.DataFrame, models: pl.DataFrame, histories: Mapping[str, History]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add `model_row` to `state`; return it with the model rows it points at.

    A series with readings but no model with candidates gets a plain one from the readings known
    then.
    """
    wanted = state.select(_KEY).unique()
    stored = (
        (models if models.height else pl.DataFrame(schema=FORECAST_MODELS.schema))
        .select(pl.col(name).cast(dtype) for name, dtype in FORECAST_MODELS.schema.items())
        .filter(pl.col("candidates").list.len() > 0)
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
        rows: list[int] = []
        plain: list[dict[str, Any]] = []
        for (parameter, issue), part in without.group_by("parameter", "issue", maintain_order=True):
            history = histories[str(parameter)]
            now = int(issue) - history.grid.first
            known = History(
                history.parameter, history.grids, part.get_column("column").to_numpy()
            ).between(max(now - WINDOW_HOURS, 0), now)
            rows += part.get_column("row").to_list()
            plain += plain_models(known, ["no model"] * part.height)
        made = range(stored.height, stored.height + len(plain))
        schema = {"model_row": pl.Int64(), **FORECAST_MODELS.schema}
        numbered = [{**row, "model_row": number} for row, number in zip(plain, made, strict=True)]
        stored = pl.concat([stored, pl.DataFrame(numbered, schema=schema, orient="row")])
        numbers = pl.DataFrame(
            {"row": rows, "made": made}, schema={"row": state.schema["row"], "made": pl.Int64}
        )
        state = (
            state.join(numbers, on="row", how="left")
            .with_columns(pl.coalesce("model_row", "made").alias("model_row"))
            .drop("made")
        )
    return state, stored.join(state, on="model_row", how="semi")


def _without_flagged(state: pl.DataFrame, reported: pl.DataFrame) -> pl.DataFrame:
    """Add `flagged`: whether a series reported within the last day, and nothing of it is valid.

    No model serves those. `reported` has the readings of any flag.
    """
    hours = reported.select(*_KEY, reported_at="at").sort("reported_at")
    joined = (
        state.with_columns(newest=pl.col("issue") - 1)
        .sort("newest")
        .join_asof(
            hours,
            left_on="newest",
            right_on="reported_at",
            by=_KEY,
            strategy="backward",
            check_sortedness=False,  # sorted just above; polars cannot check it within groups
        )
        .sort("row")
    )
    since = pl.col("issue") - SILENT_HOURS
    flagged = (pl.col("reported_at") >= since) & (pl.col("last_at") < since).fill_null(value=True)
    return (
        joined.with_columns(flagged=flagged.fill_null(value=False))
        .with_columns(model_row=pl.when(~pl.col("flagged")).then("model_row"))
        .drop("newest", "reported_at")
    )


def _candidates(models: pl.DataFrame) -> pl.DataFrame:
    """One row a candidate, with a number of its own and its rank among those of a model and lag."""
    return (
        models.select("model_row", *_OF_SERIES, "candidates")
        .explode("candidates")
        .unnest("candidates")
        .with_columns(pl.col("lag").cast(pl.Int64).alias("lag_bucket"))
        .drop("lag")
        .with_row_index("candidate")
        .with_columns(pl.int_range(pl.len()).over("model_row", "lag_bucket").alias("rank"))
    )


def _seasonal_values(
    state: pl.DataFrame, models: pl.DataFrame, candidates: pl.DataFrame
) -> dict[str, Floats]:
    """By seasonal method its values at the last reading's hour and at the predicted hours.

    (1 + horizons) x rows of the state; NaN where the model does not hold the method, and past the
    method's reach from the end of training.
    """
    without_lag = candidates.filter(pl.col("lag_bucket") == ANY_LAG)
    ended = models.select(
        "model_row", pl.col("training_end").dt.epoch("s").floordiv(HOUR_SECONDS).alias("ended")
    )
    out = {}
    for seasonal in methods.SEASONAL:
        held = without_lag.filter(pl.col("method") == seasonal.name).join(ended, on="model_row")
        values = np.full((1 + len(HORIZONS), state.height), np.nan)
        parts = state.join(held, on="model_row").sort("model_row", maintain_order=True)
        if parts.height:
            learned, of = _learned(parts, candidates)
            issue = parts.get_column("issue").to_numpy()
            last = parts.get_column("last_at").fill_null(0).to_numpy()
            hours = np.stack([last, *(issue + horizon - 1 for horizon in HORIZONS)])
            made = seasonal.at(learned, of, hours)
            if seasonal.reach is not None:
                made[hours - parts.get_column("ended").to_numpy() > seasonal.reach] = np.nan
            values[:, parts.get_column("row").to_numpy()] = made
        out[seasonal.name] = values
    return out


def _learned(rows: pl.DataFrame, candidates: pl.DataFrame) -> tuple[list[Learned], Ints]:
    """What the candidates behind the rows learned, and for each row the number of its entry."""
    used, of = np.unique(rows.get_column("candidate").to_numpy(), return_inverse=True)
    texts = candidates.get_column("learned").gather(used)  # numbered from 0
    return msgspec.json.decode(f"[{','.join(texts)}]"), of


def _at_horizon(state: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """State rows of one horizon with the predicted hour, its lag and the bucket of that lag."""
    target = pl.col("issue") + horizon - 1
    buckets = pl.DataFrame({"lag_bucket": LAGS}, schema={"lag_bucket": pl.Int64}).with_columns(
        pl.col("lag_bucket").alias("lag")
    )
    return (
        state.with_columns(
            pl.lit(horizon, dtype=pl.Int8).alias("horizon"),
            target.alias("target"),
            (target - pl.col("last_at")).alias("lag"),
        )
        .sort("lag", nulls_last=True)
        .join_asof(buckets, on="lag", strategy="forward")
    )


@dataclass(frozen=True)
class _Serving:
    """What forecasts are computed from."""

    candidates: pl.DataFrame
    histories: Mapping[str, History]
    seasonal: Mapping[str, Floats]
    network: NetworkModels


def _first_computable(ahead: pl.DataFrame, serving: _Serving) -> pl.DataFrame:
    """Per row and horizon the value and name of the best computable candidate, its quantiles and
    what they are multiples of: its own size, or the scale.
    """
    candidates = serving.candidates
    rows = ahead.filter(pl.col("model_row").is_not_null()).select(
        "row",
        "horizon",
        "parameter",
        "column",
        "place",
        "known",
        "target",
        "model_row",
        "lag_bucket",
    )
    ranked = candidates.select("model_row", "lag_bucket", "rank", "candidate", "method")
    best = [
        pl.DataFrame(
            schema={
                **{name: rows.schema[name] for name in ("row", "horizon")},
                "candidate": pl.UInt32,
                "value": pl.Float64,
                "size": pl.Float64,
            }
        )
    ]
    # One rank after another: hardly any row needs more than the first.
    for bucket in (pl.col("lag_bucket"), pl.lit(ANY_LAG, pl.Int64).alias("lag_bucket")):
        for _, of_rank in ranked.group_by("rank", maintain_order=True):
            tried = rows.with_columns(bucket).join(of_rank, on=["model_row", "lag_bucket"])
            value, size = np.full(tried.height, np.nan), np.full(tried.height, np.nan)
            groups = tried.with_row_index("at").group_by("method", "parameter", "lag_bucket")
            for (method, parameter, lag), part in groups:
                at = part.get_column("at").to_numpy()
                made = _predicted(Key(str(method), str(parameter), int(str(lag))), part, serving)
                value[at], size[at] = made.value, made.size
            done = tried.select(
                "row",
                "horizon",
                "candidate",
                pl.Series("value", value),
                pl.Series("size", size, nan_to_null=True),
            ).filter(pl.col("value").is_finite())
            best.append(done)
            rows = rows.join(done, on=["row", "horizon"], how="anti")
    return (
        pl.concat(best)
        .join(
            candidates.select(
                "candidate", pl.col("method").alias("model"), *_OF_SERIES, *QUANTILES
            ),
            on="candidate",
        )
        .drop("candidate")
    )


def _predicted(key: Key, rows: pl.DataFrame, serving: _Serving) -> Prediction:
    """Forecasts of one method; NaN where impossible, and of a method that is no longer there."""
    row, horizon = rows.get_column("row").to_numpy(), rows.get_column("horizon").to_numpy()
    unsized = np.full(rows.height, np.nan)
    if key.method in serving.seasonal:
        return Prediction(serving.seasonal[key.method][horizon, row], unsized)
    learned, of = _learned(rows, serving.candidates)
    state = State(
        history=serving.histories[key.parameter],
        column=rows.get_column("column").to_numpy(),
        place=rows.get_column("place").to_numpy(),
        known=rows.get_column("known").to_numpy(),
        target=rows.get_column("target").to_numpy(),
        seasonal={
            name: Seasonals(last=table[0, row], target=table[horizon, row])
            for name, table in serving.seasonal.items()
        },
    )
    for method in methods.METHODS:
        if method.name == key.method:
            return Prediction(method.predict(learned, of, state), unsized)
    made = Prediction(np.full(rows.height, np.nan), unsized)
    for of_network in methods.NETWORK:
        if of_network.name == key.method:
            days = np.array([date.fromisoformat(text) for text in learned])[of]
            for day in np.unique(days):
                model = serving.network.learned(key, day)
                if model is not None:
                    of_day = np.flatnonzero(days == day)
                    part = of_network.predict(model, state.take(of_day))
                    made.value[of_day], made.size[of_day] = part.value, part.size
    return made


def _from_network(rows: pl.DataFrame, tables: Mapping[str, Grid]) -> pl.DataFrame:
    """Fill rows still without a value from the other stations' latest valid readings.

    A row gets here only if its own station has no valid reading in the window, or none in that of
    flagged sensors, so that every reading of the grid is another station's.
    """
    needed = rows.filter(pl.col("value").is_null()).select("parameter", "issue", "flagged").unique()
    made: list[dict[str, Any]] = []
    for key in needed.iter_rows(named=True):
        data = tables[key["parameter"]]
        now = key["issue"] - data.first
        reach = SILENT_HOURS if key["flagged"] else WINDOW_HOURS
        known = data.between(max(now - reach, 0), now)
        spread = methods.LAST_RESORT.predict(key["parameter"], known)
        if spread is None:
            made.append({**key, "model": SENSOR_FLAGGED if key["flagged"] else NO_READINGS})
        else:
            found = {"value": spread.value, "scale": spread.scale, **spread.quantiles}
            made.append({**key, "model": methods.LAST_RESORT.name, **found})
    columns = ["value", "scale", "model", *QUANTILES]
    network = pl.DataFrame(
        made, schema=rows.select("parameter", "issue", "flagged", *columns).schema, orient="row"
    )
    return rows.join(
        network,
        on=["parameter", "issue", "flagged"],
        how="left",
        suffix="_network",
        maintain_order="left",
    ).with_columns(
        pl.when(pl.col("value").is_null()).then(f"{name}_network").otherwise(name).alias(name)
        for name in columns
    )


def _bounded(parameter: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one parameter with their intervals."""
    value = possible(parameter, rows.get_column("value").to_numpy())
    quantiles = {name: rows.get_column(name).to_numpy() for name in QUANTILES}
    size = rows.get_column("size").cast(pl.Float64).fill_null(np.nan).to_numpy()
    level = interval_unit(parameter, value, rows.get_column("scale").to_numpy())
    sized = ~np.isnan(size)
    least = min_half_width(parameter) * np.where(sized, SIZED_SHARE, 1.0)
    ends = bounds(parameter, value, np.where(sized, size, level), quantiles, least)
    ends = widened(parameter, value, ends, _unseen(rows))
    return rows.with_columns(
        pl.Series(name, values, nan_to_null=True)
        for name, values in {"value": value, **ends}.items()
    )


def _unseen(rows: pl.DataFrame) -> Floats:
    """The range of the readings where the predicted hour of the day was never read, zero elsewhere.

    A row that no series' model stands behind (the network's median) knows no hours at all.
    """
    bit = 2 ** (pl.col("target") % 24)
    seen = (pl.col("hours_seen") & bit.cast(pl.Int32)) > 0
    found = rows.select(pl.when(~seen).then("reading_range").fill_null(0.0)).to_series()
    return found.to_numpy()


def _moment(epoch: str) -> pl.Expr:
    """Epoch hours as a UTC instant."""
    return (pl.col(epoch) * 3_600_000_000).cast(pl.Datetime("us", "UTC"))
