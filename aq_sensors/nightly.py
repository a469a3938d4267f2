"""What happens once a night: stations described again, forecasts scored, stores kept in order."""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg

from aq_assets.run_partitions import partition_or_range
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_science.windows import DAY
from aq_sensors.shell import Jobs, switched_on

# After the day's last hours have come in, and apart from each other.
SCORES_CRON = "10 2 * * *"
UPKEEP_CRON = "40 2 * * *"
# Late readings change the scores of the days before, and a night may be missed.
SCORED_DAYS = 3


def decide_scored_days(scheduled: datetime, start_date: date) -> tuple[date, date] | None:
    """First and last day to score at the scheduled time; None before there is any."""
    last = scheduled.date() - DAY
    first = max(last - (SCORED_DAYS - 1) * DAY, start_date)
    return (first, last) if first <= last else None


def build_nightly(platform: Platform, config: NetworkConfig, jobs: Jobs) -> dg.ScheduleDefinition:
    """Stations and scores of one network."""

    @dg.schedule(
        name=f"{config.name}_nightly",
        job=jobs[f"{config.name}_nightly"],
        cron_schedule=SCORES_CRON,
        execution_timezone="UTC",
        default_status=_switched_on(platform),
        description="Describes the stations again and scores the forecasts of the last days.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        scheduled = context.scheduled_execution_time
        days = decide_scored_days(scheduled, config.start_date)
        if days is None:
            return dg.SkipReason("There is no finished day yet.")
        first, last = (day.isoformat() for day in days)
        key, tags = partition_or_range(first, last)
        tags["network"] = config.name
        return dg.RunRequest(run_key=scheduled.isoformat(), partition_key=key, tags=tags)

    return nightly


def build_upkeep_schedule(platform: Platform, jobs: Jobs) -> dg.ScheduleDefinition:
    """Upkeep of what all networks share."""
    return dg.ScheduleDefinition(
        name="upkeep",
        job=jobs["upkeep"],
        cron_schedule=UPKEEP_CRON,
        execution_timezone="UTC",
        default_status=_switched_on(platform),
        description="Merges small files, and removes what is older than it has to be kept.",
    )


def _switched_on(platform: Platform) -> dg.DefaultScheduleStatus:
    on = switched_on(platform) == dg.DefaultSensorStatus.RUNNING
    return dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED
