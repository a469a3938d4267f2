"""The chain of assets, checks and jobs that every network gets from its entry in networks.yaml."""

from __future__ import annotations

import dagster as dg

from aq_assets.checks import build_checks
from aq_assets.daily_averages import Condition, build_daily_averages
from aq_assets.dimensions import build_dimension
from aq_assets.forecast_scores import build_forecast_scores
from aq_assets.forecasts import build_forecast_models, build_forecasts
from aq_assets.hourly_readings import build_hourly_readings
from aq_assets.jobs import build_jobs
from aq_assets.raw_pulls import build_raw_pulls
from aq_assets.stations import build_stations
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_dimensions


def build_chain(config: NetworkConfig, daily_condition: Condition | None = None) -> dg.Definitions:
    """Definitions of one network; its averages follow by themselves by ``daily_condition``."""
    return dg.Definitions(
        assets=[
            build_stations(config),
            *(build_dimension(config, name) for name in network_dimensions(config.name)),
            build_raw_pulls(config),
            build_hourly_readings(config),
            build_daily_averages(config, daily_condition),
            build_forecast_models(config),
            build_forecasts(config),
            build_forecast_scores(config),
        ],
        asset_checks=build_checks(config),
        jobs=build_jobs(config),
    )
