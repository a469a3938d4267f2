"""Fits recorded by MLflow in a SQLite file, and what happens where that does not work."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aq_resources import experiments
from aq_resources.experiments import (
    MlflowExperiments,
    NoExperiments,
    RecordError,
    open_experiments,
)
from aq_resources.failures import PermanentFailure
from aq_resources.mlflow_writer import GRACE_SECONDS
from aq_science.forecasting.fit_record import FitRecord
from tests.conftest import ROOT
from tests.servers.mlflow import note_addresses

with_mlflow = pytest.mark.skipif(
    find_spec("mlflow") is None, reason="the extra `mlflow` is not installed"
)
TAGS = {"dagster_run_id": "a-run"}
MODELS = pl.DataFrame({"station_id": ["s1"], "model": ["persistence"]})
TABLES = {
    "series.csv": MODELS,
    "pm25/forecast_models.parquet": MODELS,
    "co/forecast_models.parquet": MODELS,
}


def fit(day: date, skill: float = 0.1) -> FitRecord:
    served = {"served_h1": "persistence 1"}
    many = {f"pm25_h1/served_by/method_{i}": float(i) for i in range(1100)}
    return FitRecord(
        day,
        {f"setting_{i}": str(i) for i in range(150)},
        {"pm25_h1/skill": skill, **many},
        {"pm25": served, "co": served},
    )


FIRST, SECOND, THIRD = (date(2024, 3, day) for day in (1, 2, 3))


class Rows:
    """What stands in MLflow's database, read without MLflow."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def runs(self) -> list[tuple[Any, ...]]:
        """Name, status and skill of those that count, by experiment and day."""
        return self(
            "SELECT e.name, r.name, r.status, m.value FROM runs r JOIN experiments e "
            "USING (experiment_id) JOIN latest_metrics m ON m.run_uuid = r.run_uuid AND "
            "m.key = 'pm25_h1/skill' WHERE r.lifecycle_stage = 'active' ORDER BY 1, 2"
        )

    def versions(self) -> list[tuple[Any, ...]]:
        """Model, version, day, and whether it is the champion."""
        return self(
            "SELECT v.name, v.version, t.value, a.alias FROM model_versions v JOIN "
            "model_version_tags t ON t.name = v.name AND t.version = v.version AND t.key = 'day' "
            "LEFT JOIN registered_model_aliases a ON a.name = v.name AND a.version = v.version "
            "WHERE v.current_stage <> 'Deleted_Internal' ORDER BY 1, 2"
        )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder, which is empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@with_mlflow
@pytest.mark.server
@pytest.mark.usefixtures("temporary")
class TestSqlite:
    def test_runs_files_and_versions(self, tmp_path: Path, spoken_to: Path) -> None:
        database = tmp_path / "a home" / "mlflow.db"
        log = MlflowExperiments(f"sqlite:///{database}")
        found = log.record("airqino", [fit(FIRST, 0.1), fit(SECOND, 0.2)], TABLES, TAGS)
        rows = Rows(database)
        name = "airqino/forecast_models"
        assert rows.runs() == [
            (name, "2024-03-01", "FINISHED", 0.1),
            (name, "2024-03-02", "FINISHED", 0.2),
        ]
        assert rows("SELECT DISTINCT count(*) FROM params GROUP BY run_uuid") == [(151,)]
        assert rows("SELECT DISTINCT count(*) FROM latest_metrics GROUP BY run_uuid") == [(1101,)]
        assert rows("SELECT DISTINCT value FROM tags WHERE key = 'dagster_run_id'") == [("a-run",)]
        # The metric's time is the day, in milliseconds.
        assert rows("SELECT max(timestamp) FROM latest_metrics") == [(1709337600000,)]
        assert rows.versions() == [
            ("airqino.co", 1, "2024-03-02", "champion"),
            ("airqino.pm25", 1, "2024-03-02", "champion"),
        ]
        [(run_id, folder)] = rows(
            "SELECT run_uuid, artifact_uri FROM runs WHERE name = '2024-03-02'"
        )
        assert run_id in found
        assert Path(folder).is_relative_to(database.parent / "mlflow-artifacts" / "airqino")
        assert pl.read_csv(f"{folder}/series.csv").equals(MODELS)
        [(source,)] = rows("SELECT source FROM model_versions WHERE name = 'airqino.pm25'")
        assert pl.read_parquet(f"{source}/forecast_models.parquet").equals(MODELS)
        # Neither usage data nor anything else goes anywhere.
        assert spoken_to.read_text() == ""

    def test_a_day_again_replaces_what_was_recorded(self, tmp_path: Path) -> None:
        log = MlflowExperiments(f"sqlite:///{tmp_path}/mlflow.db")
        for skill in (0.1, 0.3):
            log.record("airqino", [fit(SECOND, skill)], TABLES, TAGS)
        # An earlier day, later: it is recorded, and another serves.
        log.record("airqino", [fit(FIRST, 0.2)], TABLES, TAGS)
        rows = Rows(tmp_path / "mlflow.db")
        assert [(day, skill) for _, day, _, skill in rows.runs()] == [
            ("2024-03-01", 0.2),
            ("2024-03-02", 0.3),
        ]
        assert rows.versions() == [
            ("airqino.co", 2, "2024-03-02", "champion"),
            ("airqino.co", 3, "2024-03-01", None),
            ("airqino.pm25", 2, "2024-03-02", "champion"),
            ("airqino.pm25", 3, "2024-03-01", None),
        ]

    def test_after_a_roll_back_the_champion_is_of_the_day_that_serves(self, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path}/mlflow.db"

        def champions(day: date, until: date | None) -> list[str]:
            MlflowExperiments(uri, until).record("airqino", [fit(day)], TABLES, TAGS)
            versions = Rows(tmp_path / "mlflow.db").versions()
            return [f"{name} {day}" for name, _, day, alias in versions if alias]

        before = date(2024, 2, 1)
        assert champions(FIRST, None) == ["airqino.co 2024-03-01", "airqino.pm25 2024-03-01"]
        assert champions(SECOND, FIRST) == ["airqino.co 2024-03-01", "airqino.pm25 2024-03-01"]
        assert champions(SECOND, before) == []
        assert champions(THIRD, None) == ["airqino.co 2024-03-03", "airqino.pm25 2024-03-03"]

    def test_doctor_is_answered(self, tmp_path: Path) -> None:
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        assert MlflowExperiments(uri).examine() == f"MLflow at {uri} answers"

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "mlflow.db").write_text("no database" * 1000)
        log = MlflowExperiments(f"sqlite:///{tmp_path}/mlflow.db")
        with pytest.raises(RecordError, match=r"not a database.*AQ_MLFLOW_TRACKING_URI"):
            log.record("airqino", [fit(FIRST)], TABLES, TAGS)


@pytest.fixture
def spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the addresses that the writing process connects to or looks up."""
    return note_addresses(tmp_path, monkeypatch)


@with_mlflow
@pytest.mark.server
@pytest.mark.usefixtures("temporary")
class TestFailures:
    def test_a_server_that_is_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-long-password")
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            uri = f"http://127.0.0.1:{held.getsockname()[1]}"
            with pytest.raises(RecordError) as refused:
                MlflowExperiments(uri).record("airqino", [fit(FIRST)], TABLES, TAGS)
            with pytest.raises(PermanentFailure, match=re.escape(uri)):
                MlflowExperiments(uri).examine()
        said = str(refused.value)
        assert said.startswith(f"MLflow at {uri} did not take it: ")
        assert "aq doctor" in said
        assert "a-long-password" not in said

    def test_one_that_says_nothing_costs_no_more_than_the_limit(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(RecordError, match=r"did not take it within 0\.5 s"):
                MlflowExperiments(uri, limit_seconds=0.5).record(
                    "airqino", [fit(FIRST)], TABLES, TAGS
                )


@with_mlflow
@pytest.mark.server
def test_a_writer_whose_run_was_killed_ends_by_itself(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "order.json").write_text(json.dumps({"uri": uri}))
        seconds = str(0.5 - GRACE_SECONDS)
        command = [sys.executable, "-m", "aq_resources.mlflow_writer", str(tmp_path), seconds]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGALRM


@pytest.mark.server
@pytest.mark.usefixtures("temporary")
def test_a_process_that_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "find_spec", lambda name: name)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    log = MlflowExperiments("http://127.0.0.1:9")
    with pytest.raises(RecordError, match="cannot be used: exit 1"):
        log.record("airqino", [fit(FIRST)], TABLES, TAGS)


def test_without_mlflow_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(experiments, "find_spec", lambda name: None)
    with pytest.raises(RecordError, match=r"pip install '\.\[mlflow\]'"):
        MlflowExperiments("http://127.0.0.1:9").record("airqino", [fit(FIRST)], TABLES, TAGS)


def test_a_temporary_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "find_spec", lambda name: name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(RecordError, match=r"cannot be used: .*No such file"):
        MlflowExperiments("http://127.0.0.1:9").record("airqino", [fit(FIRST)], TABLES, TAGS)


def test_off_by_default() -> None:
    off = open_experiments("", None)
    assert not off.on
    with pytest.raises(RecordError, match="AQ_MLFLOW_TRACKING_URI"):
        off.record("airqino", [fit(FIRST)], TABLES, TAGS)
    assert isinstance(off, NoExperiments)
    assert isinstance(open_experiments("http://127.0.0.1:9", None), MlflowExperiments)
    assert "mlflow" not in sys.modules
