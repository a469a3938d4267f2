"""Every declared table of the warehouse, by name."""

from __future__ import annotations

from aq_science.tables.countries import COUNTRIES
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.daily_averages_by_rule import DAILY_AVERAGES_BY_RULE
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.exceedances import EXCEEDANCES
from aq_science.tables.forecast_report import FORECAST_REPORT
from aq_science.tables.forecast_scores import FORECAST_SCORES, FORECAST_SCORES_BY_MODEL
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.gaps import GAPS
from aq_science.tables.hourly_indices import HOURLY_INDICES
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.index_categories import INDEX_CATEGORIES
from aq_science.tables.network_parameters import NETWORK_PARAMETERS
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.tables.refused_readings import REFUSED_READINGS
from aq_science.tables.revisions import REVISIONS
from aq_science.tables.station_history import STATION_HISTORY
from aq_science.tables.station_places import STATION_PLACES
from aq_science.tables.stations import STATIONS
from aq_science.tables.window_averages import WINDOW_AVERAGES

# What some networks list beside their stations.
DIMENSIONS = {table.name: table for table in (COUNTRIES, NETWORK_PARAMETERS)}
# Tables of readings that are pushed.
OF_DEVICES = (WINDOW_AVERAGES, REFUSED_READINGS)
# Tables that some networks have alone.
SOME_HAVE = {
    **DIMENSIONS,
    **{table.name: table for table in (STATION_PLACES, *OF_DEVICES)},
}

OF_THE_CHAIN = (
    DAILY_AVERAGES,
    DAILY_AVERAGES_BY_RULE,
    DATA_QUALITY,
    EXCEEDANCES,
    FORECASTS,
    FORECAST_REPORT,
    FORECAST_SCORES,
    FORECAST_SCORES_BY_MODEL,
    GAPS,
    HOURLY_INDICES,
    REVISIONS,
    STATION_HISTORY,
)

WAREHOUSE_TABLES = {
    STATIONS.name: STATIONS,
    **SOME_HAVE,
    **{table.name: table for table in OF_THE_CHAIN},
}

# Views over files of the object store.
WAREHOUSE_VIEWS = {table.name: table for table in (HOURLY_READINGS, RAW_PULLS)}

# Views over rows that are part of the program, in the schema over all networks alone.
REFERENCE_VIEWS = {table.name: table for table in (INDEX_CATEGORIES,)}
