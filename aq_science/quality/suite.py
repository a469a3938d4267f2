"""Which quality tests run, with which thresholds for which parameter, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from aq_science.parameters import PARAMETERS, SENTINELS, Parameter
from aq_science.quality.conflicts import duplicate_hour
from aq_science.quality.core import QualityTest, Suite
from aq_science.quality.flat_line import flat_line_of_zeros
from aq_science.quality.gross_range import gross_range
from aq_science.quality.negative import negative
from aq_science.quality.validity import no_value, not_finite, sentinel, unknown_unit

# Share of a day's present hours that must be exactly zero for the sensor to count as stuck.
STUCK_SHARE = 0.75


def by_parameter(threshold: Callable[[Parameter], float]) -> pl.Expr:
    """The threshold of every row's parameter; column `parameter` has type `PARAMETER`."""
    numbers = pl.Series([threshold(p) for p in PARAMETERS.values()], dtype=pl.Float64)
    return pl.lit(numbers).gather(pl.col("parameter").to_physical())


STANDARD = Suite(
    (
        QualityTest("no_value", {"missing": no_value()}),
        QualityTest("not_finite", {"invalid": not_finite()}),
        QualityTest("unknown_unit", {"invalid": unknown_unit()}),
        QualityTest("sentinel", {"invalid": sentinel(SENTINELS)}),
        QualityTest(
            "gross_range",
            {
                "invalid": gross_range(
                    by_parameter(lambda p: p.fail[0]), by_parameter(lambda p: p.fail[1])
                ),
                "suspect": gross_range(
                    by_parameter(lambda p: p.suspect[0]), by_parameter(lambda p: p.suspect[1])
                ),
            },
        ),
        QualityTest("duplicate_hour", {"suspect": duplicate_hour()}),
        QualityTest(
            "flat_line",
            {
                "suspect": partial(
                    flat_line_of_zeros,
                    at_least={name: p.zero_hours for name, p in PARAMETERS.items()},
                    share=STUCK_SHARE,
                )
            },
        ),
        # Noise around zero is valid data: dropping it would bias the mean upwards (EPA 2016).
        QualityTest(
            "negative", {"valid": negative([p.name for p in PARAMETERS.values() if p.signed])}
        ),
    )
)
