"""What the tables mean, and whom to credit."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from aq_resources.documents.columns import ColumnDescription, describe
from aq_resources.documents.credits import Credit
from aq_resources.networks import known_networks, network_attribution, network_licence
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.exceedances import EXCEEDANCES
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.gaps import GAPS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.index_categories import INDEX_CATEGORIES
from aq_science.tables.latest import LATEST
from aq_science.tables.network_health import NETWORK_DAYS, NETWORKS
from aq_science.tables.overview import OVERVIEW
from aq_serving.problems import not_found
from aq_serving.resource import problem_responses
from aq_serving.stations import STATIONS_WITH_DISTANCE

SERVED = {
    table.name: table
    for table in (
        STATIONS_WITH_DISTANCE,
        OVERVIEW,
        LATEST,
        CURRENT_CATEGORIES,
        HOURLY_READINGS,
        DAILY_AVERAGES,
        GAPS,
        EXCEEDANCES,
        FORECASTS,
        FORECAST_SCORES,
        NETWORKS,
        NETWORK_DAYS,
        INDEX_CATEGORIES,
    )
}


class TableDescription(BaseModel):
    """What a table is."""

    name: str
    description: str
    key: list[str] = Field(description="Columns of which no two rows have the same values")
    columns: list[ColumnDescription]
    rules: dict[str, str] = Field(description="What every row fulfils, by name")


def router() -> APIRouter:
    """The resources `/tables/{name}` and `/attribution`."""
    found = APIRouter(tags=["about"])

    @found.get("/tables/{name}", responses=problem_responses())
    def table(name: str, response: Response) -> TableDescription:
        """Columns, units, key and rules of a table."""
        if name not in SERVED:
            raise not_found(f"No such table. There are: {', '.join(sorted(SERVED))}.")
        response.headers["Cache-Control"] = "public, max-age=3600"
        declared = SERVED[name]
        return TableDescription(
            name=name,
            description=declared.text,
            key=list(declared.key),
            columns=describe(declared),
            rules={rule.name: rule.text for rule in declared.rules},
        )

    @found.get("/attribution", responses=problem_responses())
    def attribution(response: Response) -> list[Credit]:
        """Whom to credit for each network's data; stations may name others (`/stations`)."""
        response.headers["Cache-Control"] = "public, max-age=3600"
        return [
            Credit(
                network=name, attribution=network_attribution(name), licence=network_licence(name)
            )
            for name in known_networks()
        ]

    return found
