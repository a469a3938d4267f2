"""Models of a whole network through the chain: fitted on Mondays, however a range is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from aq_platform.definitions import build_defs
from aq_platform.runs import Runner
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles
from aq_sandbox.server import RunningSandbox
from aq_science.forecasting.methods import gradient_boosting
from tests.contract.conftest import NOW, STATIONS

pytestmark = pytest.mark.usefixtures("lightgbm")

LAST = NOW.date()
FIRST = LAST - timedelta(days=20)
FITTED = ["parameter", "lag", "trained_to", "trained_from", "n_readings", "learned"]


@pytest.fixture
def services(configure: Callable[..., None], sandbox: RunningSandbox) -> Iterator[Services]:
    configure(sandbox, airqino={"start_date": FIRST.isoformat(), "stations": STATIONS})
    sandbox.set_clock(NOW)
    with closing(Services.from_environment(now=lambda: NOW)) as services:
        yield services


@pytest.fixture
def runner(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    # How good they are is not asked here.
    monkeypatch.setattr(gradient_boosting, "ROUNDS", 20)
    monkeypatch.setattr(gradient_boosting, "SIZE_ROUNDS", 10)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Runner(services, build_defs(services), instance)


def fit(runner: Runner, config: NetworkConfig, first: date, last: date) -> None:
    result = runner.again(config, "network_models", (first.isoformat(), last.isoformat()))
    assert result.failures == []


def fits(files: DayFiles) -> pl.DataFrame:
    """What was fitted, whichever day's file holds it."""
    return files.scan_days(files.days()).select(FITTED).sort(FITTED[:3]).collect()


def test_a_range_gives_the_same_models_however_it_is_cut_and_they_serve(
    services: Services, runner: Runner
) -> None:
    config = services.networks["airqino"]
    for result in runner.backfill(config, FIRST, LAST):
        assert result.failures == []
    files = services.files.day_files("airqino", "network_models")
    fit(runner, config, LAST - timedelta(days=9), LAST)
    whole = fits(files)
    mondays = sorted(set(whole["trained_to"]))
    assert all(day.weekday() == 0 for day in mondays)
    assert LAST - mondays[-1] < timedelta(days=7)
    assert len(mondays) in (2, 3)
    assert whole["learned"].null_count() < len(whole)

    # Not a Monday's file alone: the first day that needs a fit which is not there makes it.
    for day in files.days():
        services.object_store.delete(files.key(day))
    for first, last in ((9, 6), (5, 1), (0, 0)):
        fit(runner, config, LAST - timedelta(days=first), LAST - timedelta(days=last))
    assert fits(files).equals(whole)
    # Once more: the same file.
    before = files.scan_days([LAST]).collect()
    fit(runner, config, LAST, LAST)
    assert files.scan_days([LAST]).collect().equals(before)

    # And they compete, serve and are found again.
    for result in runner.refresh(config):
        assert result.failures == []
    models = services.files.day_files("airqino", "forecast_models").scan_days([LAST]).collect()
    candidates = models.explode("candidates").unnest("candidates")
    assert "gradient_boosting" in candidates["method"].to_list()
    served = services.warehouse.read("SELECT DISTINCT model FROM airqino.forecasts")
    assert served.height > 0
    wanted = set(models["model"]) & {"gradient_boosting"}
    assert wanted <= set(served["model"])
