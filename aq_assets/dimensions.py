"""What a network lists beside its stations: OpenAQ's countries and parameters."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from aq_assets.common import PLATFORM, TABLES, described, table_metadata, title
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks._client import DimensionClient
from aq_resources.platform import Platform
from aq_resources.tables import WAREHOUSE_TABLES


def build_dimension(config: NetworkConfig, name: str) -> dg.AssetsDefinition:
    """``<network>/<name>``: the table as the network lists it today."""
    table = WAREHOUSE_TABLES[name]

    @dg.asset(
        **described(
            config,
            name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            schema=table.schema,
            columns=table.columns,
        ),
        pool=config.name,
        output_required=False,
        description=f"The {name} of {title(config)}, as it lists them today.",
    )
    def dimension(context: dg.AssetExecutionContext) -> Iterator[dg.Output[pl.DataFrame]]:
        platform: Platform = getattr(context.resources, PLATFORM)
        client = platform.client(config.name)
        if not isinstance(client, DimensionClient):
            raise TypeError(f"{config.name} names dimensions that its client cannot list")
        listed = client.dimension(name)
        if listed is None:
            context.log.warning("%s lists its %s to those with a key alone.", title(config), name)
            return
        rows = [{"network": config.name, **row} for row in listed]
        frame = pl.DataFrame(rows, schema=table.schema, orient="row").sort(*table.key)
        yield dg.Output(frame, metadata={name: len(frame), "preview": table_metadata(frame)})

    return dimension
