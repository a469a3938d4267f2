"""What happens once a night: stations described again, forecasts scored, stores kept in order."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import dagster as dg

from aq_assets.partitions import partition_or_range
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.windows import DAY
from aq_sensors.late_data import reach
from aq_sensors.requests import Jobs
from aq_sensors.switches import schedule_status

# After the day's last hours have come in, and apart from each other.
SCORES_CRON = "10 2 * * *"
REVISIONS_CRON = "25 2 * * *"
UPKEEP_CRON = "40 2 * * *"
# Late readings change the scores of the days before, and a night may be missed.
SCORED_DAYS = 3


def decide_last_days(
    scheduled: datetime, start_date: date, count: int = SCORED_DAYS
) -> tuple[date, date] | None:
    """The last days that are over at the scheduled time.

    Args:
        scheduled: The time, UTC.
        start_date: Before it there is no day.
        count: How many days.

    Returns:
        First and last day, both included; None before there is any.
    """
    last = scheduled.date() - DAY
    first = max(last - (count - 1) * DAY, start_date)
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
    return _over_last_days(
        services,
        config,
        jobs[f"{config.name}_nightly"],
        SCORES_CRON,
        SCORED_DAYS,
        "Describes the stations again and scores the forecasts of the last days.",
    )


def build_revisions_schedule(
    services: Services, config: NetworkConfig, jobs: Jobs
) -> dg.ScheduleDefinition:
    """The schedule of one network for what late, changed and missing values have an effect on.

    Args:
        services: Settings, which say how late days are pulled again.
        config: The network's entry in networks.yaml.
        jobs: The jobs of all networks, by name.

    Returns:
        The schedule `<network>_revisions`.
    """
    # As far back as a day is pulled again by itself: only then a change of it can be seen.
    days = reach(services.settings.revisit_days)
    return _over_last_days(
        services,
        config,
        jobs[f"{config.name}_revisions"],
        REVISIONS_CRON,
        days,
        f"Lists what the network changed of the last {days} days, and why hours are missing.",
    )


def _over_last_days(
    services: Services, config: NetworkConfig, job: Any, cron: str, count: int, text: str
) -> dg.ScheduleDefinition:
    """A schedule, named like its job, that asks for one run over the last days."""

    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=schedule_status(services),
        description=text,
    )
    def over_last_days(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        scheduled = context.scheduled_execution_time
        days = decide_last_days(scheduled, config.start_date, count)
        if days is None:
            return dg.SkipReason("There is no finished day yet.")
        first, last = (day.isoformat() for day in days)
        key, tags = partition_or_range(first, last)
        tags["network"] = config.name
        return dg.RunRequest(run_key=scheduled.isoformat(), partition_key=key, tags=tags)

    return over_last_days


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
