"""Five questions to the API of a running platform (`aq serve`), as a marimo notebook.

`marimo edit notebooks/five_questions.py` opens it, with the packages aq-client and marimo-base;
AQ_API_URL says where the API is.
"""

import marimo

app = marimo.App(width="medium")


@app.cell
def connection():
    import os as _os

    from aq_client import Client as _Client

    air = _Client(_os.environ.get("AQ_API_URL", "http://127.0.0.1:8700"))
    return (air,)


@app.cell
def month(air):
    from datetime import UTC, datetime, timedelta

    import marimo as mo
    import polars as pl

    # A station's local day may be ahead of UTC's.
    end = datetime.now(UTC).date() + timedelta(days=2)
    start = end - timedelta(days=31)
    names = air.stations().select("network", "station_id", "name")
    days = air.daily_averages(start, end)
    mo.md(f"# Five questions\n\nOf {names.height} stations, since {start}.")
    return UTC, datetime, days, end, mo, names, pl, start, timedelta


@app.cell
def worst_station(days, mo, names, pl):
    worst = (
        days.filter(pl.col("parameter") == "pm25", pl.col("valid"))
        .group_by("network", "station_id")
        .agg(
            pl.col("mean").mean().alias("mean"),
            pl.col("who_2021_exceeded").sum().alias("days_above_who"),
            pl.len().alias("days"),
        )
        .join(names, on=["network", "station_id"], how="left")
        .sort("mean", descending=True)
    )
    _text = "no station has a valid day"
    if worst.height:
        _first = worst.row(0, named=True)
        _text = (
            f"**{_first['name'] or _first['station_id']}**, {_first['mean']:.1f} µg/m³ over "
            f"{_first['days']} valid days, {_first['days_above_who']} of them above the WHO's level"
        )
    mo.vstack([mo.md(f"## Which station had the worst PM2.5?\n\n{_text}."), worst])
    return (worst,)


@app.cell
def weekdays(days, mo, pl):
    by_weekday = (
        days.filter(pl.col("parameter") == "pm25", pl.col("valid"))
        # Each station against its own mean, lest the days on which one is missing look cleaner.
        .with_columns(
            ratio=pl.col("mean") / pl.col("mean").mean().over("network", "station_id"),
            weekday=pl.col("date").dt.weekday(),
        )
        .group_by("weekday")
        .agg(pl.col("ratio").mean(), pl.len().alias("days"))
        .sort("weekday")
    )
    _weekend = by_weekday.filter(pl.col("weekday") >= 6)["ratio"].mean()
    _work = by_weekday.filter(pl.col("weekday") < 6)["ratio"].mean()
    _text = (
        "too few days to say"
        if _weekend is None or not _work
        else f"at weekends it is {100 * (_weekend / _work - 1):+.0f} % of a working day's"
    )
    mo.vstack([mo.md(f"## Does PM2.5 follow the week?\n\n{_text}."), by_weekday])
    return (by_weekday,)


@app.cell
def forecast_skill(air, end, mo, pl, start):
    skill = (
        air.scores(start, end)
        .filter(pl.col("mae").is_not_null(), pl.col("mae_persistence") > 0)
        .group_by("parameter", "horizon")
        .agg(
            (pl.col("mae") * pl.col("n")).sum() / pl.col("n").sum(),
            (pl.col("mae_persistence") * pl.col("n")).sum() / pl.col("n").sum(),
            pl.col("n").sum(),
        )
        .with_columns(skill=1 - pl.col("mae") / pl.col("mae_persistence"))
        .sort("parameter", "horizon")
    )
    _better = skill.filter(pl.col("skill") > 0).height
    _text = (
        "no forecast has been scored yet"
        if skill.is_empty()
        else f"for {_better} of {skill.height} parameters and horizons"
    )
    mo.vstack([mo.md(f"## Do the forecasts beat persistence?\n\n{_text}."), skill])
    return (skill,)


@app.cell
def completeness(air, days, end, mo, names, pl, start):
    complete = (
        days.group_by("network", "station_id")
        .agg(
            (pl.col("hours_valid").sum() / pl.col("hours_expected").sum()).alias("completeness"),
            pl.col("hours_expected").sum(),
        )
        .join(names, on=["network", "station_id"], how="left")
        .sort("completeness")
    )
    causes = (
        air.gaps(start, end).group_by("cause").agg(pl.col("hours").sum()).sort("hours").reverse()
    )
    _valid = (complete["completeness"] * complete["hours_expected"]).sum()
    _share = _valid / max(1, complete["hours_expected"].sum())
    _text = f"{100 * _share:.0f} % of the hours are valid"
    if causes.height:
        _text += f"; most of the others are `{causes['cause'][0]}`"
    mo.vstack([mo.md(f"## How complete are the readings?\n\n{_text}."), complete, causes])
    return causes, complete


@app.cell
def carbon_monoxide(UTC, air, datetime, mo, names, pl, timedelta):
    _until = datetime.now(UTC)
    _hours = air.hourly_readings(
        _until - timedelta(days=31), _until, parameter=["co", "pm25"], flag="valid"
    )
    _co, _pm25 = (
        _hours.filter(parameter=_name).select("network", "station_id", "hour", "value")
        for _name in ("co", "pm25")
    )
    together = (
        _co.join(_pm25, on=["network", "station_id", "hour"], suffix="_pm25")
        .group_by("network", "station_id")
        .agg(
            pl.corr("value", "value_pm25", method="spearman").alias("correlation"),
            pl.len().alias("hours"),
        )
        .filter(pl.col("correlation").is_finite())
        .join(names, on=["network", "station_id"], how="left")
        .sort("correlation", descending=True)
    )
    _text = "no station reports both"
    if together.height:
        _text = f"the rank correlation is {together['correlation'].median():.2f} in the middle"
    mo.vstack([mo.md(f"## Does CO rise with PM2.5?\n\n{_text}."), together])
    return (together,)


@app.cell
def credit(air, days, mo, pl):
    credits_due = air.attribution().filter(pl.col("network").is_in(days["network"].unique()))
    mo.vstack([mo.md("## Whom to credit"), credits_due])
    return (credits_due,)


if __name__ == "__main__":
    app.run()
