"""What the arguments of the `aq` command mean, and one line where they are wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from aq_resources.failures import SettingsError

if TYPE_CHECKING:
    from aq_resources.network_settings import NetworkConfig
    from aq_resources.services import Services


@dataclass(frozen=True)
class Moment:
    """As known at which time, and of which days.

    Attributes:
        as_known_at: UTC; what was received in that very instant counts.
        first: First day: UTC of hours, local of averages. None for the first that was pulled.
        last: Last day, included. None for the last that was pulled.
    """

    as_known_at: datetime
    first: date | None = None
    last: date | None = None


def parse_days(start: str, end: str) -> tuple[date, date]:
    """The first and the last day that `--start` and `--end` name.

    Raises:
        SettingsError: one is not written as YYYY-MM-DD, or there is no day between them.
    """
    first, last = parse_day(start, "--start"), parse_day(end, "--end")
    if last < first:
        raise SettingsError(f"--end {last} lies before --start {first}.")
    return first, last


def parse_day(text: str, option: str) -> date:
    """The day that an option names.

    Raises:
        SettingsError: it is not written as YYYY-MM-DD.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no day: write YYYY-MM-DD.") from None


def parse_time(text: str, option: str) -> datetime:
    """The time with a zone that an option names.

    Raises:
        SettingsError: it is not in ISO 8601, or has no zone.
    """
    moment = _read_time(text, option)
    if moment.tzinfo is None:
        raise SettingsError(f"{option} {text!r} needs a zone: end it with Z.")
    return moment


def parse_issue_time(text: str, option: str) -> datetime:
    """The full hour that an option names, in UTC also where it names no zone.

    Raises:
        SettingsError: it is not in ISO 8601, or not on the hour.
    """
    moment = _read_time(text, option)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment.minute or moment.second or moment.microsecond:
        raise SettingsError(f"{option} {text!r} is not on the hour.")
    return moment


def _read_time(text: str, option: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} {text!r} is no ISO 8601 time.") from None


def parse_moment(as_known_at: str | None, start: str | None, end: str | None) -> Moment | None:
    """What `--as-known-at` asks for; None without it.

    Args:
        as_known_at: A time with a zone.
        start: First day; the first there is without.
        end: Last day, included; the last there is without.

    Returns:
        The time in UTC, and the days.

    Raises:
        SettingsError: One is not written as it should be, or there is no time to the days.
    """
    if as_known_at is None:
        if start or end:
            raise SettingsError(
                "--start and --end belong to --as-known-at: else a query says itself which days."
            )
        return None
    known_at = parse_time(as_known_at, "--as-known-at").astimezone(UTC)
    first = None if start is None else parse_day(start, "--start")
    last = None if end is None else parse_day(end, "--end")
    if first is not None and last is not None and last < first:
        raise SettingsError(f"--end {last} lies before --start {first}.")
    return Moment(known_at, first, last)


def parse_day_or_hour(text: str, option: str) -> date | datetime:
    """The day that an option names, or the instant (UTC) where it has a time.

    Raises:
        SettingsError: it is neither.
    """
    if len(text) <= len("2026-01-31"):
        return parse_day(text, option)
    return parse_time(text, option).astimezone(UTC)


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


def choose_network(services: Services, name: str) -> NetworkConfig:
    """The entry of one network.

    Raises:
        SettingsError: there is no enabled network of that name, or its entry is invalid.
    """
    chosen = choose_networks(services, [name])
    if not chosen:
        raise SettingsError(services.invalid_networks[name])
    return chosen[0]


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
