"""What a network lists beside its stations: OpenAQ's countries and parameters."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.metadata import table_metadata
from aq_resources.network_client import DimensionClient
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.tables.registry import WAREHOUSE_TABLES


def build_dimension(config: NetworkConfig, name: str) -> dg.AssetsDefinition:
    """`<network>/<name>`: the table as the network lists it today."""
    table = WAREHOUSE_TABLES[name]

    @asset(
        **described(
            config,
            name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=table,
        ),
        pool=config.name,
        output_required=False,
        description=f"The {name} of {title(config)}, as it lists them today.",
    )
    def dimension(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> Iterator[dg.Output[pl.DataFrame]]:
        client = services.client(config.name)
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
