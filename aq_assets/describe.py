"""How an asset presents itself: key, group, owner, kinds, columns, attribution, freshness."""

from __future__ import annotations

from typing import Any

import dagster as dg

from aq_assets.freshness import freshness_policy
from aq_assets.lineage import column_lineage
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_attribution, network_title
from aq_resources.warehouse.ddl import sql_type
from aq_science.tables.core import Table

OWNER = "team:air-quality"
# Keys of the resources. Assets, checks and sensors ask for the first by a parameter of that name.
SERVICES = "services"
FILES = "s3_io_manager"
TABLES = "duckdb_io_manager"

# What every hour brings, so that its absence means something.
_HOURLY = frozenset({"raw_pulls", "hourly_readings", "daily_averages", "forecasts"})


def described(
    config: NetworkConfig,
    name: str,
    *,
    io_manager: str,
    kinds: set[str],
    table: Table,
) -> dict[str, Any]:
    """Arguments of `@asset` that are the same for every asset of a chain.

    Args:
        config: The network, which is key prefix, group and tag.
        name: Name of the asset within the network.
        io_manager: `FILES` or `TABLES`.
        kinds: What it is made of or with, for the UI, without the store.
        table: The declared columns.

    Returns:
        Keyword arguments.
    """
    return {
        "name": name,
        "key_prefix": [config.name],
        "group_name": config.name,
        "owners": [OWNER],
        "kinds": kinds,
        "io_manager_key": io_manager,
        "metadata": {
            "attribution": network_attribution(config.name),
            "dagster/column_schema": column_schema(table),
            **column_lineage(config.name, name),
        },
        "tags": {"network": config.name},
        "freshness_policy": freshness_policy(config) if name in _HOURLY else None,
    }


def stored_on_s3(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset with `s3` among its kinds, if the object store keeps it."""
    if any(asset.get_io_manager_key_for_asset_key(key) == FILES for key in asset.keys):
        return asset.map_asset_specs(lambda s: s.replace_attributes(kinds={*s.kinds, "s3"}))
    return asset


def column_schema(table: Table) -> dg.TableSchema:
    """The declared columns as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name, sql_type(column.dtype).lower(), description=column.described
            )
            for column in table.columns
        ]
    )


def title(config: NetworkConfig) -> str:
    """The network's name as people write it."""
    return network_title(config.name)
