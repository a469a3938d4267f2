"""The night's fit on a real MLflow server, and without one. `make mlflow` has the server."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest

from aq_resources.experiments import MlflowExperiments
from aq_sandbox.server import SandboxConfig, running_sandbox
from aq_science.forecasting.fit_record import FitRecord
from tests.patience import PATIENCE_S
from tests.servers.mlflow import PROGRAM, mlflow_server, note_addresses
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, days_ago, today

pytestmark = pytest.mark.skipif(
    PROGRAM not in os.environ, reason=f"{PROGRAM} names no MLflow: run `make mlflow`"
)

MODELS = dg.AssetKey(["airqino", "forecast_models"])
SERIES = pl.DataFrame({"station_id": ["s1"], "model": ["persistence"]})
TABLES = {"series.csv": SERIES, "pm25/forecast_models.parquet": SERIES}
FIT = FitRecord(
    date(2024, 3, 1),
    {"methods": "persistence"},
    {"pm25_h1/skill": 0.1},
    {"pm25": {"served_h1": ""}},
)


class Mlflow:
    """A server, asked by its REST interface alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_S)

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"/api/2.0/mlflow/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/2.0/mlflow/{path}", params=query)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def runs(self, network: str = "airqino") -> list[dict[str, Any]]:
        """Runs of a network, the newest day first."""
        name = f"{network}/forecast_models"
        experiment = self.get("experiments/get-by-name", experiment_name=name)["experiment"]
        ids = [experiment["experiment_id"]]
        found = self.ask("runs/search", experiment_ids=ids, max_results=1000)
        return sorted(found.get("runs", []), key=lambda run: run["info"]["run_name"], reverse=True)

    def champion(self, model: str) -> dict[str, Any]:
        found = self.get("registered-models/alias", name=model, alias="champion")
        version: dict[str, Any] = found["model_version"]
        return version

    def file(self, run: dict[str, Any], path: str) -> bytes:
        """A run's file, as the pages get it."""
        answer = self.client.get(
            "/get-artifact", params={"path": path, "run_uuid": run["info"]["run_id"]}
        )
        assert answer.is_success, answer.text
        return answer.content


def values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


@pytest.fixture(scope="module")
def server() -> Iterator[Mlflow]:
    with mlflow_server() as url:
        mlflow = Mlflow(url)
        yield mlflow
        mlflow.client.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Five weeks of two stations; no models yet."""
    with running_sandbox(SandboxConfig(stations=5)) as sandbox:
        installation = (
            Installation(tmp_path_factory.mktemp("history"))
            .with_networks(airqino={"start_date": days_ago(60), "stations": STATIONS})
            .with_settings(**sandbox.environment)
        )
        installation.backfill(days_ago(35), days_ago(1))
        yield installation


def last_metadata(installation: Installation) -> tuple[str | None, dict[str, Any]]:
    """Partition and metadata of the newest models."""
    with installation.instance() as instance:
        event = instance.get_latest_materialization_event(MODELS)
        assert event is not None
        found = event.asset_materialization
        assert found is not None
        return found.partition, {name: value.value for name, value in found.metadata.items()}


def test_what_a_night_records(server: Mlflow, history: Installation) -> None:
    recorded = history.with_settings(AQ_MLFLOW_TRACKING_URI=server.url)
    assert f"experiments: MLflow at {server.url} answers" in recorded.succeed("doctor").stdout
    # Once more, as after a late reading: a day stays one run.
    recorded.succeed("refresh")
    partition, metadata = last_metadata(recorded)
    first = [run["info"]["run_id"] for run in server.runs()]
    recorded.backfill(days_ago(0), days_ago(0), "--forecasts")
    [run] = server.runs()
    assert [run["info"]["run_id"]] != first
    assert (run["info"]["run_name"], run["info"]["status"]) == (partition, "FINISHED")
    assert metadata["experiment"].startswith(f"{server.url}/#/experiments/")
    assert metadata["experiment"].endswith(first[0])

    parameters, metrics = (values(run["data"][name]) for name in ("params", "metrics"))
    assert parameters["day"] == today().isoformat()
    assert "prophet_regression" in parameters["methods"]
    assert metrics["pm25/series"] == len(STATIONS)
    assert metrics["pm25_h1/n"] > 100
    assert metrics["pm25_h1/mae"] <= metrics["pm25_h1/mae_persistence"]

    stored = next((history.home / "objects").glob(f"airqino/forecast_models/date={partition}/*"))
    models = pl.read_parquet(stored)
    for parameter in ("co", "pm25"):
        version = server.champion(f"airqino.{parameter}")
        assert version["run_id"] == run["info"]["run_id"]
        assert values(version["tags"])["day"] == partition
        sent = server.file(run, f"{parameter}/forecast_models.parquet")
        own = models.filter(pl.col("parameter") == parameter)
        assert pl.read_parquet(BytesIO(sent)).equals(own.sort("station_id"))
        trees = pl.read_parquet(BytesIO(server.file(run, f"{parameter}/network_models.parquet")))
        assert "tree" in trees["learned"][0]
        newest = str(trees["trained_to"].max())
        assert parameters[f"{parameter}_h1/gradient_boosting/trained_to"] == newest
    listed = pl.read_csv(
        BytesIO(server.file(run, "series.csv")), schema_overrides={"station_id": pl.String}
    )
    assert sorted(listed["station_id"].unique()) == sorted(STATIONS)


def test_a_server_that_is_down_fails_no_night(history: Installation) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        without = history.with_settings(AQ_MLFLOW_TRACKING_URI=uri)
        day = days_ago(1)
        without.backfill(day, day, "--forecasts")
        failed = without.run("doctor")
    assert (history.home / f"objects/airqino/forecast_models/date={day}/models.parquet").exists()
    partition, metadata = last_metadata(without)
    assert partition == day
    assert metadata["experiment"].startswith(f"MLflow at {uri} did not take it")
    assert failed.returncode == 1
    assert f"✗ experiments: MLflow at {uri} did not take it" in failed.stdout


def test_networks_may_record_at_once_into_a_new_file_that_a_server_shows(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/mlflow.db"
    networks = ["airqino", "airqo", "irceline"]

    def record(network: str) -> str:
        return MlflowExperiments(database).record(network, [FIT], TABLES, {})

    with ThreadPoolExecutor(len(networks)) as pool:
        assert len(set(pool.map(record, networks))) == len(networks)
    with mlflow_server("--backend-store-uri", database) as url:
        server = Mlflow(url)
        for network in networks:
            [run] = server.runs(network)
            assert values(run["data"]["metrics"]) == {"pm25_h1/skill": 0.1}
            assert pl.read_csv(BytesIO(server.file(run, "series.csv"))).equals(SERIES)
            assert server.champion(f"{network}.pm25")["run_id"] == run["info"]["run_id"]
        assert "<title>MLflow</title>" in server.client.get("/").text
        server.client.close()


def test_no_other_host_is_spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = note_addresses(tmp_path, monkeypatch)
    with mlflow_server(environment={"PYTHONPATH": os.environ["PYTHONPATH"]}) as url:
        MlflowExperiments(url).record("airqino", [FIT], TABLES, {})
    heard = set(addresses.read_text().splitlines())
    assert heard
    assert {line for line in heard if "127.0.0.1" not in line} == set()
