"""Examination of an installation: what is wrong, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx
from rich.console import Console
from rich.markup import escape

from aq_platform.demo import refuse_mixing
from aq_platform.instance import open_instance
from aq_resources.alert_channels import AlertSettings, deliver, open_channels
from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.networks import settings_class
from aq_resources.platform import Platform

FREE_GB = 2.0
CLOCK_SECONDS = 60.0
_PROBE = "doctor/probe"


@dataclass(frozen=True)
class Finding:
    """One check's outcome."""

    what: str
    healthy: bool
    detail: str


def examine(console: Console, *, send_test_alert: bool = False) -> bool:
    """Print a line a check; True where everything is well."""
    healthy = True
    for finding in findings(send_test_alert=send_test_alert):
        mark = "[green]✓[/]" if finding.healthy else "[red]✗[/]"
        console.print(
            f"{mark} {finding.what}: {escape(finding.detail)}", highlight=False, soft_wrap=True
        )
        healthy &= finding.healthy
    return healthy


def findings(*, send_test_alert: bool = False) -> list[Finding]:
    """Every check, in an order in which an early failure explains a later one."""
    try:
        platform = Platform.from_environment()
    except SettingsError as error:
        return [Finding("settings", healthy=False, detail=str(error))]
    # Whoever asks what is wrong does not want it waited out.
    platform.settings = platform.settings.model_copy(update={"patience_seconds": 0.0})
    found = [
        Finding("settings", healthy=True, detail=f"AQ_HOME is {platform.settings.home}"),
        Finding(
            "networks",
            healthy=bool(platform.networks) and not platform.ill,
            detail="\n".join(platform.ill.values())
            or ", ".join(platform.networks)
            or "none enabled: mend networks.yaml",
        ),
        _check("home", lambda: _home(platform)),
        _check("object store", lambda: _object_store(platform)),
        _check("warehouse", lambda: _warehouse(platform)),
        _check("Dagster instance", lambda: _instance(platform)),
        _check("alerts", lambda: _alerts(send=send_test_alert)),
    ]
    for network in platform.networks:
        found.append(_check(f"{network}: clock", lambda n=network: _clock(platform, n)))  # type: ignore[misc]
        found.append(_check(f"{network}: stations", lambda n=network: _stations(platform, n)))  # type: ignore[misc]
        found.append(_check(f"{network}: readings", lambda n=network: _readings(platform, n)))  # type: ignore[misc]
    platform.close()
    return found


def _check(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, healthy=True, detail=look())
    except (PermanentFailure, TransientFailure) as failure:
        return Finding(what, healthy=False, detail=failure.message)
    except (SettingsError, httpx.HTTPError, OSError) as error:
        return Finding(what, healthy=False, detail=str(error) or type(error).__name__)


def _home(platform: Platform) -> str:
    home = platform.settings.home
    home.mkdir(parents=True, exist_ok=True)
    refuse_mixing(platform)
    free = shutil.disk_usage(home).free / 1e9
    if free < FREE_GB:
        raise PermanentFailure(f"only {free:.1f} GB free in {home}: make room")
    return f"{free:.0f} GB free"


def _object_store(platform: Platform) -> str:
    store = platform.object_store
    store.put(_PROBE, b"aq")
    if store.get(_PROBE) != b"aq":
        raise PermanentFailure(f"{store.uri(_PROBE)} does not give back what was written")
    store.delete(_PROBE)
    return f"{platform.settings.object_store_url} can be written and read"


def _warehouse(platform: Platform) -> str:
    tables = platform.warehouse.read(
        "SELECT count(*) AS n FROM information_schema.tables WHERE table_catalog = 'lake'"
    )["n"][0]
    kind = "SQLite" if platform.warehouse.location.sqlite_path else "Postgres"
    return f"{kind} catalog, {tables} tables and views"


def _instance(platform: Platform) -> str:
    with open_instance(platform.settings) as instance:
        return f"{instance.get_runs_count()} runs recorded"


def _alerts(*, send: bool) -> str:
    channels = open_channels(AlertSettings())
    names = ", ".join(channel.name for channel in channels)
    if not channels:
        return "the log alone: set AQ_ALERT_WEBHOOK or AQ_ALERT_EMAIL_TO to be told"
    if not send:
        return f"the log, {names}"
    message = ("[aq] Test", "A test by `aq doctor`: nothing is wrong.")
    told = deliver({channel.name: message for channel in channels}, channels)
    refused = [f"{name} {reason}" for name, reason in told.items() if reason is not None]
    if refused:
        raise PermanentFailure("; ".join(refused))
    return f"the log; {names} took a test message"


def _clock(platform: Platform, network: str) -> str:
    url = str(getattr(settings_class(network)(), "url", ""))
    answer = httpx.get(url, timeout=platform.settings.http_timeout_seconds)
    if "Date" not in answer.headers:
        return "the server sends no date to compare with"
    off = (platform.now() - parsedate_to_datetime(answer.headers["Date"])).total_seconds()
    if abs(off) > CLOCK_SECONDS:
        raise PermanentFailure(
            f"this machine's clock differs from the server's by {off:.0f} s: set it by NTP"
        )
    return f"within {max(1.0, abs(off)):.0f} s of the server's"


def _stations(platform: Platform, network: str) -> str:
    found = platform.client(network).stations()
    if found.failures:
        raise PermanentFailure("; ".join(failure.message for failure in found.failures.values()))
    if not found.stations:
        raise PermanentFailure(f"none: networks.{network} finds no station, or its form is new")
    return f"{len(found.stations)} described"


def _readings(platform: Platform, network: str) -> str:
    newest = platform.client(network).newest_hour()
    # A network may be silent; whether it should be is for the sensors' alerts to say.
    return f"newest hour {newest:%Y-%m-%d %H:%M}Z" if newest else "none in the last hours"
