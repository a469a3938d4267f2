"""Requests used against the least possible: an hourly refresh, and a year's backfill.

Counted by the sandboxes, one for each network. The hourly refresh is the run that the sensor
requests (raw pulls and hourly readings of the day so far), in its steady state: the second of its
kind. What the sensor's question "which hour is newest?" costs stands beside it and is in no ratio,
since a least possible question is a matter of how sure one wants to be. A backfill is the whole of
`aq backfill`, which describes the stations and reaches a day further where local days do.

The least, N being stations, D days, by what the networks' documentation and code say of them:

airqino   A station a request, a year a request: refresh N; backfill N * ceil(D / 365), and one for
          the catalogue of stations.
airqo     Pages of what there is. Refresh: records of the day / 80, the most that v2 puts on a page.
          Backfill: rows / 2,000, a page of the download here, were every page full; at least one
          for each two months (62 days); and three for members, devices and sites.
irceline  One request for the list of series, whose ids are resolved at run time. Any number of
          series may share a POST, but a series of a year takes 1.4 s, so that twenty are what a
          time-out of 30 s allows: ceil(series * D / (20 * 365)).
openaq    Refresh: a page of 1,000 latest values for each parameter id. Backfill: a file for each
          station and local day from the archive, which counts no requests and wants no key; a
          request a station for its description. Without the archive 1,000 hours of a sensor a
          request: sensors * ceil(24 * D / 1,000).
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common import (
    OwnSandbox,
    aq,
    clean_environment,
    four_networks,
    machine,
    measure,
    networks_file,
    own_sandbox,
)

FIRST, NOW = date(2024, 3, 1), datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
AIM = 1.1
SERIES_A_REQUEST = 20
DAY = timedelta(days=1)
ALL = ("airqino", "airqo", "irceline", "openaq")


def main() -> None:
    """Print a line a network and kind of work, and each ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stations", type=int, default=50, help="of each network")
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--only", choices=ALL)
    options.add_argument("--ask", choices=ALL, help=argparse.SUPPRESS)
    options.add_argument("--refresh", choices=ALL, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.ask:
        ask(given.ask)
        return
    if given.refresh:
        refresh(given.refresh)
        return
    print(f"{given.stations} stations of each network, {given.days} days ({machine()})")
    print(f"{'network':20}{'work':18}{'used':>8}{'least':>8}{'ratio':>7}   aim <= {AIM}")
    for network in [given.only] if given.only else ALL:
        for title, work, used, least in of_network(network, given.stations, given.days):
            ratio = f"{used / least:7.2f}" if least else ""
            print(f"{title:20}{work:18}{used:8,}{least or '':>8}{ratio}", flush=True)


def of_network(network: str, stations: int, days: int) -> Iterator[tuple[str, str, int, int]]:
    """Title, work, requests used, and the least (0: none is known)."""
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name, ExitStack() as stack:
        sandbox, archive = (stack.enter_context(own_sandbox(stations, NOW)) for _ in range(2))
        entries = {network: four_networks(stations)[network]}
        environment = {
            **clean_environment(),
            **sandbox.of(network),
            "AQ_NETWORKS": str(networks_file(Path(name), entries, FIRST - DAY)),
            "AQ_CLOCK": f"{NOW.isoformat()}/{NOW.isoformat()}/0",
        }
        if network == "openaq":
            # Apart, for its files are no requests to the interface.
            environment["AQ_OPENAQ_ARCHIVE"] = archive.environment["AQ_OPENAQ_ARCHIVE"]

        def used(work: list[str], home: str, **settings: str) -> int:
            for one in (sandbox, archive):
                one.control("DELETE", "requests")
            measure(work, {**environment, "AQ_HOME": str(Path(name) / home), **settings})
            return int(sandbox.control("GET", "requests")["total"])

        own = [sys.executable, "-m", "benchmarks.requests"]
        yield network, "question", used([*own, "--ask", network], "hourly"), 0
        used([*own, "--refresh", network], "hourly")
        again = used([*own, "--refresh", network], "hourly")
        yield network, "hourly refresh", again, least_refresh(network, sandbox, stations)
        last = FIRST + (days - 1) * DAY
        backfill = [aq(), "backfill", network, "--start", f"{FIRST}", "--end", f"{last}"]
        count = used(backfill, "year")
        yield network, "backfill", count, least_backfill(network, sandbox, stations, days)
        if network == "openaq":
            files = int(archive.control("GET", "requests")["total"])
            yield "openaq's archive", "backfill", files, stations * days
            count = used(backfill, "api", AQ_OPENAQ_ARCHIVE="none")
            least = stations + 6 * stations * math.ceil(24 * days / 1000)
            yield "openaq, no archive", "backfill", count, least


def least_refresh(network: str, sandbox: OwnSandbox, stations: int) -> int:
    """The least for the day so far (see the module's text)."""
    match network:
        case "airqino":
            return stations
        case "airqo":
            from aq_sandbox.networks.airqo import COHORT

            url = f"{sandbox.url}/api/v2/devices/measurements/cohorts/{COHORT}"
            day = datetime.combine(NOW.date(), time(), UTC)
            asked = {"startTime": _stamp(day), "endTime": _stamp(NOW)}
            return math.ceil(_airqo(sandbox, "GET", url, params=asked)["meta"]["total"] / 80)
        case "irceline":
            return 1 + 1
        case _:
            # pm10, pm25, co, no2, humidity, and temperature in two units.
            return 7 * math.ceil(stations / 1000)


def least_backfill(network: str, sandbox: OwnSandbox, stations: int, days: int) -> int:
    """The least for so many days and the one before, where local days reach into it."""
    match network:
        case "airqino":
            return 1 + stations * math.ceil(days / 365)
        case "airqo":
            from aq_sandbox.networks.airqo import device_name

            url = f"{sandbox.url}/api/v3/public/analytics/data-download"
            first = datetime.combine(FIRST - DAY, time(), UTC)
            cuts = [*range(0, days + 1, 62), days + 1]
            rows = 0
            for start, end in pairwise(first + cut * DAY for cut in cuts):
                asked = {
                    "startDateTime": _stamp(start),
                    "endDateTime": _stamp(end - timedelta(seconds=1)),
                    "device_names": [device_name(number) for number in range(stations)],
                }
                rows += _airqo(sandbox, "POST", url, json=asked)["metadata"]["total_count"]
            return 3 + max(len(cuts) - 1, math.ceil(rows / 2000))
        case "irceline":
            listed = httpx.get(
                f"{sandbox.url}/sos/api/v1/timeseries", params={"expanded": "true"}, trust_env=False
            ).json()
            # Benzene is no parameter here.
            series = sum("Benzene" not in entry["label"] for entry in listed)
            return 1 + math.ceil(series * (days + 1) / (SERIES_A_REQUEST * 365))
        case _:
            return stations


def _airqo(sandbox: OwnSandbox, method: str, url: str, **question: Any) -> Any:
    token = sandbox.environment["AQ_AIRQO_TOKEN"]
    question["params"] = {**question.get("params", {}), "token": token}
    answer = httpx.request(method, url, timeout=120, trust_env=False, **question)
    return answer.raise_for_status().json()


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def ask(network: str) -> None:
    """The question of the sensor."""
    from aq_resources.services import Services

    with closing(Services.from_environment()) as services:
        if services.client(network).newest_hour() is None:
            raise SystemExit(f"{network} shows no hour")


def refresh(network: str) -> None:
    """The run that the sensor requests: raw pulls and hourly readings of today."""
    import dagster as dg

    from aq_platform.definitions import build_defs
    from aq_resources.services import Services

    with (
        closing(Services.from_environment()) as services,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        job = build_defs(services).resolve_job_def(f"{network}_readings")
        job.execute_in_process(instance=instance, partition_key=f"{services.now().date()}")


if __name__ == "__main__":
    main()
