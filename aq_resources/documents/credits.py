"""Whom to credit for rows, by network and, where stations differ, by station."""

from __future__ import annotations

import polars as pl
from pydantic import BaseModel, Field

from aq_resources.networks import network_attribution, network_licence


class Credit(BaseModel):
    """Whom to credit for some of the rows."""

    network: str = Field(examples=["airqino"])
    attribution: str = Field(description="To be named in what is published from the data")
    licence: str | None = Field(
        description="Licence that the network states for all its data; null where it states none, "
        "or states it by station, within the attribution"
    )


def credits_of(rows: pl.DataFrame, stations: pl.DataFrame) -> list[Credit]:
    """Whom to credit for rows: by station, or by network where they name no station.

    Args:
        rows: Of any table with `network`; others need no credit.
        stations: `STATIONS` with text for its categories.

    Returns:
        In order, each once.
    """
    if "network" not in rows.columns or rows.is_empty():
        return []
    keys = [name for name in ("network", "station_id") if name in rows.columns]
    shown = rows.select(pl.col(keys).cast(pl.String)).unique()
    if "station_id" in keys:
        shown = shown.join(stations.select(*keys, "attribution"), on=keys, how="left").select(
            "network", "attribution"
        )
    else:
        shown = shown.with_columns(attribution=pl.lit(None, pl.String))
    named = {
        (network, text or network_attribution(network))
        for network, text in shown.unique().iter_rows()
    }
    return [
        Credit(network=network, attribution=text, licence=network_licence(network))
        for network, text in sorted(named)
    ]
