"""The chain of assets, checks and jobs that every network gets from its entry in networks.yaml."""

from __future__ import annotations

import dagster as dg

from aq_assets.checks import build_checks
from aq_assets.daily_averages import Condition, build_daily_averages
from aq_assets.daily_averages_by_rule import build_daily_averages_by_rule
from aq_assets.data_quality import build_data_quality
from aq_assets.describe import stored_on_s3
from aq_assets.dimensions import build_dimension
from aq_assets.exceedances import build_exceedances
from aq_assets.forecast_models import build_forecast_models
from aq_assets.forecast_report import build_forecast_report
from aq_assets.forecast_scores import build_forecast_scores, build_forecast_scores_by_model
from aq_assets.forecasts import build_forecasts
from aq_assets.gaps import build_gaps
from aq_assets.hourly_indices import build_hourly_indices
from aq_assets.hourly_readings import build_hourly_readings
from aq_assets.jobs import build_jobs
from aq_assets.network_models import build_network_models
from aq_assets.publication import build_publication
from aq_assets.raw_pulls import build_raw_pulls
from aq_assets.refused_readings import build_refused_readings
from aq_assets.revisions import build_revisions
from aq_assets.station_history import build_station_history
from aq_assets.station_places import build_station_places
from aq_assets.stations import build_stations
from aq_assets.window_averages import build_window_averages
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_dimensions, network_has_places, network_is_pushed


def build_chain(
    config: NetworkConfig, daily_condition: Condition | None = None, *, on_s3: bool = False
) -> dg.Definitions:
    """Definitions of one network.

    Args:
        config: The network's entry in networks.yaml.
        daily_condition: When daily averages follow by themselves; never without it.
        on_s3: Whether the object store is S3, which the UI then shows.

    Returns:
        Assets, checks and jobs.
    """
    assets = [
        build_stations(config),
        build_station_history(config),
        *(build_dimension(config, name) for name in network_dimensions(config.name)),
        build_raw_pulls(config),
        *([build_station_places(config)] if network_has_places(config.name) else []),
        *(
            [build_window_averages(config), build_refused_readings(config)]
            if network_is_pushed(config.name)
            else []
        ),
        build_hourly_readings(config),
        build_daily_averages(config, daily_condition),
        build_daily_averages_by_rule(config),
        build_network_models(config),
        build_forecast_models(config),
        build_forecasts(config),
        build_forecast_scores(config),
        build_forecast_scores_by_model(config),
        build_forecast_report(config),
        build_gaps(config),
        build_hourly_indices(config),
        build_revisions(config),
        build_data_quality(config),
        build_exceedances(config),
        build_publication(config, on_s3=on_s3),
    ]
    return dg.Definitions(
        assets=[stored_on_s3(asset) for asset in assets] if on_s3 else assets,
        asset_checks=build_checks(config),
        jobs=build_jobs(config),
    )
