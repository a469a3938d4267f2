"""A real Prometheus and a running platform: alerts have their metrics, and one comes and goes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from aq_sandbox.server import RunningSandbox
from tests.conftest import ROOT
from tests.servers.process import clean_environment, free_ports, owned_process
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import days_ago
from tests.system.running import SELECTOR, Platform, Running, ended, launch, wait_until

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
PROGRAM = shutil.which("prometheus")
START_SENSOR = """mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) {
  __typename ... on PythonError { message } } }"""


def named_in_rules() -> set[str]:
    [group] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {name for rule in group["rules"] for name in re.findall(r"\baq_\w+", rule["expr"])}


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str) -> Any:
        return httpx.get(f"{self.url}/api/v1/{path}", trust_env=False, timeout=60).json()["data"]

    def fires(self, alert: str) -> bool:
        states = {a["state"] for a in self.of(alert)}
        return "firing" in states

    def of(self, alert: str) -> list[dict[str, Any]]:
        found = self.ask("alerts")["alerts"]
        return [one for one in found if one["labels"]["alertname"] == alert]

    def lacks(self) -> set[str]:
        return named_in_rules() - set(self.ask("label/__name__/values"))


@contextlib.contextmanager
def running_prometheus(targets: dict[str, int], port: int) -> Iterator[Prometheus]:
    """With the alerts as they are, but for waiting: that is for promtool's tests to show."""
    url = f"http://127.0.0.1:{port}"
    with owned_process("aq-prometheus-", signal.SIGTERM) as owned:
        rules, config = owned.folder / "alerts.yml", owned.folder / "prometheus.yml"
        rules.write_text(re.sub(r"(?m)^(\s+for:) .*$", r"\1 0s", RULES.read_text("utf-8")))
        scrapes = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"]}]}
            for job, at in targets.items()
        ]
        pace = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config.write_text(
            json.dumps({"global": pace, "rule_files": [str(rules)], "scrape_configs": scrapes})
        )

        def answers() -> bool:
            try:
                return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        owned.start(
            [
                str(PROGRAM),
                f"--config.file={config}",
                f"--storage.tsdb.path={owned.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            environment=clean_environment(owned.folder),
            answers=answers,
        )
        yield Prometheus(url)


@contextlib.contextmanager
def serving(installation: Installation, port: int) -> Iterator[None]:
    api = installation.start("serve", "--port", str(port))
    try:
        yield
    finally:
        api.send_signal(signal.SIGTERM)
        api.communicate()


def loaded_with_scores(fresh: Installation) -> None:
    day = days_ago(2)
    fresh.succeed("backfill", "--start", days_ago(12), "--end", day, "--forecasts")


@pytest.mark.skipif(PROGRAM is None, reason="needs Prometheus (Debian: prometheus)")
def test_alerts_have_their_metrics_and_one_comes_and_goes(
    fresh: Installation, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    loaded_with_scores(fresh)
    ui, own, api, apis, port = free_ports(5)
    watched = fresh.with_settings(
        # Nothing runs by itself but what the test switches on.
        AQ_SENSORS="false",
        AQ_METRICS_PORT=str(own),
        AQ_METRICS_API_PORT=str(apis),
        AQ_METRICS_SECONDS="1",
        AQ_LOG_FORMAT="json",
    )
    running = Running(watched, "--port", str(ui))
    try:
        running.wait_for("Ready:")
        platform = Platform(watched, running, ui)
        with (
            serving(watched, api),
            running_prometheus({"aq": own, "aq-api": apis}, port) as prometheus,
        ):
            sensor = {**SELECTOR, "sensorName": "alerts"}
            started = platform.ask(START_SENSOR, sensor=sensor)["startSensor"]
            assert started["__typename"] == "Sensor", started
            run = launch(platform, ["data_quality"], days_ago(2))
            assert wait_until(partial(ended, platform, run)) == "SUCCESS"
            wait_until(partial(answered, f"http://127.0.0.1:{api}/v1/stations"))
            wait_until(lambda: not prometheus.lacks())

            assert not prometheus.of("JobFails")
            sandbox.inject(kind="status", status=403, path_contains="getStationHourlyAvg")
            broken = launch(platform, ["raw_pulls"], days_ago(1))
            assert wait_until(partial(ended, platform, broken)) == "FAILURE"
            wait_until(partial(prometheus.fires, "JobFails"))
            assert prometheus.of("JobFails")[0]["labels"]["job_name"] == "__ASSET_JOB"
            sandbox.clear()
            mended = launch(platform, ["raw_pulls"], days_ago(1))
            assert wait_until(partial(ended, platform, mended)) == "SUCCESS"
            wait_until(lambda: not prometheus.of("JobFails"))

            # The run that failed has said so, as an object.
            def about_the_failure() -> list[dict[str, Any]]:
                running.drain()
                found = [json.loads(line) for line in running.said if line.startswith("{")]
                return [line for line in found if line.get("run_id") == broken]

            line = wait_until(about_the_failure)[0]
            assert (line["network"], line["partition"]) == ("airqino", days_ago(1))
    finally:
        running.end()


def answered(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=60).status_code == 200
    except httpx.TransportError:
        return False
