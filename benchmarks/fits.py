"""Prophet curves a second: all series at once against stock Prophet in a loop, in one process.

Eight weeks of made-up hours each: daily and weekly cycle, weather, noise, a twentieth missing. Both
see the same series; the loop, which has one speed from its first fit on, sees fewer of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from aq_science.forecasting.features import History
from aq_science.forecasting.grid import HOUR_SECONDS, Floats, Grid
from aq_science.forecasting.methods.curves import Curve, curve_at
from aq_science.forecasting.methods.prophet_batch import fit_curves
from aq_science.forecasting.methods.prophet_stan import fit_curve
from aq_science.forecasting.schema import TRAINING_DAYS
from benchmarks.common import machine

TIMES_THE_LOOP = 10
FIRST_HOUR = 473_352  # 2024-01-01T00:00Z


def made_up(series: int) -> History:
    """Series of the training window's length."""
    random = np.random.default_rng(11)
    hours = np.arange(24 * TRAINING_DAYS)
    values: Floats = np.abs(
        40
        + 12 * np.sin(2 * np.pi * hours / 24)[:, None]
        + 5 * np.sin(2 * np.pi * hours / 168)[:, None]
        + np.cumsum(random.normal(size=(len(hours), series)), axis=0)
        + random.normal(0, 3, size=(len(hours), series))
    )
    values[random.random(values.shape) < 0.05] = np.nan
    stations = {f"s{number}": number for number in range(series)}
    return History.of("pm25", {"pm25": Grid(FIRST_HOUR, stations, values)}, list(stations))


def stock_loop(history: History) -> list[Curve]:
    """Prophet, series by series."""
    seconds = history.hours * HOUR_SECONDS
    there = ~np.isnan(history.values)
    return [
        fit_curve(seconds[rows], values[rows])
        for rows, values in zip(there.T, history.values.T, strict=True)
    ]


def all_at_once(history: History) -> list[Curve]:
    """As the platform does it, and no series may be left over."""
    curves = fit_curves(history.hours * HOUR_SECONDS, history.values)
    fitted = [curve for curve in curves if curve is not None]
    if len(fitted) < len(curves):
        raise SystemExit(f"{len(curves) - len(fitted)} series were left over for Prophet")
    return fitted


def timed(what: str, series: int, work: Callable[[], list[Curve]]) -> tuple[float, list[Curve]]:
    """Fits a second, printed."""
    began = time.perf_counter()
    made = work()
    rate = series / (time.perf_counter() - began)
    print(f"{what:32}{series:7,} series{rate:10,.1f} fits/s")
    return rate, made


def main() -> None:
    """Measure, print the rates, their ratio, and how far the curves lie apart."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=2_000)
    options.add_argument("--loop", type=int, default=40)
    given = options.parse_args()
    history = made_up(given.series)
    few = history.only(range(given.loop))
    print(machine())
    stock_loop(few.only([0]))  # imports
    stock, theirs = timed("stock Prophet in a loop", given.loop, lambda: stock_loop(few))
    batch, ours = timed("all at once", given.series, lambda: all_at_once(history))
    print(f"all at once / loop {batch / stock:7.1f}   aim >= {TIMES_THE_LOOP}")
    seconds = history.hours * HOUR_SECONDS
    apart = [
        np.sqrt(np.mean((curve_at(a, seconds) - curve_at(b, seconds)) ** 2)) / np.nanstd(values)
        for a, b, values in zip(ours, theirs, few.values.T, strict=False)
    ]
    print(f"curves apart, of the standard deviation: median {np.median(apart):.3f}")


if __name__ == "__main__":
    main()
