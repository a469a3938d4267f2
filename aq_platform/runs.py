"""Runs that the command starts: in this process, recorded in the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import dagster as dg

from aq_assets.checks import NEWEST_HOUR
from aq_assets.freshness import allowed_silence
from aq_assets.partitions import partition_or_range
from aq_platform.instance import PROCESS_TAG
from aq_platform.processes import own_identity
from aq_resources.dagster_storage.run_health import beating
from aq_resources.io_managers import HOUR_KEY
from aq_resources.logs import logs_of_run
from aq_resources.network_settings import NetworkConfig
from aq_resources.run_failures import check_detail, step_failure_reason
from aq_resources.services import Services
from aq_science.stations import day_zone
from aq_science.windows import DAY, HOUR, Window, midnight

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunResult:
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
        services: Services,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        on_start: Callable[[str, str], None] = lambda network, step: None,
    ) -> None:
        self.services = services
        self.definitions = definitions
        self.instance = instance
        self.on_start = on_start

    def backfill(
        self, config: NetworkConfig, first: date, last: date, *, forecasts: bool = False
    ) -> Iterator[RunResult]:
        """Stations, raw pulls, hourly readings and daily averages of a range of days.

        Args:
            config: The network's entry in networks.yaml.
            first: First UTC day.
            last: Last UTC day, included.
            forecasts: Whether models and hindcasts of the same days are made too, and scored.

        Returns:
            The runs, each begun as its result is asked for. They stop at the first that fails,
            since the later ones build on it.
        """
        result = self._days(config, "refresh", first, last)
        yield result
        if not result.success:
            return
        # The local days of stations off UTC reach into the day before or after.
        edges = self._edges(config, first, last)
        for day, neighbour in edges:
            for job, where in (("readings", neighbour), ("daily", day)):
                result = self._days(config, job, where, where)
                yield result
                if not result.success:
                    return
        if forecasts:
            yield from self._hindcasts(config, first, last)
        else:
            yield self._publish(config)

    def _hindcasts(self, config: NetworkConfig, first: date, last: date) -> Iterator[RunResult]:
        result = self._days(config, "models", first, last)
        yield result
        if not result.success:
            return
        end = min(midnight(last) + DAY, self._hour() + HOUR)
        result = self._hours(config, midnight(first), end - HOUR)
        yield result
        if result.success:
            yield self._days(config, "scores", first, last)

    def refresh(self, config: NetworkConfig) -> Iterator[RunResult]:
        """What every hour brings: yesterday and today again, the forecast of this hour, scores."""
        hour = self._hour()
        today = hour.date()
        yesterday = max(today - DAY, config.start_date)
        result = self._days(config, "refresh", yesterday, today)
        yield result
        if not result.success:
            return
        for result in self._forecast_now(config, hour):
            yield result
        if not result.success:
            # Readings are worth having without forecasts too, which would have published them.
            yield self._publish(config)

    def _forecast_now(self, config: NetworkConfig, hour: datetime) -> Iterator[RunResult]:
        today = hour.date()
        models = self.services.files.day_files(config.name, "forecast_models")
        if not models.current(Window.of_days(today, today)):
            result = self._days(config, "models", today, today)
            yield result
            if not result.success:
                return
        result = self._hours(config, hour, hour)
        yield result
        if result.success:
            yield self._days(config, "scores", max(today - DAY, config.start_date), today)

    def _publish(self, config: NetworkConfig) -> RunResult:
        """What forecasts do as well; of a backfill without them it is left to do."""
        name = f"{config.name}_publish"
        self.on_start(config.name, "publish")
        return self._execute(config, self.definitions.resolve_job_def(name), name, None)

    def again(self, config: NetworkConfig, asset: str, span: tuple[str, str] | None) -> RunResult:
        """Make one asset of a network again.

        Args:
            config: The network's entry in networks.yaml.
            asset: Its name.
            span: First and last partition key; None for an asset without partitions.

        Returns:
            What the run did.
        """
        self.on_start(config.name, asset)
        job = self.definitions.resolve_implicit_global_asset_job_def()
        only = [dg.AssetKey([config.name, asset])]
        return self._execute(config, job, f"{config.name}/{asset}", span, only)

    def _hour(self) -> datetime:
        return self.services.now().replace(minute=0, second=0, microsecond=0)

    def _edges(self, config: NetworkConfig, first: date, last: date) -> list[tuple[date, date]]:
        """(day to average again, neighbouring day to pull) where local days need one."""
        zones = self.services.warehouse.read(
            f"SELECT DISTINCT timezone FROM {config.name}.stations"
        )["timezone"]
        offsets = [
            ZoneInfo(day_zone(zone)).utcoffset(midnight(day).replace(tzinfo=None)) or timedelta()
            for zone in zones
            for day in (first, last)
        ]
        edges = []
        if any(offset > timedelta() for offset in offsets) and first - DAY >= config.start_date:
            edges.append((first, first - DAY))
        if any(offset < timedelta() for offset in offsets) and last + DAY <= self._hour().date():
            edges.append((last, last + DAY))
        return edges

    def _days(self, config: NetworkConfig, job: str, first: date, last: date) -> RunResult:
        return self._run(config, job, first.isoformat(), last.isoformat())

    def _hours(self, config: NetworkConfig, first: datetime, last: datetime) -> RunResult:
        return self._run(config, "forecast", first.strftime(HOUR_KEY), last.strftime(HOUR_KEY))

    def _run(self, config: NetworkConfig, job: str, first: str, last: str) -> RunResult:
        name = f"{config.name}_{job}"
        self.on_start(config.name, job)
        return self._execute(config, self.definitions.resolve_job_def(name), name, (first, last))

    def _execute(
        self,
        config: NetworkConfig,
        job: dg.JobDefinition,
        name: str,
        span: tuple[str, str] | None,
        only: Sequence[dg.AssetKey] | None = None,
    ) -> RunResult:
        key, tags = partition_or_range(*span) if span else (None, {})
        tags |= {
            PROCESS_TAG: own_identity(self.services.settings.home),
            "network": config.name,
        }
        run_id = str(uuid4())
        about = {**tags, **({"dagster/partition": key} if key else {})}
        with beating(self.instance, run_id), logs_of_run(run_id, job.name, about):
            executed = job.execute_in_process(
                instance=self.instance,
                tags=tags,
                run_config=_QUIET,
                raise_on_error=False,
                partition_key=key,
                run_id=run_id,
                asset_selection=only,
            )
        # Old readings are what a range of days long past consists of.
        expected = (self.services.now() - allowed_silence(config)).date().isoformat()
        ignored = NEWEST_HOUR if span and span[1] < expected else None
        return _result(name, executed, ignored)


def _result(job: str, executed: dg.ExecuteInProcessResult, ignored_check: str | None) -> RunResult:
    result = RunResult(job, executed.run_id, executed.success)
    for event in executed.all_events:
        if event.is_step_failure:
            result.failures.append(step_failure_reason(event))
        elif event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            result.metadata[materialization.asset_key.path[-1]] = {
                key: value.value for key, value in materialization.metadata.items()
            }
    for check in executed.get_asset_check_evaluations():
        if not check.passed and check.check_name != ignored_check:
            where = "/".join(check.asset_key.path)
            detail = check.description or check_detail(check)
            result.warnings.append(f"{where}: check {check.check_name} failed. {detail}".strip())
    described = result.metadata.get("stations", {})
    if executed.success and described.get("not_described"):
        count, example = described["not_described"], described["failures"][0]
        result.warnings.append(f"stations: {count} could not be described. {example}")
    if not executed.success and not result.failures:
        result.failures.append("a blocking check failed")
    return result
