"""Runs that the command starts: in this process, recorded in the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from aq_assets.checks import NEWEST_HOUR
from aq_assets.freshness import allowed_silence
from aq_assets.run_partitions import partition_or_range
from aq_platform.instance import PROCESS_TAG, process_tag
from aq_resources.failures import check_detail, step_failure_reason
from aq_resources.io_managers import HOUR_KEY
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_science.windows import DAY, HOUR, midnight

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Outcome:
    """What a run did: counts by asset, what failed, and what is worth a warning."""

    job: str
    run_id: str
    success: bool
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def incomplete(self) -> bool:
        """Whether the run went through although some station could not be pulled or described."""
        return any(
            self.metadata.get(asset, {}).get(count)
            for asset, count in (("raw_pulls", "failed_subjects"), ("stations", "not_described"))
        )


class Runner:
    """Starts jobs over ranges of partitions, one after another."""

    def __init__(
        self,
        platform: Platform,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        on_start: Callable[[str, str], None] = lambda network, step: None,
    ) -> None:
        self.platform = platform
        self.definitions = definitions
        self.instance = instance
        self.on_start = on_start

    def backfill(
        self, config: NetworkConfig, first: date, last: date, *, forecasts: bool = False
    ) -> Iterator[Outcome]:
        """Stations, raw pulls, hourly readings and daily averages of ``first`` to ``last``.

        Both days are included. With ``forecasts``, models and hindcasts of the same days too.
        Stops at the first run that fails, since the later ones build on it.
        """
        outcome = self._days(config, "refresh", first, last)
        yield outcome
        if not outcome.success:
            return
        # The local days of stations off UTC reach into the day before or after.
        edges = self._edges(config, first, last)
        for day, neighbour in edges:
            for job, where in (("readings", neighbour), ("daily", day)):
                outcome = self._days(config, job, where, where)
                yield outcome
                if not outcome.success:
                    return
        if forecasts:
            outcome = self._days(config, "models", first, last)
            yield outcome
            if outcome.success:
                end = min(midnight(last) + DAY, self._hour() + HOUR)
                yield self._hours(config, midnight(first), end - HOUR)

    def refresh(self, config: NetworkConfig) -> Iterator[Outcome]:
        """What every hour brings: yesterday and today again, and the forecast of this hour."""
        hour = self._hour()
        today = hour.date()
        outcome = self._days(config, "refresh", max(today - DAY, config.start_date), today)
        yield outcome
        if not outcome.success:
            return
        models = self.platform.files.day_files(config.name, "forecast_models")
        if today not in models.days():
            outcome = self._days(config, "models", today, today)
            yield outcome
            if not outcome.success:
                return
        yield self._hours(config, hour, hour)

    def _hour(self) -> datetime:
        return self.platform.now().replace(minute=0, second=0, microsecond=0)

    def _edges(self, config: NetworkConfig, first: date, last: date) -> list[tuple[date, date]]:
        """(day to average again, neighbouring day to pull) where local days need one."""
        zones = self.platform.warehouse.read(
            f"SELECT DISTINCT timezone FROM {config.name}.stations"
        )["timezone"]
        offsets = [
            ZoneInfo(zone).utcoffset(midnight(day).replace(tzinfo=None)) or timedelta()
            for zone in zones
            for day in (first, last)
        ]
        edges = []
        if any(offset > timedelta() for offset in offsets) and first - DAY >= config.start_date:
            edges.append((first, first - DAY))
        if any(offset < timedelta() for offset in offsets) and last + DAY <= self._hour().date():
            edges.append((last, last + DAY))
        return edges

    def _days(self, config: NetworkConfig, job: str, first: date, last: date) -> Outcome:
        return self._run(config, job, first.isoformat(), last.isoformat())

    def _hours(self, config: NetworkConfig, first: datetime, last: datetime) -> Outcome:
        return self._run(config, "forecast", first.strftime(HOUR_KEY), last.strftime(HOUR_KEY))

    def _run(self, config: NetworkConfig, job: str, first: str, last: str) -> Outcome:
        name = f"{config.name}_{job}"
        self.on_start(config.name, job)
        key, tags = partition_or_range(first, last)
        tags |= {PROCESS_TAG: process_tag(), "network": config.name}
        result = self.definitions.resolve_job_def(name).execute_in_process(
            instance=self.instance,
            tags=tags,
            run_config=_QUIET,
            raise_on_error=False,
            partition_key=key,
        )
        # That the newest readings are old is no news to who loads days long past.
        expected = (self.platform.now() - allowed_silence(config)).date().isoformat()
        ignored = NEWEST_HOUR if last < expected else None
        return _outcome(name, result, ignored)


def _outcome(job: str, result: dg.ExecuteInProcessResult, ignored_check: str | None) -> Outcome:
    outcome = Outcome(job, result.run_id, result.success)
    for event in result.all_events:
        if event.is_step_failure:
            outcome.failures.append(step_failure_reason(event))
        elif event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            outcome.metadata[materialization.asset_key.path[-1]] = {
                key: value.value for key, value in materialization.metadata.items()
            }
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.check_name != ignored_check:
            where = "/".join(check.asset_key.path)
            detail = check_detail(check)
            outcome.warnings.append(f"{where}: check {check.check_name} failed. {detail}".strip())
    described = outcome.metadata.get("stations", {})
    if result.success and described.get("not_described"):
        count, example = described["not_described"], described["failures"][0]
        outcome.warnings.append(f"stations: {count} could not be described. {example}")
    if not result.success and not outcome.failures:
        outcome.failures.append("a blocking check failed")
    return outcome
