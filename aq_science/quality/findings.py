"""Runs a suite over readings: their flags and reasons, or every finding by itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from aq_science.quality.core import NEIGHBOURS, Criterion, Suite, made
from aq_science.quality.runs import RUN_COLUMNS, with_runs
from aq_science.quality.suite import STANDARD
from aq_science.tables.types import FLAG, FLAGS

# Outcomes of a row that are packed into one integer to be compared at once.
_PACKED = 32


@dataclass(frozen=True)
class _Outcome:
    """One flag that one test may give, and the rows to which it does."""

    test: str
    version: int
    flag: str
    criterion: Criterion
    fired: pl.Series


def flag_readings(
    readings: pl.DataFrame, suite: Suite = STANDARD, neighbours: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Add `flag` and `reasons` to readings in canonical units.

    Args:
        readings: `station_id, parameter, hour, value, value_native, coverage, duplicate,
            provider_flag, channels_apart, status`.
        suite: The quality tests to run.
        neighbours: Which stations are `NEIGHBOURS`; None where that is not known.

    Returns:
        The readings in their order. Values that are not finite become null in `value` and stay in
        `value_native`. `reasons` names the tests that fired, in the suite's order; the worst of
        their flags is the row's, `valid` where none fired.
    """
    readings = with_runs(_finite_values(readings))
    outcomes = [o for o in _outcomes(readings, suite, neighbours) if o.fired.any()]
    place = np.zeros(len(readings), np.uint32)
    rows, combination, met = _combinations(outcomes)
    place[rows] = combination
    # Where nothing fired, and then every combination that did.
    reasons = [[], *(list(dict.fromkeys(o.test for o in together)) for together in met)]
    flags = [FLAGS[0], *(max((o.flag for o in together), key=FLAGS.index) for together in met)]
    index = pl.Series(place)
    return readings.drop(*RUN_COLUMNS).with_columns(
        pl.Series(reasons, dtype=pl.List(pl.String)).gather(index).alias("reasons"),
        pl.Series(flags, dtype=FLAG).gather(index).alias("flag"),
    )


def findings(
    readings: pl.DataFrame, suite: Suite = STANDARD, neighbours: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row a reading and test that fired, sorted by station, parameter, hour and the suite.

    Args:
        readings: As in `flag_readings`.
        suite: The quality tests to run.
        neighbours: Which stations are `NEIGHBOURS`; None where that is not known.

    Returns:
        `station_id, parameter, hour, test, version, flag, observed, limit`: what the test, in which
        version, compared, and with what.
    """
    readings = with_runs(_finite_values(readings))
    key = ("station_id", "parameter", "hour")
    test = pl.Enum(suite.names)
    found = [
        pl.DataFrame(
            schema={
                **{name: readings.schema[name] for name in key},
                "test": test,
                "version": pl.Int32(),
                "flag": FLAG,
                "observed": pl.Float64(),
                "limit": pl.Float64(),
            }
        )
    ]
    found += [
        readings.select(
            *key,
            pl.lit(outcome.test, test).alias("test"),
            pl.lit(outcome.version, pl.Int32).alias("version"),
            pl.lit(outcome.flag, FLAG).alias("flag"),
            outcome.criterion.observed.alias("observed"),
            outcome.criterion.limit.alias("limit"),
        ).filter(outcome.fired)
        for outcome in _outcomes(readings, suite, neighbours)
        if outcome.fired.any()
    ]
    return (
        pl.concat(found)
        .sort(*key, "test", "flag")
        .unique([*key, "test"], keep="last", maintain_order=True)
    )


def _finite_values(readings: pl.DataFrame) -> pl.DataFrame:
    return readings.with_columns(value=pl.when(pl.col("value").is_finite()).then("value"))


def _outcomes(
    readings: pl.DataFrame, suite: Suite, neighbours: pl.DataFrame | None
) -> Iterator[_Outcome]:
    """Every flag that a test may give, in the suite's order, with the rows that get it."""
    near = NEIGHBOURS.to_frame() if neighbours is None else neighbours
    given = [(test, flag) for test in suite.tests for flag in test.criteria]
    # Side by side: each works for itself, and much of it on one core.
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        criteria = list(pool.map(lambda one: made(one[0].criteria[one[1]], readings, near), given))
    # All at once: they run side by side, and what they have in common is computed once.
    fired = (
        readings.lazy()
        .select(
            criterion.fires.fill_null(value=False).alias(str(n))
            for n, criterion in enumerate(criteria)
        )
        .collect()
    )
    for column, (test, flag), criterion in zip(fired.iter_columns(), given, criteria, strict=True):
        yield _Outcome(test.name, test.version, flag, criterion, column)


def _combinations(
    outcomes: list[_Outcome],
) -> tuple[np.ndarray, np.ndarray, list[list[_Outcome]]]:
    """Which outcomes came together: few combinations are met, on however many rows.

    Rows on which any fired, the number of each row's combination from 1 on, and the combinations.
    """
    if not outcomes:
        return np.empty(0, np.uint32), np.empty(0, np.uint32), []
    fired = pl.DataFrame({str(n): outcome.fired for n, outcome in enumerate(outcomes)})
    rows = fired.select(pl.any_horizontal(pl.all()).arg_true()).to_series()
    packed = fired[rows].select(
        pl.sum_horizontal(
            pl.col(name).cast(pl.UInt64) * (1 << bit)
            for bit, name in enumerate(fired.columns[start : start + _PACKED])
        ).alias(str(start))
        for start in range(0, len(outcomes), _PACKED)
    )
    met = packed.unique().with_row_index("number", offset=1)
    numbers = packed.join(met, on=packed.columns, how="left", maintain_order="left")["number"]
    combinations = [
        [outcome for n, outcome in enumerate(outcomes) if packs[n // _PACKED] >> (n % _PACKED) & 1]
        for packs in met.select(packed.columns).iter_rows()
    ]
    return rows.to_numpy(), numbers.to_numpy(), combinations
