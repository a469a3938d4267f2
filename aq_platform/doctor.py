"""Examination of an installation: what is wrong, and what to do about it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain

import httpx
from rich.console import Console

from aq_platform.console import plain
from aq_platform.processes import writing
from aq_platform.records import RecordsCheck
from aq_platform.sandbox_guard import guarded_services, refuse_mixing
from aq_resources.alert_channels import AlertSettings, deliver, open_channels
from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http.client import trusted
from aq_resources.http.deadline import bound_connections, ending
from aq_resources.networks import network_is_pushed, settings_class
from aq_resources.services import Services
from aq_resources.warehouse.connection import needed_extensions, refuse_unsigned

FREE_GB = 2.0
CLOCK_SECONDS = 60.0
_PROBE = "doctor/probe"


@dataclass(frozen=True)
class Finding:
    """One check's outcome."""

    what: str
    healthy: bool
    detail: str


def examine(
    console: Console, records: RecordsCheck, *, send_test_alert: bool = False, deep: bool = False
) -> bool:
    """Print a line a check; True where everything is well.

    Args:
        console: Where to.
        records: The look at Dagster's records, under way.
        send_test_alert: Whether every channel of alerts is to take a message.
        deep: Whether every stored file is to be read, and repaired where that can be.

    Returns:
        Whether all is well now.
    """
    healthy = True
    found = chain(
        findings(records, send_test_alert=send_test_alert), deep_findings(console) if deep else ()
    )
    for finding in found:
        mark = "[green]✓[/]" if finding.healthy else "[red]✗[/]"
        console.print(
            f"{mark} {finding.what}: {plain(finding.detail)}", highlight=False, soft_wrap=True
        )
        healthy &= finding.healthy
    return healthy


def findings(records: RecordsCheck, *, send_test_alert: bool = False) -> list[Finding]:
    """Every check, in an order in which an early failure explains a later one."""
    try:
        services = Services.from_environment()
    except SettingsError as error:
        return [Finding("settings", healthy=False, detail=str(error))]
    # An examination reports what is wrong at once, and does not wait for it to pass.
    services.settings = services.settings.model_copy(update={"patience_seconds": 0.0})
    home = _check("home", lambda: _home(services))
    found = [
        Finding("settings", healthy=True, detail=f"AQ_HOME is {services.settings.home}"),
        Finding(
            "networks",
            healthy=bool(services.networks) and not services.invalid_networks,
            detail="\n".join(services.invalid_networks.values())
            or ", ".join(services.networks)
            or "none enabled: enable one in networks.yaml",
        ),
        home,
    ]
    if not os.access(services.settings.home, os.W_OK):
        # All that follows would say the same.
        services.close()
        return found
    looks: dict[str, Callable[[], str]] = {
        "object store": lambda: _object_store(services),
        "warehouse": lambda: _warehouse(services),
        "extensions of DuckDB": lambda: _extensions(services),
        "Dagster instance": lambda: records.result(services.settings),
        "alerts": lambda: _alerts(send=send_test_alert),
    }
    if (record := services.experiments).on:
        looks["experiments"] = record.examine
    # All side by side, but for what asks one network: that shares its client.
    with ThreadPoolExecutor() as pool:
        begun = [pool.submit(_check, what, look) for what, look in looks.items()]
        networks = [pool.submit(_network, services, network) for network in services.networks]
        found += [one.result() for one in begun]
        for network in networks:
            found += network.result()
    services.close()
    return found


def _network(services: Services, network: str) -> list[Finding]:
    return [
        _check(f"{network}: {what}", partial(look, services, network))
        for what, look in _OF_A_NETWORK.items()
        # No server is asked where devices push.
        if not (what == "clock" and network_is_pushed(network))
    ]


def deep_findings(console: Console) -> Iterator[Finding]:
    """What reading every stored file finds, and what was repaired."""
    from aq_platform.deep_check import FILE_ASSETS, DeepCheck
    from aq_platform.instance import open_instance

    try:
        services = guarded_services()
    except SettingsError:
        # The first findings have said so.
        return
    with closing(services), open_instance(services.settings) as instance:
        check = DeepCheck(services, instance, console)
        for network in services.networks:
            yield _check(f"{network}: raw pulls", partial(check.raw_pulls, network))
            for asset in FILE_ASSETS:
                yield _check(f"{network}: {asset}", partial(check.day_files, network, asset))
        yield _check("warehouse: files", check.warehouse)


def _check(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, healthy=True, detail=look())
    except (PermanentFailure, TransientFailure) as failure:
        return Finding(what, healthy=False, detail=failure.message)
    except (SettingsError, httpx.HTTPError, OSError) as error:
        return Finding(what, healthy=False, detail=str(error) or type(error).__name__)


def _home(services: Services) -> str:
    home = services.settings.home
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    refuse_mixing(services)
    free = shutil.disk_usage(home).free / 1e9
    if free < FREE_GB:
        raise PermanentFailure(f"only {free:.1f} GB free in {home}: make room")
    return f"{free:.0f} GB free"


def _object_store(services: Services) -> str:
    store = services.object_store
    store.put(_PROBE, b"aq")
    if store.get(_PROBE) != b"aq":
        raise PermanentFailure(f"{store.uri(_PROBE)} does not give back what was written")
    store.delete(_PROBE)
    return f"{services.settings.object_store_url} can be written and read"


def _extensions(services: Services) -> str:
    needed = needed_extensions(services.warehouse.location)
    refuse_unsigned(needed)
    return f"{', '.join(needed)}: signed"


def _warehouse(services: Services) -> str:
    tables = services.warehouse.read(
        "SELECT count(*) AS n FROM information_schema.tables WHERE table_catalog = 'lake'"
    )["n"][0]
    kind = "SQLite" if services.warehouse.location.sqlite_path else "Postgres"
    return f"{kind} catalog, {tables} tables and views"


def _alerts(*, send: bool) -> str:
    channels = open_channels(AlertSettings())
    names = ", ".join(channel.name for channel in channels)
    if not channels:
        return "the log alone: set AQ_ALERT_WEBHOOK or AQ_ALERT_EMAIL_TO to be notified"
    if not send:
        return f"the log, {names}"
    message = ("[aq] Test", "A test by `aq doctor`: nothing is wrong.")
    outcomes = deliver({channel.name: message for channel in channels}, channels)
    refused = [f"{name} {reason}" for name, reason in outcomes.items() if reason is not None]
    if refused:
        raise PermanentFailure("; ".join(refused))
    return f"the log; {names} took a test message"


def _clock(services: Services, network: str) -> str:
    url = str(getattr(settings_class(network)(), "url", ""))
    limit = services.settings.http_timeout_seconds
    try:
        with (
            ending(time.monotonic() + limit),
            httpx.Client(timeout=limit, verify=trusted()) as client,
            # Its head is enough, however it goes on.
            client.stream("GET", url, extensions={"trace": bound_connections}) as answer,
        ):
            headers = answer.headers
    except (httpx.InvalidURL, ValueError):
        # Its text repeats parts of the address, which may be a proxy's password.
        raise PermanentFailure(
            f"AQ_{network.upper()}_URL, or the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, is "
            "no address: correct it"
        ) from None
    if "Date" not in headers:
        return "the server sends no date to compare with"
    off = (services.now() - parsedate_to_datetime(headers["Date"])).total_seconds()
    if abs(off) > CLOCK_SECONDS:
        raise PermanentFailure(
            f"this machine's clock differs from the server's by {off:.0f} s: set it by NTP"
        )
    return f"within {max(1.0, abs(off)):.0f} s of the server's"


def _stations(services: Services, network: str) -> str:
    found = services.client(network).stations()
    if found.failures:
        raise PermanentFailure("; ".join(failure.message for failure in found.failures.values()))
    if not found.stations and network_is_pushed(network):
        return "no device has pushed yet"
    if not found.stations:
        raise PermanentFailure(f"none: networks.{network} finds no station, or its form is new")
    return f"{len(found.stations)} described"


def _readings(services: Services, network: str) -> str:
    newest = services.client(network).newest_hour()
    # A network may be silent; whether it should be is for the sensors' alerts to say.
    return f"newest hour {newest:%Y-%m-%d %H:%M}Z" if newest else "none in the last hours"


_OF_A_NETWORK: dict[str, Callable[[Services, str], str]] = {
    "clock": _clock,
    "stations": _stations,
    "readings": _readings,
}
