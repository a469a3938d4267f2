"""Quality tests, averages and conformal intervals against other people's code, on the same numbers.

`make agreement` installs what it compares with (IOOS QC, SaQC, crepes) into an environment of its
own, runs this and fails where a number differs. Compared is what means the same: IOOS's spike and
flat-line tests, with a fixed threshold or length, have no counterpart here. The speeds beside it
are of one run over the same rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd  # noqa: TID253 - no part of the platform imports this
import polars as pl

from aq_science.averages import daily_averages
from aq_science.forecasting.intervals import conformal_quantiles
from aq_science.parameters import PARAMETERS
from aq_science.quality.findings import findings, flag_readings
from aq_science.quality.runs import with_runs
from aq_science.tables.types import INSTANT, PARAMETER, STATUS

START = datetime(2024, 1, 1, tzinfo=UTC)
ZONE = "Europe/Rome"
MEASURED = ("pm25", "co", "temperature", "pressure")
RUN = 12
FOUR_TESTS_A_SECOND, THREE_TESTS_A_SECOND = 1.5e6, 0.45e6
Result = TypeVar("Result")


def made_up(stations: int, days: int) -> pl.DataFrame:
    """Readings of every hour in canonical units: weather and city air, with faults."""
    random = np.random.default_rng(7)
    hours = 24 * days
    frames = []
    for station in range(stations):
        phase = 2 * np.pi * np.arange(hours) / 24
        noise = {name: np.cumsum(random.normal(0, 0.1, hours)) % 7 for name in MEASURED}
        series = {
            "pm25": 20 + 8 * np.sin(phase) + 3 * noise["pm25"],
            "co": 0.6 + 0.2 * np.sin(phase) + 0.1 * noise["co"],
            "temperature": 14 + 6 * np.sin(phase) + noise["temperature"],
            "pressure": 1005 + noise["pressure"],
        }
        for name, values in series.items():
            odd = random.integers(0, hours, hours // 50)
            values[odd] += random.choice([-2000.0, -80.0, 60.0, 700.0, 5000.0], odd.size)
            values[random.integers(0, hours, hours // 60)] = np.nan
            for first in random.integers(0, hours - 40, 3):
                values[first : first + 30] = np.round(values[first], 1)
            frames.append(
                pl.DataFrame({"value": values}).select(
                    station_id=pl.lit(f"s{station}", pl.Categorical),
                    parameter=pl.lit(name, PARAMETER),
                    hour=(pl.lit(START) + pl.duration(hours=pl.int_range(pl.len()))).cast(INSTANT),
                    value=pl.col("value").fill_nan(None),
                )
            )
    return pl.concat(frames).with_columns(
        value_native="value",
        coverage=pl.lit(None, pl.Float64),
        duplicate=pl.lit(value=False),
        provider_flag=pl.lit(value=False),
        channels_apart=pl.lit(None, pl.Float64),
        status=pl.lit(None, STATUS),
    )


class Report:
    """Lines of the comparison, and whether all of them agree."""

    def __init__(self) -> None:
        self.agrees = True

    def compare(self, what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Print how many rows each has found, and on how many they differ."""
        differ = int((ours != theirs).sum())
        self.agrees &= not differ
        print(f"{what:58}{int(ours.sum()):9,}{int(theirs.sum()):9,}{differ:9,}")

    def close(self, what: str, ours: pd.Series, theirs: pd.Series) -> None:
        """Print how many numbers there are on both sides, and how far they are apart at most."""
        both = pd.concat([ours.rename("ours"), theirs.rename("theirs")], axis=1)
        apart = float((both["ours"] - both["theirs"]).abs().max())
        alone = int((both["ours"].isna() != both["theirs"].isna()).sum())
        self.agrees &= apart < 1e-9 and not alone
        print(f"{what:58}{len(ours.dropna()):9,}{len(theirs.dropna()):9,}{alone:9,}  {apart:.1e}")


def found_by(readings: pl.DataFrame, fired: pl.DataFrame, test: str, flag: str) -> np.ndarray:
    """Whether a test found each of the readings."""
    own = fired.filter(pl.col("test") == test, pl.col("flag") == flag)
    key = ["station_id", "parameter", "hour"]
    hit = own.select(*key, hit=pl.lit(value=True))
    return (
        readings.join(hit, on=key, how="left", maintain_order="left")["hit"]
        .is_not_null()
        .to_numpy()
    )


def of(readings: pl.DataFrame, parameter: str) -> list[pl.DataFrame]:
    """The series of a parameter, one a station."""
    return readings.filter(pl.col("parameter") == parameter).partition_by(
        "station_id", maintain_order=True
    )


def with_ioos(readings: pl.DataFrame, fired: pl.DataFrame, report: Report) -> None:
    """IOOS QC 3: 3 is suspect, 4 is fail."""
    from ioos_qc import qartod

    for name in MEASURED:
        known = PARAMETERS[name]
        theirs, ours, suspect, ours_suspect = [], [], [], []
        for series in of(readings, name):
            values = series["value"].fill_null(np.nan).to_numpy()
            flags = np.asarray(qartod.gross_range_test(values, known.fail, known.suspect))
            theirs.append(flags == 4)
            suspect.append(flags == 3)
            ours.append(found_by(series, fired, "gross_range", "invalid"))
            ours_suspect.append(found_by(series, fired, "gross_range", "suspect"))
        report.compare(
            f"IOOS gross range, fail: {name}", np.concatenate(ours), np.concatenate(theirs)
        )
        if not known.pollutant:
            # A pollutant's high hour is suspect only where it stands alone.
            report.compare(
                f"IOOS gross range, suspect: {name}",
                np.concatenate(ours_suspect),
                np.concatenate(suspect),
            )
        if known.rate is not None:
            _rate_of_change(readings, fired, report, name, known.rate)


def _rate_of_change(
    readings: pl.DataFrame, fired: pl.DataFrame, report: Report, name: str, rate: float
) -> None:
    from ioos_qc import qartod

    theirs, ours = [], []
    for series in of(readings, name):
        # Across a gap IOOS divides by its length; here nothing is judged there.
        values = series["value"].fill_null(np.nan).to_numpy()
        seconds = series["hour"].dt.epoch("s").to_numpy()
        flags = np.asarray(qartod.rate_of_change_test(values, seconds, rate / 3600))
        back = np.abs(values[2:] - values[:-2]) <= rate
        jumped = flags == 3
        # An hour that is back at the value of two hours before is the good one of the two.
        jumped[2:] &= ~back
        theirs.append(jumped)
        ours.append(found_by(series, fired, "rate_of_change", "suspect"))
    report.compare(
        f"IOOS rate of change, without the way back: {name}",
        np.concatenate(ours),
        np.concatenate(theirs),
    )


def with_saqc(readings: pl.DataFrame, fired: pl.DataFrame, report: Report) -> None:
    """SaQC 2.9: anything above -inf is flagged."""
    from saqc import SaQC

    runs = with_runs(readings)
    for name in MEASURED:
        low, high = PARAMETERS[name].fail
        ranges, missing, constant, ours, absent, run = [], [], [], [], [], []
        for series in of(runs, name):
            data = _pandas(series)
            span = partial(SaQC.flagRange, field="value", min=low, max=high)
            ranges.append(_flagged(data, span))
            missing.append(_flagged(data, lambda q: q.flagMissing("value")))
            within = data.where(data.between(low, high)).dropna()
            stuck = _flagged(within, lambda q: q.flagConstants("value", window=RUN, thresh=0))
            constant.append(stuck)
            ours.append(found_by(series, fired, "gross_range", "invalid"))
            absent.append(found_by(series, fired, "no_value", "missing"))
            kept = series.filter(pl.col("run_rows") > 0)
            run.append((kept["run_rows"] >= RUN).to_numpy())
        report.compare(f"SaQC range: {name}", np.concatenate(ours), np.concatenate(ranges))
        report.compare(f"SaQC missing: {name}", np.concatenate(absent), np.concatenate(missing))
        report.compare(
            f"SaQC constants of {RUN} hours: {name}", np.concatenate(run), np.concatenate(constant)
        )


def _pandas(series: pl.DataFrame) -> pd.Series:
    index = pd.to_datetime(series["hour"].dt.epoch("s").to_numpy(), unit="s")
    return pd.Series(series["value"].fill_null(np.nan).to_numpy(), index=index, name="value")


def _flagged(data: pd.Series, test: Callable[[Any], Any]) -> np.ndarray:
    from saqc import SaQC

    flags: np.ndarray = test(SaQC(data.to_frame("value"))).flags["value"].to_numpy()
    return np.asarray(flags > -np.inf)


def with_pandas(readings: pl.DataFrame, report: Report) -> None:
    """Daily means, completeness and 8-hour maxima of CO by pandas alone."""
    hourly = flag_readings(readings).with_columns(network=pl.lit("made_up", pl.Categorical))
    last = date(2024, 1, 1) + timedelta(days=readings["hour"].dt.date().n_unique() - 1)
    zones = {str(name): ZONE for name in readings["station_id"].unique()}
    days = daily_averages(hourly, zones, (date(2024, 1, 2), last - timedelta(days=1)))
    own = days.filter(pl.col("parameter") == "co")
    mine = pd.DataFrame(
        own.select("station_id", "date", "mean", "completeness", "max_8h_mean").to_dicts()
    )
    mine = mine.set_index(["station_id", "date"])
    frames = []
    for series in of(hourly, "co"):
        valid = series.with_columns(value=pl.when(pl.col("flag") == "valid").then("value"))
        data = _pandas(valid).tz_localize("UTC").tz_convert(ZONE)
        every = data.resample("1h").asfreq()
        day = every.groupby(every.index.date)
        means = every.rolling(8, min_periods=6).mean()
        # A window ends with its last hour, and belongs to the day on which that hour begins.
        ending = means.groupby(means.index.date)
        maxima = ending.max().where(ending.count() >= 18)
        frame = pd.DataFrame(
            {"mean": day.mean(), "completeness": day.count() / day.size(), "max_8h_mean": maxima}
        )
        frame["station_id"] = str(series["station_id"][0])
        frames.append(frame.rename_axis("date").reset_index().set_index(["station_id", "date"]))
    theirs = pd.concat(frames).reindex(mine.index)
    for name in ("mean", "completeness", "max_8h_mean"):
        report.close(f"pandas: {name} of CO, by local day", mine[name].astype(float), theirs[name])


def timed(work: Callable[[], Result]) -> float:
    """Seconds of the better of two."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def speeds(readings: pl.DataFrame) -> None:
    """Rows a second of each, in one process."""
    from ioos_qc import qartod
    from saqc import SaQC

    series = [s for name in MEASURED for s in of(readings, name)]
    arrays = [
        (s["value"].fill_null(np.nan).to_numpy(), s["hour"].dt.epoch("s").to_numpy())
        for s in series
    ]
    frames = [_pandas(s).to_frame("value") for s in series]

    def ioos() -> None:
        for values, seconds in arrays:
            qartod.gross_range_test(values, (-10, 1000), (-10, 500))
            qartod.spike_test(values, 50, 100)
            qartod.rate_of_change_test(values, seconds, 20 / 3600)
            qartod.flat_line_test(values, seconds, 6 * 3600, 12 * 3600, 0)

    def three() -> None:
        for frame in frames:
            checked = SaQC(frame).flagRange("value", min=-10, max=1000)
            checked.flagConstants("value", window=RUN, thresh=0).flagZScore("value", window="30D")

    count = len(readings)
    ours = count / timed(lambda: flag_readings(readings))
    for name, rate, published in (
        ("IOOS QC, four tests", count / timed(ioos), FOUR_TESTS_A_SECOND),
        ("SaQC, three tests", count / timed(three), THREE_TESTS_A_SECOND),
    ):
        print(
            f"{name:30}{rate:14,.0f} rows/s (published {published:,.0f})   ours x {ours / rate:.1f}"
        )
    print(f"{'all of ours':30}{ours:14,.0f} rows/s of {count:,}")


def with_crepes(report: Report) -> None:
    """crepes: percentiles of a conformal predictive system, from the same errors."""
    from crepes import ConformalPredictiveSystem

    random = np.random.default_rng(5)
    ours, theirs = [], []
    for number in (40, 100, 168, 500):
        errors = random.standard_t(3, number) + 0.4
        system = ConformalPredictiveSystem()
        system.fit(residuals=errors)
        for lower, upper, coverage in ((10, 90, 80), (2.5, 97.5, 95)):
            theirs += system.predict_percentiles(
                y_hat=np.zeros(1), lower_percentiles=lower, higher_percentiles=upper
            )[0].tolist()
            found = conformal_quantiles(errors)
            ours += [found[f"q_lower_{coverage}"], found[f"q_upper_{coverage}"]]
    report.close("crepes conformal quantiles", pd.Series(ours), pd.Series(theirs))


def main() -> None:
    """Compare, print, and exit with 1 where a number differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stations", type=int, default=10)
    options.add_argument("--days", type=int, default=400)
    given = options.parse_args()
    readings = made_up(given.stations, given.days)
    fired = findings(readings)
    report = Report()
    print(f"{'':58}{'ours':>9}{'theirs':>9}{'differ':>9}")
    with_ioos(readings, fired, report)
    with_saqc(readings, fired, report)
    with_pandas(readings, report)
    with_crepes(report)
    speeds(readings)
    raise SystemExit(0 if report.agrees else 1)


if __name__ == "__main__":
    main()
