"""Prometheus's rules and Grafana's dashboard are well formed, and name metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aq_resources.metrics.settings import MetricsSettings

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "platform.json"
SOURCES = [
    *(ROOT / "aq_platform" / "metrics").glob("*.py"),
    *(ROOT / "aq_resources" / "metrics").glob("*.py"),
    ROOT / "aq_serving" / "metrics.py",
]
COUNTERS = {"aq_runs_finished", "aq_measuring_errors", "aq_http_requests"}
_NAME = re.compile(r"\baq_[a-z0-9_]+")
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")


def made() -> set[str]:
    """The metrics that the code makes, as Prometheus names them."""
    found = {
        name for path in SOURCES for name in re.findall(r'"(aq_[a-z0-9_]+)"', path.read_text())
    }
    return {f"{name}_total" if name in COUNTERS else name for name in found}


def named(text: str) -> set[str]:
    """Metrics in an expression; a histogram by its own name."""
    return {name.removesuffix("_bucket") for name in _NAME.findall(text)}


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return loaded


def expressions() -> list[str]:
    return [t["expr"] for panel in dashboard()["panels"] for t in panel.get("targets", [])]


def test_the_document_has_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "operating.md").read_text("utf-8")
    section = text.split("\n## Metrics\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(aq_\w+)", section, re.MULTILINE)) == made()


def test_alerts_and_dashboard_name_metrics_that_there_are() -> None:
    assert {name for rule in alerts() for name in named(rule["expr"])} <= made()
    assert {name for text in expressions() for name in named(text)} <= made()


def test_every_alert_is_played_and_says_what_to_do() -> None:
    played = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text("utf-8"))["tests"]
    assert [test["name"] for test in played] == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


@needs_promtool
@pytest.mark.server
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_passes(arguments: list[str]) -> None:
    assert PROMTOOL
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.server
def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    assert PROMTOOL
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "5m")}
        for number, text in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [PROMTOOL, "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class TestGrafana:
    def test_the_dashboard_has_the_form_that_grafana_declares(self) -> None:
        """By Grafana's own models: what they do not know, reading and writing would lose."""
        assert list(lost(dashboard(), as_grafana_reads(dashboard()))) == []

    def test_that_check_sees_what_is_unknown(self) -> None:
        wrong = dashboard()
        wrong["panels"][1]["options"]["nope"] = 1
        wrong["panels"][1]["targets"][0]["expression"] = "up"
        assert len(list(lost(wrong, as_grafana_reads(wrong)))) == 2

    def test_panels_have_places_ids_and_the_provisioned_source(self) -> None:
        panels = dashboard()["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in panels]
        assert all(x + w <= 24 for x, _, w, _ in places)
        assert not [(a, b) for a in places for b in places if a < b and overlap(a, b)]
        [source] = yaml.safe_load(
            (GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text("utf-8")
        )["datasources"]
        used = {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"}
        assert used == {source["uid"]}
        assert all(panel["description"] for panel in panels if panel["type"] != "row")

    def test_compose_puts_the_files_where_grafana_looks(self) -> None:
        compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
        [provider] = yaml.safe_load(
            (GRAFANA / "provisioning" / "dashboards" / "aq.yaml").read_text("utf-8")
        )["providers"]
        volumes = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
        assert volumes["./deploy/grafana/dashboards"] == provider["options"]["path"]
        assert {compose[name]["profiles"][0] for name in ("metrics", "prometheus", "grafana")} == {
            "monitoring"
        }
        scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
        targets = [
            tuple(target.split(":"))
            for job in scraped["scrape_configs"]
            for one in job["static_configs"]
            for target in one["targets"]
        ]
        assert targets == [("metrics", "8720"), ("api", "8721")]
        default = MetricsSettings.model_fields["host"].default
        for service, port in targets:
            given = compose[service]
            # Listens beyond itself, on a network that Prometheus is on, and nowhere outside.
            assert given["environment"]["AQ_METRICS_HOST"] == "0.0.0.0" != default
            assert set(given["networks"]) & set(compose["prometheus"]["networks"]) >= {"watch"}
            assert port not in str(given.get("ports", ""))
        assert compose["api"]["environment"]["AQ_METRICS_API_PORT"] == "8721"


def as_grafana_reads(given: dict[str, Any]) -> dict[str, Any]:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    text = json.dumps(Dashboard.from_json(given), cls=JSONEncoder)
    read: dict[str, Any] = json.loads(text)
    return read


def lost(given: Any, read: Any, path: str = "") -> Iterator[str]:
    """Places in a document that are not the same once it was read."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key in read:
                yield from lost(value, read[key], f"{path}/{key}")
            elif value is not None:
                yield f"{path}/{key}"
    elif isinstance(given, list):
        for number, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from lost(one, other, f"{path}/{number}")
    elif given != read:
        yield path


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    return ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah
