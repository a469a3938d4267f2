"""Jobs: the hourly refresh of a network, its forecasts and their scores."""

from __future__ import annotations

import dagster as dg

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_dimensions, network_has_places, network_is_pushed
from aq_resources.warehouse.names import UNION_SCHEMA

# Of all networks.
UNION_PUBLICATION = dg.AssetKey([UNION_SCHEMA, "publication"])
# What follows from forecasts, once readings have come.
SCORES = ("forecast_scores", "forecast_scores_by_model", "forecast_report")
NIGHTLY = ("station_history", *SCORES, "exceedances")
# What values that come late, change or are taken back have an effect on.
REVISABLE = ("revisions", "gaps", "data_quality", "hourly_indices", "daily_averages_by_rule")
READINGS = ("stations", "raw_pulls", "hourly_readings", "daily_averages")


def selection(config: NetworkConfig, *names: str) -> dg.AssetSelection:
    """The named assets of a network."""
    return dg.AssetSelection.assets(*(dg.AssetKey([config.name, name]) for name in names))


def build_jobs(config: NetworkConfig) -> list[dg.UnresolvedAssetJobDefinition]:
    """One job for each step that runs by itself: they differ in partitions or in when they run."""
    name = config.name
    publications = selection(config, "publication") | dg.AssetSelection.assets(UNION_PUBLICATION)
    places = ("station_places",) if network_has_places(name) else ()
    # What only some networks have, and follows from their raw pulls.
    beside = (*places, *(("refused_readings",) if network_is_pushed(name) else ()))
    return [
        *(_pushed_jobs(config) if network_is_pushed(name) else ()),
        dg.define_asset_job(
            f"{name}_refresh",
            selection(config, *READINGS, *beside),
            description="Pull, clean and average the run's UTC days, stations first.",
        ),
        dg.define_asset_job(
            f"{name}_pull",
            selection(config, "stations", "raw_pulls", "hourly_readings", *beside),
            description="Pull and clean the run's UTC days, stations first.",
        ),
        dg.define_asset_job(
            f"{name}_readings",
            selection(config, "raw_pulls", "hourly_readings", *beside),
            description="Pull and clean the run's UTC days.",
        ),
        dg.define_asset_job(
            f"{name}_daily",
            selection(config, "daily_averages"),
            description="Average the run's local days from the readings there are.",
        ),
        dg.define_asset_job(
            f"{name}_models",
            selection(config, "network_models", "forecast_models"),
            description="Fit the forecast models of the run's days, those of the network first.",
        ),
        dg.define_asset_job(
            f"{name}_forecast",
            selection(config, "forecasts") | publications,
            description=(
                "Forecast the two hours after each of the run's issue times, and publish them "
                "with what has come in since."
            ),
        ),
        dg.define_asset_job(
            f"{name}_publish",
            publications,
            description="Publish what there is now; it follows every forecast by itself.",
        ),
        dg.define_asset_job(
            f"{name}_scores",
            selection(config, *SCORES),
            description="Score the forecasts issued on the run's days against what then came.",
        ),
        dg.define_asset_job(
            f"{name}_nightly",
            selection(config, "stations", *network_dimensions(name), *NIGHTLY),
            description=(
                "Describe the stations again and what else the network lists, score the forecasts "
                "issued on the run's days against what then came, and compare the years with the "
                "limits."
            ),
        ),
        dg.define_asset_job(
            f"{name}_revisions",
            selection(config, *REVISABLE),
            description=(
                "List what the network changed of the run's days after they were known, say why "
                "hours are missing, report on data quality, and average the days by the rules of "
                "several regulators."
            ),
        ),
    ]


def _pushed_jobs(config: NetworkConfig) -> list[dg.UnresolvedAssetJobDefinition]:
    """Jobs of a network whose readings come by themselves."""
    name = config.name
    return [
        dg.define_asset_job(
            f"{name}_windows",
            # Each of these runs changes some windows; the rules look at whole days.
            selection(config, "raw_pulls", "window_averages").without_checks(),
            description="Take what was pushed for the run's UTC days into raw pulls and windows.",
        ),
        dg.define_asset_job(
            f"{name}_late",
            selection(config, "raw_pulls", "window_averages", "hourly_readings"),
            description="The same for days whose hours were made before, which it makes again.",
        ),
    ]
