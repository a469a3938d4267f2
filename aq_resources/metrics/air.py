"""Measurements of the data itself: how recent it is, what the tests say of it, how forecasts do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from prometheus_client.metrics_core import Metric

from aq_resources.metrics.collector import Measure, gauge
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, file_name
from aq_resources.stores.newest_hour import newest_hour
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.freshness import age_of_readings
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS

# Skill is that of the last days of issue; one day of few stations says little.
SKILL_DAYS = 7
# Rows of older days are not looked at: what is older than this has other alerts.
LOOK_BACK = timedelta(days=3)

# Rows of SQL with values bound.
Query = Callable[[str, Sequence[Any]], pl.DataFrame]


def freshness(services: Services) -> Measure:
    """How recent each network's readings are; remembers them, so that few files are read."""
    known: dict[str, datetime] = {}

    def measure() -> Iterator[Metric]:
        now = services.now()
        newest = gauge(
            "aq_newest_hour_timestamp_seconds",
            "Beginning of the newest hour with a reading, Unix time; 0 without any",
            ["network"],
        )
        age = gauge(
            "aq_freshness_seconds",
            "Age of the newest reading: time since the end of its hour; +Inf without any",
            ["network"],
        )
        allowed = gauge(
            "aq_freshness_allowed_seconds",
            "Age at which the network counts as silent (silent_after_hours of networks.yaml)",
            ["network"],
        )
        for name, config in services.networks.items():
            wait = timedelta(hours=config.silent_after_hours)
            found = _newest(services, name, known.get(name))
            if found is not None:
                known[name] = found
            newest.add_metric([name], found.timestamp() if found else 0.0)
            seconds = age_of_readings(found, now).total_seconds() if found else float("inf")
            age.add_metric([name], seconds)
            allowed.add_metric([name], wait.total_seconds())
        yield from (newest, age, allowed)

    return measure


def _newest(services: Services, network: str, known: datetime | None) -> datetime | None:
    table = HOURLY_READINGS
    root = f"{network}/{table.name}"
    files = DayFiles(services.object_store, root, file_name(table.name), table.schema)
    return newest_hour(files, files.days(known.date() if known else None)) or known


def forecasts_and_quality(services: Services, query: Query) -> Measure:
    """What the warehouse says of forecasts and of quality, by three bounded reads."""

    def measure() -> Iterator[Metric]:
        now = services.now()
        yield from _newest_forecasts(query, services.networks, now)
        yield from _skill(query, now)
        yield from _quality(query, now)

    return measure


def _newest_forecasts(query: Query, networks: Iterable[str], now: datetime) -> Iterator[Metric]:
    newest = gauge(
        "aq_newest_forecast_timestamp_seconds",
        f"Issue time of the newest forecast of {LOOK_BACK.days} days, Unix time; 0 without any",
        ["network"],
    )
    age = gauge("aq_forecast_age_seconds", "Time since that; +Inf without any", ["network"])
    rows = query(
        f"SELECT network, max(issued_for) FROM {UNION_SCHEMA}.{FORECASTS.name} "
        "WHERE issued_for >= ?::TIMESTAMPTZ AND value IS NOT NULL GROUP BY network",
        [now - LOOK_BACK],
    )
    found = dict(rows.iter_rows())
    for network in networks:
        issued = found.get(network)
        newest.add_metric([network], issued.timestamp() if issued else 0.0)
        seconds = max(0.0, (now - issued).total_seconds()) if issued else float("inf")
        age.add_metric([network], seconds)
    yield from (newest, age)


def _skill(query: Query, now: datetime) -> Iterator[Metric]:
    labels = ["network", "parameter", "horizon"]
    days = f"over {SKILL_DAYS} days of issue"
    skill = gauge(
        "aq_forecast_skill_ratio",
        f"1 - error / error of persistence, {days}; below 0 is worse",
        labels,
    )
    pairs = gauge("aq_forecast_scored", f"Forecasts that have met their reading, {days}", labels)
    coverage = gauge(
        "aq_forecast_coverage_ratio",
        f"Share of readings within the interval, {days}",
        [*labels, "interval"],
    )
    # The errors that a row's skill compares are over the hours that have persistence.
    rows = query(
        "SELECT network, parameter, horizon::VARCHAR, sum(n)::DOUBLE, "
        "1 - sum((1 - skill) * mae_persistence * coalesce(n_persistence, n)) "
        "/ nullif(sum(mae_persistence * coalesce(n_persistence, n)) "
        "FILTER (skill IS NOT NULL), 0), "
        "sum(coverage_80 * n) / sum(n), sum(coverage_95 * n) / sum(n) "
        f"FROM {UNION_SCHEMA}.{FORECAST_SCORES.name} WHERE date >= ?::DATE GROUP BY ALL",
        [(now - timedelta(days=SKILL_DAYS)).date()],
    )
    for network, parameter, horizon, count, ratio, within_80, within_95 in rows.iter_rows():
        series = [network, parameter, horizon]
        pairs.add_metric(series, count)
        coverage.add_metric([*series, "80"], within_80)
        coverage.add_metric([*series, "95"], within_95)
        if ratio is not None:
            skill.add_metric(series, ratio)
    yield from (skill, pairs, coverage)


def _quality(query: Query, now: datetime) -> Iterator[Metric]:
    """Of the newest finished day that has been judged."""
    flags = gauge(
        "aq_quality_hours",
        "Hours of the newest finished day by quality flag, over stations and parameters",
        ["network", "flag"],
    )
    tests = gauge(
        "aq_quality_test_hours", "Of these, hours on which the test fired", ["network", "test"]
    )
    newest = (
        f"FROM {UNION_SCHEMA}.{DATA_QUALITY.name} WHERE date >= ?::DATE AND date < ?::DATE "
        "QUALIFY date = max(date) OVER (PARTITION BY network)"
    )
    bounds = [(now - LOOK_BACK).date(), now.date()]
    names = ("valid", "suspect", "invalid", "missing")
    sums = ", ".join(f"sum(hours_{name})::DOUBLE" for name in names)
    for network, *hours in query(
        f"SELECT network, {sums} FROM (SELECT * {newest}) GROUP BY network", bounds
    ).iter_rows():
        for name, value in zip(names, hours, strict=True):
            flags.add_metric([network, name], value)
    for network, test, value in query(
        "SELECT network, one.test, sum(one.hours)::DOUBLE FROM "
        f"(SELECT network, unnest(tests) AS one FROM (SELECT * {newest})) GROUP BY ALL",
        bounds,
    ).iter_rows():
        tests.add_metric([network, test], value)
    yield from (flags, tests)
