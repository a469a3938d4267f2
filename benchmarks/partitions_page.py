"""Seconds until the Partitions view of `<network>/forecasts`, an hour a partition, can be used.

A browser opens the view of an instance in which one run made the forecasts of every hour of a year,
or of ten: by Dagster's own web server and event log, and by ours (`aq_platform.webserver`, and the
event log of `aq`) on the same database, in turn.

* under way: while that run works;
* first: the first visit after it, when Dagster sums up what was made;
* again: every other visit, the median of three; then the query behind the view, in it.

Aim: at most 4 s at ten years.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import dagster as dg
from dagster._core.events import (  # noqa: TID251
    AssetMaterializationPlannedData,
    StepMaterializationData,
)
from playwright.sync_api import Browser, BrowserContext, Request, sync_playwright

from aq_platform.instance import open_instance
from aq_resources.io_managers import HOUR_KEY
from aq_resources.settings import Settings
from benchmarks.common import (
    clean_environment,
    four_networks,
    free_port,
    machine,
    networks_file,
    stop_tree,
)
from tests.system.browser.conftest import ARGUMENTS, find_browser

YEARS = (1, 10)
VISITS = 3
PATIENCE_S = 300
BATCH = 2000
PROJECT = Path(__file__).parents[1]
ASSET = dg.AssetKey(["airqino", "forecasts"])
VIEW = "/assets/airqino/forecasts?view=partitions"
QUERY = "PartitionHealthQuery"
HOUR = timedelta(hours=1)
QUIET = ("--log-level", "warning", "--code-server-log-level", "warning")


@dataclass(frozen=True)
class Visit:
    """Seconds until the view can be used, and of its query; bytes of the query's answer."""

    seconds: float
    query_seconds: float
    query_bytes: int


def main() -> None:
    """Print a line a span and web server."""
    print(f"{machine()}; seconds until the view can be used", flush=True)
    print("partitions  web server  under way  first  again  query")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        for years in YEARS:
            with instance_since(datetime.now(UTC) - timedelta(days=365 * years)) as (opened, start):
                measure_span(browser, opened, start)
        browser.close()


@contextmanager
def instance_since(day: datetime) -> Iterator[tuple[dg.DagsterInstance, datetime]]:
    """An instance of an installation that begins with that day, and the day's first hour.

    This process's environment is the installation's.
    """
    start = day.replace(hour=0, minute=0, second=0, microsecond=0)
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
        folder = Path(name)
        entries = {"airqino": four_networks(3)["airqino"]}
        environment = {
            **clean_environment(),
            "AQ_HOME": str(folder / "home"),
            "AQ_NETWORKS": str(networks_file(folder, entries, start.date())),
        }
        with patch.dict("os.environ", environment, clear=True), open_instance(Settings()) as opened:
            yield opened, start


def measure_span(browser: Browser, instance: dg.DagsterInstance, start: datetime) -> None:
    """The lines of the hours from `start` to the present."""
    hours = (datetime.now(UTC) - start) // HOUR
    keys = [f"{start + number * HOUR:{HOUR_KEY}}" for number in range(hours)]
    run = dg.DagsterRun("airqino_forecast", str(uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    with ExitStack() as stack:
        pages = {
            name: (
                stack.enter_context(web_server(module, home)),
                stack.enter_context(browser.new_context(viewport={"width": 1600, "height": 1000})),
            )
            for name, (module, home) in servers(Path(instance.root_directory)).items()
        }
        for url, context in pages.values():
            # The browser has the UI itself after that.
            page = context.new_page()
            page.goto(f"{url}/overview", wait_until="networkidle")
            page.close()
        record(instance, run, "ASSET_MATERIALIZATION_PLANNED", keys)
        under_way = {name: visit(*at, f"Materializing ({hours})") for name, at in pages.items()}
        record(instance, run, "ASSET_MATERIALIZATION", keys)
        for name, at in pages.items():
            instance.event_log_storage.wipe_asset_cached_status(ASSET)
            shown = f"Materialized ({hours})"
            first, *others = (visit(*at, shown) for _ in range(1 + VISITS))
            again = statistics.median(other.seconds for other in others)
            query = statistics.median(other.query_seconds for other in others)
            print(
                f"{hours:10,}  {name:10}  {under_way[name].seconds:9.1f}  {first.seconds:5.1f}  "
                f"{again:5.1f}  {query:.1f} s, {first.query_bytes / 1e3:,.0f} kB",
                flush=True,
            )


def record(
    instance: dg.DagsterInstance, run: dg.DagsterRun, kind: str, keys: Sequence[str]
) -> None:
    """Events of that kind for each partition, as the run would store them."""
    planned = kind.endswith("PLANNED")
    events = [
        dg.EventLogEntry(  # type: ignore[no-untyped-call]
            None,
            "debug",
            "",
            run.run_id,
            time.time(),
            "airqino__forecasts",
            run.job_name,
            dg.DagsterEvent(
                kind,
                run.job_name,
                event_specific_data=AssetMaterializationPlannedData(ASSET, key)
                if planned
                else StepMaterializationData(dg.AssetMaterialization(ASSET, partition=key)),
            ),
        )
        for key in keys
    ]
    for first in range(0, len(events), BATCH):
        instance.event_log_storage.store_event_batch(events[first : first + BATCH])


def servers(home: Path) -> dict[str, tuple[str, Path]]:
    """Module and DAGSTER_HOME of each web server: Dagster's own has its own event log."""
    stock = home / "stock"
    stock.mkdir()
    settings = (PROJECT / "dagster.yaml").read_text("utf-8")
    storage = f"storage: {{sqlite: {{base_dir: {home}}}}}\n"
    (stock / "dagster.yaml").write_text(settings + storage, "utf-8")
    return {"Dagster's": ("dagster_webserver", stock), "ours": ("aq_platform.webserver", home)}


@contextmanager
def web_server(module: str, home: Path) -> Iterator[str]:
    """The address of a web server on that DAGSTER_HOME, until the block ends."""
    port = free_port()
    workspace = str(PROJECT / "workspace.yaml")
    server = subprocess.Popen(
        [sys.executable, "-m", module, "-p", port, "-w", workspace, *QUIET],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "DAGSTER_HOME": str(home)},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url)
        yield url
    finally:
        server.terminate()
        stop_tree(server)


def wait_until_ready(url: str) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=30):  # noqa: S310
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"no web server at {url} in time")


def visit(url: str, context: BrowserContext, shown: str) -> Visit:
    """Open the view in a new page, until it shows that text."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    queries: list[Request] = []

    def note(request: Request) -> None:
        if "/graphql" in request.url and QUERY in (request.post_data or ""):
            queries.append(request)

    page.on("requestfinished", note)
    began = time.perf_counter()
    page.goto(url + VIEW)
    page.get_by_text(shown, exact=True).wait_for()
    seconds = time.perf_counter() - began
    timing, sizes = queries[0].timing, queries[0].sizes()
    page.close()
    return Visit(seconds, timing["responseEnd"] / 1000, sizes["responseBodySize"])


if __name__ == "__main__":
    main()
