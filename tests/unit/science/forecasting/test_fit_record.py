"""What is recorded of a day's models: pooled scores, who serves, settings, and the tables."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.fit_record import fit_record, fit_tables
from aq_science.forecasting.network_models import fit_network_models
from aq_science.forecasting.table import FORECAST_PARAMETERS
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.tables.network_models import NETWORK_MODELS
from tests.unit.science.forecasting.samples import DAY, STATIONS, WEEKS, air, frame

NO_NETWORK = NETWORK_MODELS.schema.to_frame()


def series(station: str, **values: Any) -> dict[str, Any]:
    return {"station_id": station, "parameter": "pm25", "day": DAY, **values}


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    blank = dict.fromkeys(FORECAST_MODELS.schema.names())
    return pl.DataFrame(
        [{**blank, **row} for row in rows], schema=FORECAST_MODELS.schema, orient="row"
    )


def network_model(**values: Any) -> dict[str, Any]:
    return {
        "parameter": "pm25",
        "lag": 1,
        "method": "gradient_boosting",
        "day": DAY,
        "trained_to": DAY,
        "trained_from": datetime(2023, 3, 1),
        "n_stations": 12,
        "n_readings": 90_000,
        "reason": None,
        "learned": "{}",
        **values,
    }


def network_table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=NETWORK_MODELS.schema, orient="row")


class TestMetrics:
    def test_scores_are_of_all_hold_out_forecasts_together(self) -> None:
        scored = {"n_h1": 100, "mae_h1": 2.0, "rmse_h1": 3.0, "mae_persistence_h1": 4.0}
        other = {"n_h1": 300, "mae_h1": 6.0, "rmse_h1": 7.0, "mae_persistence_h1": 8.0}
        metrics = fit_record(
            table(series("a", **scored, skill_h1=0.5), series("b", **other, skill_h1=0.25)),
            NO_NETWORK,
        ).metrics
        assert metrics["pm25_h1/n"] == 400
        assert metrics["pm25_h1/mae"] == 5.0
        assert metrics["pm25_h1/mae_persistence"] == 7.0
        assert metrics["pm25_h1/skill"] == pytest.approx(1 - 5 / 7)
        assert metrics["pm25_h1/rmse"] == pytest.approx(((100 * 9 + 300 * 49) / 400) ** 0.5)
        assert metrics["pm25_h1/skill_lowest"] == 0.25

    def test_who_serves_is_counted_at_each_horizon(self) -> None:
        record = fit_record(
            table(
                series("a", model="persistence", model_h2="gradient_boosting"),
                series("b", model="persistence", model_h2="persistence", reason="flat"),
                series("c", model="gradient_boosting", model_h2="persistence"),
                series("a", parameter="co", model="network_median", model_h2="network_median"),
            ),
            NO_NETWORK,
        )
        assert record.metrics == {
            "co/series": 1,
            "co/without_competition": 0,
            "co_h1/served_by/network_median": 1,
            "co_h2/served_by/network_median": 1,
            "pm25/series": 3,
            "pm25/without_competition": 1,
            "pm25_h1/served_by/persistence": 2,
            "pm25_h1/served_by/gradient_boosting": 1,
            "pm25_h2/served_by/persistence": 2,
            "pm25_h2/served_by/gradient_boosting": 1,
        }
        assert record.served["pm25"]["served_h1"] == "persistence 2, gradient_boosting 1"

    def test_persistence_without_error_leaves_no_skill(self) -> None:
        flat = {"n_h1": 50, "mae_h1": 0.0, "rmse_h1": 0.0, "mae_persistence_h1": 0.0}
        metrics = fit_record(table(series("a", **flat)), NO_NETWORK).metrics
        assert metrics["pm25_h1/mae"] == 0
        assert "pm25_h1/skill" not in metrics
        assert "pm25_h1/skill_lowest" not in metrics

    @given(
        st.lists(
            st.tuples(st.integers(1, 168), st.floats(0.1, 90), st.floats(0.1, 90)),
            min_size=1,
            max_size=8,
        )
    )
    def test_a_network_is_between_its_best_and_worst_series(
        self, scores: list[tuple[int, float, float]]
    ) -> None:
        rows = [
            series(
                str(i), n_h2=n, mae_h2=mae, rmse_h2=mae, mae_persistence_h2=p, skill_h2=1 - mae / p
            )
            for i, (n, mae, p) in enumerate(scores)
        ]
        metrics = fit_record(table(*rows), NO_NETWORK).metrics
        skills = [1 - mae / p for _, mae, p in scores]
        assert min(skills) - 1e-9 <= metrics["pm25_h2/skill"] <= max(skills) + 1e-9
        assert metrics["pm25_h2/skill_lowest"] == pytest.approx(min(skills))
        assert metrics["pm25_h2/rmse"] >= metrics["pm25_h2/mae"] - 1e-9


def test_parameters_name_the_methods_and_the_newer_network_model() -> None:
    models = table(
        series("a", candidates=[{"lag": 1, "method": "prophet_residual"}]),
        series("b", candidates=[{"lag": 1, "method": "persistence"}]),
        series("c"),
    )
    older = network_model(trained_to=DAY - timedelta(days=7), n_readings=80_000)
    record = fit_record(models, network_table(network_model(), older))
    assert record.day == DAY
    assert record.parameters == {
        "training_days": "56",
        "holdout_days": "7",
        "methods": "persistence, prophet_residual",
        "pm25_h1/gradient_boosting/trained_to": "2024-03-01",
        "pm25_h1/gradient_boosting/trained_from": "2023-03-01 00:00:00+00:00",
        "pm25_h1/gradient_boosting/n_stations": "12",
        "pm25_h1/gradient_boosting/n_readings": "90000",
    }


def test_a_network_model_that_learned_nothing_says_why() -> None:
    row = network_model(reason="short", learned=None)
    assert (
        fit_record(table(series("a")), network_table(row)).parameters[
            "pm25_h1/gradient_boosting/reason"
        ]
        == "short"
    )


def test_tables_have_every_series_and_the_models_by_parameter() -> None:
    models = table(series("b"), series("a"), series("a", parameter="co"))
    tables = fit_tables(models, network_table(network_model()))
    assert list(tables) == [
        "series.csv",
        "co/forecast_models.parquet",
        "pm25/forecast_models.parquet",
        "pm25/network_models.parquet",
    ]
    assert tables["series.csv"]["station_id"].to_list() == ["a", "a", "b"]
    assert tables["pm25/forecast_models.parquet"].schema == FORECAST_MODELS.schema
    tables["series.csv"].write_csv()


def test_fitted_models_are_recorded(models: pl.DataFrame) -> None:
    record = fit_record(models, NO_NETWORK)
    assert record.metrics["pm25/series"] == len(STATIONS)
    assert 0 <= record.metrics["pm25_h1/skill"] <= 1
    assert record.metrics["pm25_h1/n"] >= 3 * 7 * 24
    assert "prophet_regression" in record.parameters["methods"]


@pytest.mark.fit
@pytest.mark.usefixtures("lightgbm")
def test_fitted_network_models_are_recorded(models: pl.DataFrame) -> None:
    readings = pl.concat([frame("a", air(WEEKS, 0)[-600:]), frame("b", air(WEEKS, 1)[-600:])])
    network_models = fit_network_models(readings, DAY, DAY)
    assert set(network_models["parameter"]) <= set(FORECAST_PARAMETERS)
    record = fit_record(models, network_models)
    assert record.parameters["pm25_h2/gradient_boosting/trained_to"] == str(date(2024, 3, 1))
    assert record.parameters["pm25_h2/gradient_boosting/n_readings"] == "1200"
    assert "pm25/network_models.parquet" in fit_tables(models, network_models)
