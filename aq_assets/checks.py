"""Checks on what was stored. Those on hourly readings are blocking: nothing builds on bad rows."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.common import PLATFORM, table_metadata
from aq_assets.freshness import allowed_silence, newest_hour
from aq_assets.run_partitions import partition_window
from aq_assets.stations import STATION_PROBLEMS, TO_MEND
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_resources.tables import FORECASTS, HOURLY_READINGS
from aq_science.freshness import age_of_readings, is_recent
from aq_science.parameters import PARAMETERS
from aq_science.readings import SERIES
from aq_science.windows import HOUR, Window

# The one check on the present, not on the run's days.
NEWEST_HOUR = "newest_hour_is_recent"


def build_checks(config: NetworkConfig) -> list[dg.AssetChecksDefinition]:
    """Every check of a network's chain."""
    return [
        _station_check(config),
        _raw_pull_checks(config),
        _hourly_checks(config),
        _recency_check(config),
        _daily_checks(config),
        _forecast_checks(config),
        _score_checks(config),
    ]


def _station_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "stations"])

    @dg.asset_check(
        asset=key,
        name="plausible_positions",
        description=(
            "No station's position is zero, swapped, out of range or far from its country, and "
            "every time zone is known. `override` is the line to complete and paste below "
            f"`networks.{config.name}.overrides` in networks.yaml."
        ),
    )
    def plausible_positions(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        metadata = _told(context, key, STATION_PROBLEMS, TO_MEND)
        count = metadata.get(STATION_PROBLEMS)
        return dg.AssetCheckResult(
            passed=count is None or count.value == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return plausible_positions


def _told(
    context: dg.AssetCheckExecutionContext, key: dg.AssetKey, *names: str
) -> dict[str, dg.MetadataValue[Any]]:
    """Entries of the newest materialization's metadata, as far as they are there."""
    event = context.instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    metadata = materialization.metadata if materialization else {}
    return {name: metadata[name] for name in names if name in metadata}


def _raw_pull_checks(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "raw_pulls"])

    @dg.asset_check(
        asset=key,
        name="every_station_answered",
        description="Every request of the newest pull was answered well.",
    )
    def every_station_answered(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        metadata = _told(context, key, "failed_subjects", "failures")
        failed = metadata.get("failed_subjects")
        return dg.AssetCheckResult(
            passed=failed is None or failed.value == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return every_station_answered


def _hourly_checks(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "hourly_readings"])
    descriptions = {
        "declared_schema": "Columns and types are the declared ones.",
        "unique_hours": "One row a station, parameter and hour, on the hour, in its own day.",
        "plausible_ranges": "No value flagged valid lies outside the physical range.",
        "canonical_unit": "Every row carries its parameter's canonical unit.",
    }

    @dg.multi_asset_check(
        name=f"{config.name}_hourly_readings_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=key, blocking=True, description=text)
            for name, text in descriptions.items()
        ],
        required_resource_keys={PLATFORM},
    )
    def hourly_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        platform: Platform = getattr(context.resources, PLATFORM)
        files = platform.files.day_files(config.name, "hourly_readings")
        window = partition_window(context.run.tags) or _last_day(files.days())
        found: dict[str, list[pl.DataFrame]] = {name: [] for name in descriptions}
        rows = 0
        for part in window.chunks(platform.chunk) if window else ():
            scan = files.scan(part)
            schema = scan.collect_schema()
            if schema != HOURLY_READINGS.schema:
                found["declared_schema"].append(pl.DataFrame({"found": [str(dict(schema))]}))
                continue
            frame = scan.select(*HOURLY_READINGS.key, "value", "unit", "flag").collect()
            rows += len(frame)
            for name, bad in bad_readings(frame).items():
                found[name].append(bad)
        for name, parts in found.items():
            bad = pl.concat(parts) if parts else pl.DataFrame()
            metadata: dict[str, Any] = {"rows": rows, "bad_rows": len(bad)}
            if len(bad):
                metadata["examples"] = table_metadata(bad)
            yield dg.AssetCheckResult(
                asset_key=key, check_name=name, passed=bad.is_empty(), metadata=metadata
            )

    return hourly_checks


def _recency_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "hourly_readings"])
    allowed = allowed_silence(config)

    @dg.asset_check(
        asset=key,
        name=NEWEST_HOUR,
        description=(
            "The newest expected day is there and its newest hour with a reading ended at most "
            f"{config.silent_after_hours} h ago. Looks at the newest day, whatever the run's days."
        ),
        required_resource_keys={PLATFORM},
    )
    def newest_hour_is_recent(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        platform: Platform = getattr(context.resources, PLATFORM)
        now = platform.now()
        files = platform.files.day_files(config.name, "hourly_readings")
        days = files.days()
        newest = newest_hour(files, days)
        metadata: dict[str, Any] = {
            "expected_day": (now - allowed).date().isoformat(),
            "newest_day": days[-1].isoformat() if days else "none",
            "newest_hour": f"{newest:%Y-%m-%d %H:%M}Z" if newest else "none",
        }
        if newest is not None:
            metadata["hours_old"] = age_of_readings(newest, now) / HOUR
        return dg.AssetCheckResult(
            passed=is_recent(newest, now, allowed),
            # Old readings are no worse than none: whatever builds on them may go on.
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return newest_hour_is_recent


def bad_readings(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Rows that break each rule, by the check's name."""
    lower = {name: float(p.fail[0]) for name, p in PARAMETERS.items()}
    upper = {name: float(p.fail[1]) for name, p in PARAMETERS.items()}
    units = {name: p.unit for name, p in PARAMETERS.items()}
    parameter = pl.col("parameter")
    hour = pl.col("hour")
    # The key as one integer, since a struct takes five times as long.
    number = SERIES * (1 << 24) + hour.dt.epoch("s") // 3600
    return {
        "unique_hours": frame.filter(number.is_duplicated() | (hour != hour.dt.truncate("1h"))),
        "plausible_ranges": frame.filter(
            (pl.col("flag") == "valid")
            & (
                pl.col("value").is_null()
                | (pl.col("value") < parameter.replace_strict(lower, return_dtype=pl.Float64))
                | (pl.col("value") > parameter.replace_strict(upper, return_dtype=pl.Float64))
            )
        ),
        "canonical_unit": frame.filter(
            pl.col("unit").cast(pl.String)
            != parameter.replace_strict(units, return_dtype=pl.String)
        ),
    }


def _daily_checks(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "daily_averages"])

    @dg.multi_asset_check(
        name=f"{config.name}_daily_averages_checks",
        specs=[
            dg.AssetCheckSpec(
                "consistent_completeness",
                asset=key,
                description="0 <= valid <= present <= expected hours; `valid` follows the rule.",
            ),
            dg.AssetCheckSpec(
                "enough_valid_days",
                asset=key,
                description="At least three quarters of the past station-days meet the 75 % rule.",
            ),
        ],
        required_resource_keys={PLATFORM},
    )
    def daily_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        platform: Platform = getattr(context.resources, PLATFORM)
        where, bounds = _where(partition_window(context.run.tags), "date")
        # The day in progress cannot be complete yet.
        today = platform.now().date()
        counted = platform.warehouse.read(
            f"""SELECT count_if(date < ?)::BIGINT AS days,
                count_if(valid AND date < ?)::BIGINT AS valid_days, count_if(
                    hours_valid < 0 OR hours_valid > hours_present OR
                    hours_present > hours_expected OR hours_expected NOT IN (23, 24, 25) OR
                    valid IS DISTINCT FROM (hours_valid >= 0.75 * hours_expected))::BIGINT AS bad
                FROM {config.name}.daily_averages WHERE {where}""",
            [today, today, *bounds],
        ).row(0, named=True)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="consistent_completeness",
            passed=counted["bad"] == 0,
            metadata=counted,
        )
        fraction = counted["valid_days"] / counted["days"] if counted["days"] else 0.0
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="enough_valid_days",
            passed=counted["days"] == 0 or fraction >= 0.75,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={**counted, "valid_fraction": fraction},
        )

    return daily_checks


def _forecast_checks(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "forecasts"])
    rules = {
        "finite": (
            "Every value is finite; only a network without any valid reading has none.",
            "NOT coalesce(isfinite(value), model = 'no_valid_readings')",
        ),
        "ordered_intervals": (
            "lower_95 <= lower_80 <= value <= upper_80 <= upper_95.",
            (
                "NOT coalesce(lower_95 <= lower_80 AND lower_80 <= value AND value <= upper_80 "
                "AND upper_80 <= upper_95, true)"
            ),
        ),
    }

    @dg.multi_asset_check(
        name=f"{config.name}_forecasts_checks",
        specs=[
            *(dg.AssetCheckSpec(n, asset=key, description=text) for n, (text, _) in rules.items()),
            dg.AssetCheckSpec(
                "both_horizons",
                asset=key,
                description="Every series has its rows for H and H+1.",
            ),
        ],
        required_resource_keys={PLATFORM},
    )
    def forecast_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        platform: Platform = getattr(context.resources, PLATFORM)
        where, bounds = _where(partition_window(context.run.tags), "issued_for")
        table = f"{config.name}.forecasts"
        for name, (_, broken) in rules.items():
            bad = platform.warehouse.read(
                f"SELECT * EXCLUDE (network) FROM {table} WHERE {where} AND ({broken}) LIMIT 20",
                bounds,
            )
            yield _result(key, name, bad)
        series = ", ".join(column for column in FORECASTS.key if column != "horizon")
        lonely = platform.warehouse.read(
            f"SELECT {series}, list(horizon)::VARCHAR AS horizons FROM {table} WHERE {where} "
            f"GROUP BY ALL HAVING list_sort(list(horizon)) <> [1, 2] LIMIT 20",
            bounds,
        )
        yield _result(key, "both_horizons", lonely)

    return forecast_checks


def _score_checks(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "forecast_scores"])
    # Rounding may put equal errors the other way round.
    rules = {
        "consistent_errors": (
            "n >= 1 and rmse >= mae >= |bias|; skill is at most 1.",
            (
                "NOT coalesce(n >= 1 AND mae >= 0 AND rmse >= mae * (1 - 1e-9) AND "
                "mae >= abs(bias) * (1 - 1e-9), false) OR mae_persistence < 0 OR skill > 1"
            ),
        ),
        "consistent_coverage": (
            "0 <= coverage_80 <= coverage_95 <= 1.",
            (
                "NOT coalesce(0 <= coverage_80 AND coverage_80 <= coverage_95 AND "
                "coverage_95 <= 1, false)"
            ),
        ),
    }

    @dg.multi_asset_check(
        name=f"{config.name}_forecast_scores_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=text)
            for name, (text, _) in rules.items()
        ],
        required_resource_keys={PLATFORM},
    )
    def score_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        platform: Platform = getattr(context.resources, PLATFORM)
        where, bounds = _where(partition_window(context.run.tags), "date")
        for name, (_, broken) in rules.items():
            bad = platform.warehouse.read(
                f"SELECT * EXCLUDE (network) FROM {config.name}.forecast_scores "
                f"WHERE {where} AND ({broken}) LIMIT 20",
                bounds,
            )
            yield _result(key, name, bad)

    return score_checks


def _result(key: dg.AssetKey, name: str, bad: pl.DataFrame) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"bad_rows": len(bad)}
    if len(bad):
        metadata["examples"] = table_metadata(bad)
    return dg.AssetCheckResult(
        asset_key=key, check_name=name, passed=bad.is_empty(), metadata=metadata
    )


def _where(window: Window | None, column: str) -> tuple[str, list[date | datetime]]:
    if window is None:
        return "true", []
    if column == "date":
        return "date >= ? AND date < ?", [window.start.date(), window.end.date()]
    return f"{column} >= ? AND {column} < ?", [window.start, window.end]


def _last_day(days: list[date]) -> Window | None:
    return Window.of_days(days[-1], days[-1]) if days else None
