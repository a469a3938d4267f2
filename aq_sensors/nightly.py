"""What happens once a night: stations described again, forecasts scored, stores kept in order."""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg

from aq_assets.partitions import partition_or_range
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.windows import DAY
from aq_sensors.requests import Jobs
from aq_sensors.switches import schedule_status

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


def build_nightly(services: Services, config: NetworkConfig, jobs: Jobs) -> dg.ScheduleDefinition:
    """The schedule of one network: stations and scores.

    Args:
        services: Settings.
        config: The network's entry in networks.yaml.
        jobs: The jobs of all networks, by name.

    Returns:
        The schedule `<network>_nightly`.
    """

    @dg.schedule(
        name=f"{config.name}_nightly",
        job=jobs[f"{config.name}_nightly"],
        cron_schedule=SCORES_CRON,
        execution_timezone="UTC",
        default_status=schedule_status(services),
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


def build_upkeep_schedule(services: Services, jobs: Jobs) -> dg.ScheduleDefinition:
    """Upkeep of what all networks share."""
    return dg.ScheduleDefinition(
        name="upkeep",
        job=jobs["upkeep"],
        cron_schedule=UPKEEP_CRON,
        execution_timezone="UTC",
        default_status=schedule_status(services),
        description="Merges small files, and removes what is older than it has to be kept.",
    )
