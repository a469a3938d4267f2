"""From which columns each derived column is made, for tools that read Dagster's lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

_VALID = ("hourly_readings.value", "hourly_readings.flag")
_DAY = ("hourly_readings.hour", "stations.timezone")
_BODY = ("raw_pulls.body",)
_FORECAST = (*_VALID, "forecast_models.candidates", "network_models.learned")
_ERROR = ("forecasts.value", *_VALID)
_INTERVAL_80 = ("forecasts.lower_80", "forecasts.upper_80", *_VALID)
_INTERVAL_95 = ("forecasts.lower_95", "forecasts.upper_95", *_VALID)
_SCORES = {
    **dict.fromkeys(("mae", "rmse", "bias", "n", "n_persistence"), _ERROR),
    "mae_persistence": _VALID,
    "skill": _ERROR,
    **dict.fromkeys(("coverage_80", "interval_score_80"), _INTERVAL_80),
    **dict.fromkeys(("coverage_95", "interval_score_95"), _INTERVAL_95),
    "pinball": tuple(dict.fromkeys((*_ERROR, *_INTERVAL_80, *_INTERVAL_95))),
}

# By asset and column; columns that are the key's alone are left out.
MADE_FROM: Mapping[str, Mapping[str, Sequence[str]]] = {
    "hourly_readings": {
        "value": _BODY,
        "value_native": _BODY,
        "unit_native": _BODY,
        "coverage": _BODY,
        "status": _BODY,
        "sensor_id": _BODY,
        "flag": _BODY,
        "reasons": _BODY,
        "pulled_at": ("raw_pulls.pulled_at",),
        "revision": (*_BODY, "raw_pulls.pulled_at"),
    },
    "daily_averages": {
        "date": _DAY,
        "timezone": ("stations.timezone",),
        **dict.fromkeys(("mean", "minimum", "maximum", "max_8h_mean", "aqi"), (*_VALID, *_DAY)),
        **dict.fromkeys(("who_2021_exceeded", "aqi_category", "reason"), (*_VALID, *_DAY)),
        "hours_valid": (*_VALID, *_DAY),
        "hours_present": ("hourly_readings.value", *_DAY),
        "hours_expected": ("stations.timezone",),
        "completeness": (*_VALID, *_DAY),
        "valid": (*_VALID, *_DAY),
        "mean_all_hours": ("hourly_readings.value", *_DAY),
    },
    "daily_averages_by_rule": {
        "date": _DAY,
        **dict.fromkeys(("mean", "hours_valid", "completeness", "valid"), (*_VALID, *_DAY)),
        "hours_expected": ("stations.timezone",),
    },
    "forecasts": dict.fromkeys(
        ("value", "lower_80", "upper_80", "lower_95", "upper_95"), _FORECAST
    ),
    "forecast_scores": _SCORES,
    "forecast_scores_by_model": {**_SCORES, "model": ("forecasts.model",)},
    "forecast_report": {
        "month": ("forecast_scores_by_model.date",),
        "model": ("forecast_scores_by_model.model",),
        **{
            name: (f"forecast_scores_by_model.{name}", "forecast_scores_by_model.n")
            for name in _SCORES
            if name != "n"
        },
        "n": ("forecast_scores_by_model.n",),
    },
    "window_averages": {
        **dict.fromkeys(("count", "mean", "minimum", "maximum", "late"), _BODY),
        **dict.fromkeys(("expected", "partial", "received_at"), _BODY),
    },
    "refused_readings": dict.fromkeys(("field", "reason", "raw", "received_at"), _BODY),
    "gaps": {
        "cause": ("hourly_readings.flag", "hourly_readings.reasons", "raw_pulls.pulled_at"),
        "tests": ("hourly_readings.reasons",),
    },
    "hourly_indices": dict.fromkeys(
        ("nowcast", "nowcast_aqi", "nowcast_category", "european_level", "european_category"),
        _VALID,
    ),
    "data_quality": {
        **dict.fromkeys(
            ("hours_valid", "hours_suspect", "hours_invalid", "hours_present"),
            ("hourly_readings.flag",),
        ),
        "hours_revised": ("hourly_readings.revision",),
        "mean_coverage": ("hourly_readings.coverage",),
        "tests": ("hourly_readings.reasons",),
    },
    "revisions": {
        "value_before": _BODY,
        "value_after": _BODY,
        "change": _BODY,
        "status_after": _BODY,
        "changed_at": ("raw_pulls.pulled_at",),
        "known_since": ("raw_pulls.pulled_at",),
    },
    "exceedances": {
        "annual_mean": ("daily_averages.mean", "daily_averages.valid"),
        "days_valid": ("daily_averages.valid",),
        "data_capture": ("daily_averages.valid",),
        "days_over": ("daily_averages.mean", "daily_averages.max_8h_mean", "daily_averages.valid"),
        "exceeded": ("daily_averages.mean", "daily_averages.max_8h_mean", "daily_averages.valid"),
    },
    "station_history": {
        name: (f"stations.{name}",)
        for name in ("name", "latitude", "longitude", "country", "city", "timezone")
    },
}


def column_lineage(network: str, asset: str) -> dict[str, dg.TableColumnLineage]:
    """The metadata that says where a network's asset has its columns from; none where nothing does.

    >>> lineage = column_lineage("airqino", "gaps")["dagster/column_lineage"]
    >>> lineage.deps_by_column["tests"][0].asset_key.to_user_string()
    'airqino/hourly_readings'
    """
    columns = MADE_FROM.get(asset)
    if columns is None:
        return {}
    by_column = {
        name: [
            dg.TableColumnDep(asset_key=dg.AssetKey([network, upstream]), column_name=column)
            for upstream, _, column in (source.partition(".") for source in sources)
        ]
        for name, sources in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(by_column)}
