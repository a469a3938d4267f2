"""How the networks are: now, and day by day."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import TABULAR, Answer
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.current_air import LATEST_READINGS_WITHIN
from aq_science.network_health import network_health
from aq_science.newest_hours import newest_hours
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.gaps import CAUSES, GAPS
from aq_science.tables.network_health import NETWORK_DAYS, NETWORKS
from aq_science.windows import Window
from aq_serving.context import Context
from aq_serving.parsing import instant_text
from aq_serving.published import quarter_of
from aq_serving.queries import Days, Form, Network
from aq_serving.ranges import days_of
from aq_serving.recent import recent_hours
from aq_serving.resource import answer_in_form, resource

_CHOSEN = "network = ANY(?::VARCHAR[]) AND date >= ?::DATE AND date < ?::DATE"
_DAYS = f"""
WITH days AS (
    SELECT network, date, count(DISTINCT station_id) AS stations,
           count(DISTINCT station_id) FILTER (hours_present > 0) AS sending,
           sum(hours_expected) AS hours_expected, sum(hours_valid) AS hours_valid,
           sum(hours_present - hours_valid) AS hours_flagged,
           sum(hours_expected - hours_present) AS hours_missing
    FROM {UNION_SCHEMA}.{DAILY_AVERAGES.name} WHERE {_CHOSEN} GROUP BY network, date
), quality AS (
    SELECT network, date, sum(hours_revised) AS hours_revised
    FROM {UNION_SCHEMA}.{DATA_QUALITY.name} WHERE {_CHOSEN} GROUP BY network, date
), gaps AS (
    SELECT network, date,
           {", ".join(f"sum(hours) FILTER (cause = '{one}') AS gap_{one}" for one in CAUSES)}
    FROM {UNION_SCHEMA}.{GAPS.name} WHERE {_CHOSEN} GROUP BY network, date
)
SELECT days.*, stations - sending AS stations_silent, hours_revised,
       {", ".join(f"coalesce(gap_{cause}, 0) AS gap_{cause}" for cause in CAUSES)}
FROM days LEFT JOIN quality USING (network, date) LEFT JOIN gaps USING (network, date)
ORDER BY date, network
"""


class NetworksQuery(Form):
    """Parameters of `/networks`."""

    network: list[Network] = Field([], description="Networks; all that are taken in without")


class NetworkDaysQuery(NetworksQuery, Days):
    """Parameters of `/network-days`."""


def router(context: Context) -> APIRouter:
    """The resources `/networks` and `/network-days`."""
    found = APIRouter(tags=["networks"])
    more: dict[str, Any] = {"now": (str, ...)}

    @resource(found, "/networks", NETWORKS, TABULAR, more)
    def networks(request: Request, asked: Annotated[NetworksQuery, Query()]) -> Response:
        """How new the readings of each network are, and how many of its stations send."""
        return answer_in_form(request, asked.format, TABULAR, lambda: _health(context, asked))

    @resource(found, "/network-days", NETWORK_DAYS, TABULAR)
    def network_days(request: Request, asked: Annotated[NetworkDaysQuery, Query()]) -> Response:
        """Hours of each network by day: valid, flagged and missing, with the causes of gaps.

        A year at most.
        """
        bounds = days_of(asked, known_stations=False)

        def answer() -> Answer:
            values = [_chosen(context, asked), *bounds] * 3
            rows = context.reader.query(_DAYS, values)
            schema = plain_schema(NETWORK_DAYS)
            rows = rows.select(schema.names()).cast(schema)
            return Answer(NETWORK_DAYS, rows, context.directory.credits(rows))

        return answer_in_form(request, asked.format, TABULAR, answer)

    return found


def _chosen(context: Context, asked: NetworksQuery) -> list[str]:
    wanted = asked.network or list(context.silence)
    return sorted(name for name in wanted if name in context.silence)


def _health(context: Context, asked: NetworksQuery) -> Answer:
    chosen = _chosen(context, asked)
    present, now = context.present, context.now()
    if present.published is None:
        window = Window(now - LATEST_READINGS_WITHIN, now)
        hours = newest_hours(recent_hours(context.reader, chosen, window), now)
    else:
        hours = present.published.newest_hours
    allowed = {name: context.silence[name] for name in chosen}
    stations = present.directory.stations.filter(pl.col("network").is_in(chosen))
    rows = network_health(hours, stations, allowed, now).cast(plain_schema(NETWORKS))
    more = {"now": instant_text(quarter_of(now))}
    return Answer(NETWORKS, rows, present.directory.credits(rows), more=more)
