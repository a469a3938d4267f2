"""Daily averages as several regulators define them, side by side.

* European Union: 75 % of the day's hours (2008/50/EC, Annex XI); the day by civil time, or by
  standard time all year.
* US EPA: the day by local standard time, 75 % of its hours, PM2.5 truncated to 0.1 µg/m³ (40 CFR
  50, Appendix N, 3 and 4) and PM10 to 1 µg/m³. A day of fewer hours counts where PM2.5 is above the
  standard even if the hours that are missing had been zero (Appendix N, 3.0(c)).
* WHO 2021: the 24-hour mean of the civil day, with the completeness of its European source data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from aq_science.averages import Day, daily_averages
from aq_science.tables.daily_averages import COMPLETENESS
from aq_science.tables.daily_averages_by_rule import DAILY_AVERAGES_BY_RULE

# The 24-hour standard of PM2.5, µg/m³ (40 CFR 50.18).
US_EPA_PM25 = 35.0


@dataclass(frozen=True)
class AveragingRule:
    """A regulator's daily average.

    `truncated` has the step (canonical unit) to which a mean is cut, by parameter. `counts_above`
    are levels above which a day counts in spite of missing hours, were they zero.
    """

    name: str
    day: Day
    truncated: Mapping[str, float] = field(default_factory=dict)
    counts_above: Mapping[str, float] = field(default_factory=dict)


AVERAGING_RULES = (
    AveragingRule("eu_civil_day", "civil"),
    AveragingRule("eu_standard_day", "standard"),
    AveragingRule("us_epa", "standard", {"pm25": 0.1, "pm10": 1.0}, {"pm25": US_EPA_PM25}),
    AveragingRule("who_2021", "civil"),
)


def averages_by_rule(
    hourly: pl.DataFrame,
    zones: dict[str, str],
    dates: tuple[date, date],
    elsewhere: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Daily averages by every rule of `AVERAGING_RULES`.

    Args:
        hourly: `HOURLY_READINGS`, as `daily_averages` needs them.
        zones: IANA time zone by station id.
        dates: First and last local day, both included.
        elsewhere: Days on which a station was in another zone, as for `daily_averages`.

    Returns:
        `DAILY_AVERAGES_BY_RULE` rows, sorted by their key; a day without a row of any hour has
        none.
    """
    days: dict[Day, pl.DataFrame] = {}
    frames = []
    for rule in AVERAGING_RULES:
        if rule.day not in days:
            days[rule.day] = daily_averages(hourly, zones, dates, day=rule.day, elsewhere=elsewhere)
        frames.append(_by(rule, days[rule.day]))
    return pl.concat(frames).sort(DAILY_AVERAGES_BY_RULE.key)


def _by(rule: AveragingRule, days: pl.DataFrame) -> pl.DataFrame:
    step = _of_parameter(rule.truncated)
    # The small addend undoes binary representation: 35.4 is stored just below 35.4.
    truncated = (pl.col("mean") / step + 1e-9).floor() * step
    if_zero = pl.col("mean") * pl.col("completeness")
    certain = (if_zero > _of_parameter(rule.counts_above)).fill_null(value=False)
    return days.with_columns(
        rule=pl.lit(rule.name),
        mean=pl.coalesce(truncated, "mean"),
        valid=(pl.col("completeness") >= COMPLETENESS) | certain,
    ).select(pl.col(name).cast(kind) for name, kind in DAILY_AVERAGES_BY_RULE.schema.items())


def _of_parameter(numbers: Mapping[str, float]) -> pl.Expr:
    return pl.col("parameter").replace_strict(dict(numbers), default=None, return_dtype=pl.Float64)
