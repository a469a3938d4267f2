"""What a run costs that a sensor or the UI starts: CPU and own memory of its process.

`aq up` with its sensors off; the day of one network, pulled and cleaned again, is launched a few
times, one run after another. CPU seconds are all processes' that began with the run, memory is what
they share with no other. `python -m benchmarks.against REVISION launched_run` compares commits.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import httpx
import psutil

from benchmarks.common import aq, free_port, machine, measure, platform_on_sandbox, stop_tree

ASSETS = ("raw_pulls", "hourly_readings")
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
SELECTOR = {
    "repositoryLocationName": "air_quality",
    "repositoryName": "__repository__",
    "jobName": "__ASSET_JOB",
    "assetSelection": [{"path": ["airqino", name]} for name in ASSETS],
}


@dataclass(frozen=True)
class Cost:
    """Of one run: wall and CPU seconds, and the most MiB that its processes had to themselves."""

    wall: float
    cpu: float
    own_mib: float


@contextmanager
def servers(environment: Mapping[str, str]) -> Iterator[tuple[psutil.Process, str]]:
    """`aq up` once it is ready: its process and the address of its GraphQL."""
    port = free_port()
    started = subprocess.Popen(
        [aq(), "up", "--port", port],
        env={**environment, "AQ_SENSORS": "false"},
        stdout=subprocess.PIPE,
        text=False,
    )
    try:
        for line in started.stdout or ():
            if re.search(rb"Ready:", line):
                break
        else:
            raise SystemExit("aq up ended by itself")
        yield psutil.Process(started.pid), f"http://127.0.0.1:{port}/graphql"
    finally:
        started.send_signal(signal.SIGINT)
        stop_tree(started)


def ask(url: str, query: str, **variables: Any) -> Any:
    """The data of a GraphQL answer."""
    asked = {"query": query, "variables": variables}
    return httpx.post(url, json=asked, timeout=120, trust_env=False).json()["data"]


def cost_of_run(up: psutil.Process, url: str, day: str) -> Cost:
    """Launch the run of a day and watch it to its end."""
    before = {one.pid for one in up.children(recursive=True)}
    tags = [{"key": "dagster/partition", "value": day}]
    began = time.perf_counter()
    launched = ask(
        url,
        LAUNCH,
        params={
            "selector": SELECTOR,
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": tags},
        },
    )["launchRun"]
    if "run" not in launched:
        raise SystemExit(f"no run was launched: {launched}")
    run_id = launched["run"]["runId"]
    used: dict[int, float] = {}
    own = 0.0
    while True:
        sizes = 0
        for one in up.children(recursive=True):
            if one.pid not in before:
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    times = one.cpu_times()
                    used[one.pid] = times.user + times.system
                    sizes += one.memory_full_info().uss
        own = max(own, sizes / 2**20)
        status = ask(url, STATUS, id=run_id)["runOrError"]["status"]
        if status == "SUCCESS":
            return Cost(time.perf_counter() - began, sum(used.values()), own)
        if status in ("FAILURE", "CANCELED"):
            raise SystemExit(f"the run ended with {status}")
        time.sleep(0.1)


def main() -> None:
    """Print the medians."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stations", type=int, default=3)
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    print(f"{given.stations} stations, {given.runs} runs ({machine()})")
    with platform_on_sandbox(given.stations, yesterday - timedelta(days=2)) as environment:
        days = ("--start", f"{yesterday}", "--end", f"{yesterday}")
        measure([aq(), "backfill", "airqino", *days], environment)
        with servers(environment) as (up, url):
            costs = [cost_of_run(up, url, f"{yesterday}") for _ in range(given.runs)]
            idle = sum(one.memory_full_info().pss for one in up.children(recursive=True)) / 2**20
    print(f"a launched run, CPU {median(cost.cpu for cost in costs):6.2f} s")
    print(f"a launched run, launch to end {median(cost.wall for cost in costs):6.2f} s")
    print(f"a launched run, memory of its own {median(cost.own_mib for cost in costs):6.0f} MiB")
    print(f"servers after it, memory together {idle:6.0f} MiB")


if __name__ == "__main__":
    main()
