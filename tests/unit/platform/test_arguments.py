"""What the command's arguments mean, and what is said where they are wrong."""

from __future__ import annotations

from datetime import date

import pytest

from aq_platform.arguments import (
    Moment,
    check_days,
    choose_networks,
    parse_days,
    parse_moment,
    parse_time,
)
from aq_resources.failures import SettingsError
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from tests.factories import utc

TODAY = date(2025, 6, 18)
AIRQINO = NetworkConfig(name="airqino", start_date=date(2025, 1, 1), stations=("s1",))
OPENAQ = NetworkConfig(name="openaq", start_date=date(2025, 6, 1), stations=("7",))


def test_the_days_of_a_range_are_read() -> None:
    assert parse_days("2025-06-17", "2025-06-18") == (date(2025, 6, 17), TODAY)
    assert parse_days("2025-06-18", "2025-06-18") == (TODAY, TODAY)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2025-13-01", "2025-06-18", "--start '2025-13-01' is no day: write YYYY-MM-DD."),
        ("2025-06-17", "yesterday", "--end 'yesterday' is no day: write YYYY-MM-DD."),
        ("2025-06-18", "2025-06-17", "--end 2025-06-17 lies before --start 2025-06-18."),
    ],
)
def test_what_is_no_range_is_refused(start: str, end: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_days(start, end)
    assert str(refused.value) == says


def test_days_that_networks_have_are_accepted() -> None:
    check_days(date(2025, 6, 1), TODAY, TODAY, [AIRQINO, OPENAQ])


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        (date(2025, 6, 18), date(2025, 6, 19), "--end 2025-06-19 lies in the future"),
        (date(2025, 5, 31), TODAY, "--start 2025-05-31 lies before networks.openaq.start_date"),
    ],
)
def test_days_that_no_network_has_are_refused(first: date, last: date, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        check_days(first, last, TODAY, [AIRQINO, OPENAQ])


def test_what_is_asked_as_known_at_a_time() -> None:
    assert parse_moment(None, None, None) is None
    moment = parse_moment("2025-06-18T11:20+02:00", "2025-06-17", None)
    assert moment == Moment(utc(2025, 6, 18, 9, 20), date(2025, 6, 17), None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("noon", None, None), "--as-known-at 'noon' is no ISO 8601 time."),
        (("2025-06-18T09:20", None, None), "needs a zone: end it with Z."),
        (("2025-06-18T09:20Z", "x", None), "--start 'x' is no day: write YYYY-MM-DD."),
        (("2025-06-18T09:20Z", "2025-06-18", "2025-06-17"), "lies before --start 2025-06-18."),
        ((None, "2025-06-18", None), "--start and --end belong to --as-known-at"),
    ],
)
def test_what_is_no_moment_is_refused(given: tuple[str | None, ...], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_moment(*given)
    assert says in str(refused.value)


def test_a_time_needs_a_zone() -> None:
    assert parse_time("2025-06-18T09:20:00Z", "--now") == utc(2025, 6, 18, 9, 20)
    for text, says in (("2025-06-18T09:20:00", "needs a zone"), ("today", "no ISO 8601 time")):
        with pytest.raises(SettingsError, match=says):
            parse_time(text, "--now")


def test_networks_are_chosen_by_name_and_all_without(clean_environment: None) -> None:
    services = Services(
        Settings(),
        {"airqino": AIRQINO, "openaq": OPENAQ},
        invalid_networks={"airqo": "networks.yaml, line 9: …"},
    )
    assert choose_networks(services, None) == [AIRQINO, OPENAQ]
    assert choose_networks(services, ["openaq"]) == [OPENAQ]
    # One whose entry is invalid is reported, not unknown.
    assert choose_networks(services, ["airqo"]) == []
    with pytest.raises(SettingsError, match=r"No enabled network 'mars'.*airqino, openaq"):
        choose_networks(services, ["mars"])
