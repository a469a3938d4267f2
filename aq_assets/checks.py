"""Checks on what was stored: the tables' own rules, and what no row can tell alone.

Rules of hourly readings are blocking: nothing builds on rows that break them.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import dagster as dg
import polars as pl

from aq_assets.declare import asset_check, multi_asset_check
from aq_assets.forecast_drift import build_drift_check
from aq_assets.freshness import allowed_silence
from aq_assets.hourly_readings import ANSWERS_SET_ASIDE
from aq_assets.metadata import percent, table_metadata
from aq_assets.partitions import partition_window
from aq_assets.stations import STATION_PROBLEMS, TO_FIX
from aq_resources.network_client import SET_ASIDE
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_is_pushed
from aq_resources.services import Services
from aq_resources.stores.newest_hour import newest_hour
from aq_science.freshness import age_of_readings, is_recent
from aq_science.tables.core import Table, broken_rows
from aq_science.tables.daily_averages import COMPLETENESS
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.registry import OF_THE_CHAIN, WAREHOUSE_TABLES
from aq_science.tables.window_averages import WINDOW_AVERAGES
from aq_science.windows import HOUR, Window

# The one check on the present, not on the run's days.
NEWEST_HOUR = "newest_hour_is_recent"
DECLARED_SCHEMA = "declared_schema"
_EXAMPLES = 20


def build_checks(config: NetworkConfig) -> list[dg.AssetChecksDefinition]:
    """Every check of a network's chain."""
    tables: tuple[Table, ...] = (HOURLY_READINGS, FORECAST_MODELS, *OF_THE_CHAIN)
    if network_is_pushed(config.name):
        tables += (WINDOW_AVERAGES,)
    return [
        _station_check(config),
        _raw_pull_checks(config),
        _answer_check(config),
        _recency_check(config),
        _valid_days_check(config),
        build_drift_check(config),
        *(_rule_checks(config, table) for table in tables),
    ]


def _station_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "stations"])

    @asset_check(
        asset=key,
        name="plausible_positions",
        description=(
            "No station's position is zero, swapped, out of range or far from its country, and "
            "every time zone is known. `override` is the line to complete and paste below "
            f"`networks.{config.name}.overrides` in networks.yaml."
        ),
    )
    def plausible_positions(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        metadata = _newest_metadata(context, key, STATION_PROBLEMS, TO_FIX)
        count = metadata.get(STATION_PROBLEMS)
        return dg.AssetCheckResult(
            passed=count is None or count.value == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return plausible_positions


def _newest_metadata(
    context: dg.AssetCheckExecutionContext, key: dg.AssetKey, *names: str
) -> dict[str, dg.MetadataValue[Any]]:
    """Entries of the newest materialization's metadata, as far as they are there."""
    event = context.instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    metadata = materialization.metadata if materialization else {}
    return {name: metadata[name] for name in names if name in metadata}


def _raw_pull_checks(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "raw_pulls"])

    @asset_check(
        asset=key,
        name="every_station_answered",
        description=(
            "Every request of the newest pull was answered well, and every answer brings what was "
            "asked for: no error in place of readings, no other station's, no other days'."
        ),
    )
    def every_station_answered(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        metadata = _newest_metadata(context, key, "failed_subjects", "failures")
        failed = metadata.get("failed_subjects")
        return dg.AssetCheckResult(
            passed=failed is None or failed.value == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return every_station_answered


def _answer_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "hourly_readings"])

    @asset_check(
        asset=key,
        name="every_answer_read",
        description=(
            "No stored answer made its parser fail. One that did is set aside, kept and named "
            "below, and costs no other station a reading: fix the parser and materialize the days "
            "again."
        ),
    )
    def every_answer_read(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        metadata = _newest_metadata(context, key, ANSWERS_SET_ASIDE, SET_ASIDE)
        count = metadata.get(ANSWERS_SET_ASIDE)
        return dg.AssetCheckResult(
            passed=count is None or count.value == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return every_answer_read


def _recency_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "hourly_readings"])
    allowed = allowed_silence(config)

    @asset_check(
        asset=key,
        name=NEWEST_HOUR,
        description=(
            "The newest expected day is there and its newest hour with a reading ended at most "
            f"{config.silent_after_hours} h ago. Looks at the newest day, whatever the run's days."
        ),
    )
    def newest_hour_is_recent(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
        now = services.now()
        files = services.files.day_files(config.name, "hourly_readings")
        days = files.days()
        newest = newest_hour(files, days)
        metadata: dict[str, Any] = {
            "expected_day": (now - allowed).date().isoformat(),
            "newest_day": days[-1].isoformat() if days else "none",
            "newest_hour": f"{newest:%Y-%m-%d %H:%M}Z" if newest else "none",
        }
        if newest is not None:
            metadata["hours_old"] = round(age_of_readings(newest, now) / HOUR, 1)
        return dg.AssetCheckResult(
            passed=is_recent(newest, now, allowed),
            # Old readings are no worse than none: whatever builds on them may go on.
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    return newest_hour_is_recent


def _rule_checks(config: NetworkConfig, table: Table) -> dg.AssetChecksDefinition:
    """One check for each rule of the table; of one that lies in files, for their schema too."""
    key = dg.AssetKey([config.name, table.name])
    specs = [
        dg.AssetCheckSpec(rule.name, asset=key, blocking=rule.blocking, description=rule.text)
        for rule in table.rules
    ]
    if table.name not in WAREHOUSE_TABLES:
        text = "Columns and types are the declared ones."
        blocking = any(rule.blocking for rule in table.rules)
        specs.insert(
            0, dg.AssetCheckSpec(DECLARED_SCHEMA, asset=key, blocking=blocking, description=text)
        )

    @multi_asset_check(name=f"{config.name}_{table.name}_checks", specs=specs)
    def rule_checks(
        context: dg.AssetCheckExecutionContext, services: dg.ResourceParam[Services]
    ) -> Iterator[dg.AssetCheckResult]:
        tally = RuleTally(table)
        if table.window is None:
            # Replaced whole, and looked at whole.
            columns = table.read_by_rules
            tally.add(services.warehouse.rows(config.name, table, columns=columns))
        else:
            stored = _stored(services, config.name, table)
            window = partition_window(context.run.tags) or stored.latest()
            for part in window.chunks(services.chunk) if window else ():
                tally.add(stored.rows(part))
        for spec in specs:
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=spec.name,
                passed=not tally.bad[spec.name],
                metadata=tally.metadata(spec.name),
            )

    return rule_checks


class RuleTally:
    """Rows that break each rule of a table: how many, and the first of them."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = 0
        self.bad = dict.fromkeys([DECLARED_SCHEMA, *(rule.name for rule in table.rules)], 0)
        self._examples: dict[str, pl.DataFrame] = {}

    def add(self, rows: pl.DataFrame | pl.Schema) -> None:
        """Take whole partitions into account; a schema stands for rows that do not have it."""
        if isinstance(rows, pl.Schema):
            self._note(DECLARED_SCHEMA, pl.DataFrame({"found": [str(dict(rows))]}))
            return
        self.rows += len(rows)
        for name, broken in broken_rows(self.table, rows).items():
            self._note(name, broken)

    def metadata(self, name: str) -> dict[str, Any]:
        """What to show beside the result of a rule."""
        shown: dict[str, Any] = {"rows": self.rows, "bad_rows": self.bad[name]}
        if name in self._examples:
            shown["examples"] = table_metadata(self._examples[name])
        return shown

    def _note(self, name: str, broken: pl.DataFrame) -> None:
        self.bad[name] += len(broken)
        if len(broken) and name not in self._examples:
            self._examples[name] = broken.drop("network", strict=False).head(_EXAMPLES)


class _Stored(Protocol):
    """Where a table's rows lie."""

    def rows(self, window: Window) -> pl.DataFrame | pl.Schema:
        """What the rules look at, of whole partitions; the schema of files with another one."""

    def latest(self) -> Window | None:
        """What is looked at where a run has no partitions."""


def _stored(services: Services, network: str, table: Table) -> _Stored:
    kind = _InWarehouse if table.name in WAREHOUSE_TABLES else _InFiles
    return kind(services, network, table)


class _InFiles:
    def __init__(self, services: Services, network: str, table: Table) -> None:
        self.table = table
        self.files = services.files.day_files(network, table.name)

    def rows(self, window: Window) -> pl.DataFrame | pl.Schema:
        scan = self.files.scan(window)
        found = scan.collect_schema()
        return (
            scan.select(self.table.read_by_rules).collect() if found == self.table.schema else found
        )

    def latest(self) -> Window | None:
        days = self.files.days()
        return Window.of_days(days[-1], days[-1]) if days else None


class _InWarehouse:
    def __init__(self, services: Services, network: str, table: Table) -> None:
        self.services, self.network, self.table = services, network, table

    def rows(self, window: Window) -> pl.DataFrame:
        bounds = self.table.bounds(window)
        columns = self.table.read_by_rules
        return self.services.warehouse.rows(self.network, self.table, bounds, columns)

    def latest(self) -> Window | None:
        column = self.table.window
        first, last = self.services.warehouse.read(
            f"SELECT min({column}), max({column}) FROM {self.network}.{self.table.name}"
        ).row(0)
        if first is None:
            return None
        days = [one.date() if isinstance(one, datetime) else one for one in (first, last)]
        return Window.of_days(*days)


def _valid_days_check(config: NetworkConfig) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([config.name, "daily_averages"])

    @asset_check(
        asset=key,
        name="enough_valid_days",
        description="At least three quarters of the past station-days meet the 75 % rule.",
    )
    def enough_valid_days(
        context: dg.AssetCheckExecutionContext, services: dg.ResourceParam[Services]
    ) -> dg.AssetCheckResult:
        window = partition_window(context.run.tags)
        where, bounds = "true", []
        if window is not None:
            where, bounds = "date >= ? AND date < ?", [window.start.date(), window.end.date()]
        # The day in progress cannot be complete yet.
        today = services.now().date()
        counted = services.warehouse.read(
            "SELECT count(*)::BIGINT AS days, count_if(valid)::BIGINT AS valid_days "
            f"FROM {config.name}.daily_averages WHERE date < ? AND {where}",
            [today, *bounds],
        ).row(0, named=True)
        share = percent(counted["valid_days"], counted["days"])
        return dg.AssetCheckResult(
            passed=counted["days"] == 0 or counted["valid_days"] >= COMPLETENESS * counted["days"],
            severity=dg.AssetCheckSeverity.WARN,
            metadata={**counted, "valid_percent": share},
        )

    return enough_valid_days
