"""The notebook, executed: five answers of the API over what the command made of the sandbox."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aq_client import Client
from aq_resources.services import Services
from aq_sandbox.server import RunningSandbox
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from tests.conftest import ROOT
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, Invoke, days_ago
from tests.unit.serving.in_process import InProcess

NOTEBOOK = ROOT / "notebooks" / "five_questions.py"


@pytest.fixture
def installation(
    _sandbox: RunningSandbox, once: Callable[[str, Callable[[Path], None]], Path]
) -> Installation:
    """Nine days of two stations; hindcasts of one, with their scores."""

    def described(folder: Path) -> Installation:
        return (
            Installation(folder)
            .with_networks(airqino={"start_date": days_ago(30), "stations": STATIONS})
            .with_settings(**_sandbox.environment)
        )

    def make(folder: Path) -> None:
        described(folder).backfill(days_ago(10), days_ago(3))
        described(folder).backfill(days_ago(2), days_ago(2), "--forecasts")

    return described(once("notebook", make))


def definitions(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the notebook's cells define, executed over the API in this process."""
    spec = importlib.util.spec_from_file_location("five_questions", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    for name, value in installation.environment.items():
        monkeypatch.setenv(name, value)
    with closing(Services.from_environment()) as services:
        transport = InProcess(create_app(services, ApiSettings()))
        with Client("http://api", transport=transport) as air:
            _, found = notebook.app.run(defs={"air": air})
    return dict(found)


def test_it_answers_as_the_warehouse_does(
    installation: Installation, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def query(sql: str) -> list[dict[str, Any]]:
        result = invoke(installation, "query", sql, "--format", "json")
        assert result.exit_code == 0, result.stderr
        rows: list[dict[str, Any]] = json.loads(result.stdout)
        return rows

    (worst,) = query(
        "SELECT station_id, avg(mean) AS mean FROM air_quality.daily_averages "
        "WHERE parameter = 'pm25' AND valid GROUP BY station_id ORDER BY mean DESC LIMIT 1"
    )
    (together,) = query(
        "SELECT count(*) AS hours FROM airqino.hourly_readings co "
        "JOIN airqino.hourly_readings pm25 USING (station_id, hour) "
        "WHERE co.parameter = 'co' AND pm25.parameter = 'pm25' "
        "AND co.flag = 'valid' AND pm25.flag = 'valid'"
    )
    (scored,) = query("SELECT sum(n)::INTEGER AS n FROM air_quality.forecast_scores")
    (complete,) = query(
        "SELECT sum(hours_valid) / sum(hours_expected) AS share FROM air_quality.daily_averages"
    )
    found = definitions(installation, monkeypatch)
    first = found["worst"].row(0, named=True)
    assert first["station_id"] == worst["station_id"]
    assert first["mean"] == pytest.approx(worst["mean"])
    assert found["by_weekday"]["days"].sum() == found["worst"]["days"].sum()
    assert found["by_weekday"].height == 7
    assert scored["n"]
    assert found["skill"]["n"].sum() == scored["n"]
    assert set(found["skill"]["horizon"]) == {1, 2}
    shares = found["complete"].select(
        (pl.col("completeness") * pl.col("hours_expected")).sum() / pl.col("hours_expected").sum()
    )
    assert shares.item() == pytest.approx(complete["share"])
    assert found["together"]["hours"].sum() == together["hours"] > 0
    assert found["credits_due"]["network"].to_list() == ["airqino"]
