"""Faults put into made-up readings at known places: what of them is found, and what else is.

Six stations of one city share their air, each with its own street; 90 days of PM2.5 in steps of
0.1 µg/m³. Every fault has its own hours, and so have the smoke events, which are real.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from aq_science.quality.findings import findings
from aq_science.quality.neighbours import neighbours_within
from aq_science.quality.suite import NEIGHBOURHOOD_KM
from aq_science.readings import hourly_readings, in_canonical_units
from aq_science.tables.types import INSTANT
from aq_science.versions import VERSION_SCHEMA, fold_versions
from tests.factories import utc

STATIONS, DAYS = 6, 90
HOURS = 24 * DAYS
START = utc(2025, 1, 1)
PLACES = pl.DataFrame(
    {
        "station_id": [f"s{n}" for n in range(STATIONS)],
        "latitude": [43.77 + 0.01 * n for n in range(STATIONS)],
        "longitude": 11.25,
    }
)
LEAST_PRECISION, LEAST_RECALL = 0.95, 0.90

_DIRTY = 10.0

Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def air(random: np.random.Generator) -> np.ndarray:
    """Stations by hours: a log-normal city with days and weeks, and each street's own noise."""

    def wander(keeps: float, size: float) -> np.ndarray:
        steps = random.normal(0, size, HOURS)
        level = np.zeros(HOURS)
        for n in range(1, HOURS):
            level[n] = keeps * level[n - 1] + steps[n]
        return level

    daily = 0.3 * np.sin(2 * np.pi * (np.arange(HOURS) % 24 - 9) / 24)
    city = 3.5 + daily + wander(0.97, 0.08)
    streets = [random.normal(0, 0.15) + wander(0.8, 0.08) for _ in range(STATIONS)]
    return np.round(np.exp(np.stack([city + street for street in streets])), 1)


def spike(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.round(8 * values.max() + random.uniform(150, 300, values.size), 1)


def stuck(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.full(values.size, values[0])


def zeros(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.zeros(values.size)


def last_digit(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.round(60 + 0.05 * random.integers(0, 5, values.size), 2)


def gain(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.round(10 * values + 40, 1)


def code(number: float) -> Fault:
    return lambda values, _: np.full(values.size, number)


# Name, the test that is meant to find it, how often, its length in hours, whether it begins at
# midnight, and what it does.
FAULTS: tuple[tuple[str, str, int, int, bool, Fault], ...] = (
    ("spikes", "spike", 30, 1, False, spike),
    ("-999", "sentinel", 20, 2, False, code(-999.0)),
    ("9999", "sentinel", 20, 1, False, code(9999.0)),
    ("-1 for no value", "negative_code", 10, 5, False, code(-1.0)),
    ("stuck for a day and more", "flat_line", 6, 36, False, stuck),
    ("dead at zero", "flat_line", 6, 24, True, zeros),
    ("the last digit alone", "attenuated_signal", 5, 24, True, last_digit),
    ("a wrong gain", "out_of_step", 5, 24, True, gain),
)


def smoke(values: np.ndarray) -> np.ndarray:
    """Half a day that rises to hundreds and falls again, as at one station near a fire."""
    shape = np.exp(-(((np.arange(values.size) - values.size / 2) / (values.size / 5)) ** 2))
    return np.round(values + 700 * shape, 1)


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Values and, at the same places, the number of the fault from 1 on; -1 for smoke, 0 for air.

    Each fault is away from every other thing by a day, at its station.
    """
    random = np.random.default_rng(20251127)
    values = air(random)
    what = np.zeros(values.shape, int)
    taken = np.zeros(values.shape, bool)

    def place(length: int, *, at_midnight: bool) -> tuple[int, slice]:
        # Where the air is clean a single -1 is noise.
        while True:
            station = int(random.integers(STATIONS))
            first = int(random.integers(24, HOURS - 24 - length))
            first = first // 24 * 24 if at_midnight else first
            around = slice(max(0, first - 24), first + length + 24)
            if not taken[station, around].any() and values[station, around].min() > _DIRTY:
                taken[station, around] = True
                return station, slice(first, first + length)

    for number, (_, _, times, length, at_midnight, fault) in enumerate(FAULTS, 1):
        for _ in range(times):
            station, hours = place(length, at_midnight=at_midnight)
            values[station, hours] = fault(values[station, hours], random)
            what[station, hours] = number
    for _ in range(8):
        station, hours = place(13, at_midnight=False)
        values[station, hours] = smoke(values[station, hours])
        what[station, hours] = -1
    # Fireworks: one hour, at several stations.
    hour = 24 * 45
    free = [s for s in range(STATIONS) if not what[s, hour - 24 : hour + 25].any()]
    assert len(free) >= 2
    values[free, hour] += 450 + 20 * np.arange(len(free))
    what[free, hour] = -1
    return values, what


@pytest.fixture(scope="module")
def found(truth: tuple[np.ndarray, np.ndarray]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Readings with `what`, and the findings."""
    values, what = truth
    rows = pl.DataFrame(
        {
            "station_id": np.repeat(PLACES["station_id"].to_numpy(), HOURS),
            "n": np.tile(np.arange(HOURS), STATIONS),
            "value_native": values.ravel(),
            "what": what.ravel(),
        }
    ).with_columns(
        hour=(pl.lit(START) + pl.duration(hours="n")).cast(INSTANT),
        parameter=pl.lit("pm25"),
        unit_native=pl.lit("µg/m³"),
        duplicate=pl.lit(value=False),
        provider_flag=pl.lit(value=False),
        pulled_at=pl.lit(START + timedelta(days=DAYS + 1)),
    )
    versions = rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in VERSION_SCHEMA.items()
    )
    folded = fold_versions(versions)
    near = neighbours_within(PLACES, NEIGHBOURHOOD_KM)
    key = ["station_id", "hour"]
    said = rows.select(pl.col("station_id").cast(pl.Categorical()), "hour", "what")
    readings = hourly_readings(folded, "airqino", neighbours=near).join(said, on=key)
    fired = findings(in_canonical_units(folded), neighbours=near).join(said, on=key)
    return readings, fired.filter(pl.col("flag") != "valid")


def test_no_hour_of_smoke_is_lost(found: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    readings, _ = found
    real = readings.filter(pl.col("what") == -1)
    assert len(real) > 100
    assert set(real["flag"]) == {"valid"}


def test_what_is_flagged_is_a_fault(found: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    readings, fired = found
    flagged = readings.filter(pl.col("flag") != "valid")
    assert len(flagged.filter(pl.col("what") > 0)) >= LEAST_PRECISION * len(flagged)
    by_test = fired.group_by("test").agg(precision=(pl.col("what") > 0).mean())
    assert by_test.filter(pl.col("precision") < LEAST_PRECISION).is_empty(), by_test


@pytest.mark.parametrize(
    ("number", "test"),
    [(number, fault[1]) for number, fault in enumerate(FAULTS, 1)],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_fault_is_found_by_its_test(
    found: tuple[pl.DataFrame, pl.DataFrame], number: int, test: str
) -> None:
    readings, fired = found
    hours = len(readings.filter(pl.col("what") == number))
    hit = fired.filter(pl.col("what") == number, pl.col("test") == test)
    assert len(hit) >= LEAST_RECALL * hours
