"""What the arguments of the `aq` command mean, and one line where they are wrong."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services


def parse_days(start: str, end: str) -> tuple[date, date]:
    """The first and the last day that `--start` and `--end` name.

    Raises:
        SettingsError: one is not written as YYYY-MM-DD, or there is no day between them.
    """
    first, last = _day(start, "--start"), _day(end, "--end")
    if last < first:
        raise SettingsError(f"--end {last} lies before --start {first}.")
    return first, last


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no day: write YYYY-MM-DD.") from None


def parse_time(text: str, option: str) -> datetime:
    """The time with a zone that an option names.

    Raises:
        SettingsError: it is not in ISO 8601, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no ISO 8601 time.") from None
    if moment.tzinfo is None:
        raise SettingsError(f"{option} {text!r} needs a zone: end it with Z.")
    return moment


def choose_networks(services: Services, names: list[str] | None) -> list[NetworkConfig]:
    """The entries of the networks named, of all enabled ones without a name.

    One whose entry is invalid is left out: it is reported elsewhere.

    Raises:
        SettingsError: a name is not that of an enabled network.
    """
    if not names:
        return list(services.networks.values())
    for name in names:
        if name not in services.networks and name not in services.invalid_networks:
            raise SettingsError(
                f"No enabled network {name!r}; networks.yaml enables: "
                f"{', '.join(services.networks) or 'none'}."
            )
    return [services.networks[name] for name in names if name in services.networks]


def check_days(first: date, last: date, today: date, networks: Iterable[NetworkConfig]) -> None:
    """Refuse a range of days that no backfill can load.

    Args:
        first: First day, UTC.
        last: Last day, included.
        today: The UTC day in progress.
        networks: The entries of the networks to load.

    Raises:
        SettingsError: the range ends in the future, or begins before a network does.
    """
    if last > today:
        raise SettingsError(f"--end {last} lies in the future; today is {today} (UTC).")
    for config in networks:
        if first < config.start_date:
            raise SettingsError(
                f"--start {first} lies before networks.{config.name}.start_date "
                f"({config.start_date}): choose a later day, or move start_date."
            )
