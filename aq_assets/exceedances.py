"""How the years of a network's stations compare with limits and guidelines."""

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.metadata import table_metadata
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_science.limits import exceedances
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.exceedances import EXCEEDANCES

_READ = ("network", "station_id", "parameter", "date", "mean", "max_8h_mean", "valid")
_SHOWN = 50


def build_exceedances(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/exceedances`: one row a station, parameter, year and limit."""

    @asset(
        **described(
            config,
            "exceedances",
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=EXCEEDANCES,
        ),
        deps=[dg.AssetKey([config.name, "daily_averages"])],
        description=(
            f"Days and annual means of {title(config)} above the levels of WHO 2021, "
            "2008/50/EC and (EU) 2024/2881, with data capture."
        ),
    )
    def over_limits(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> pl.DataFrame:
        rows = exceedances(services.warehouse.rows(config.name, DAILY_AVERAGES, columns=_READ))
        worst = rows.filter("exceeded").sort("days_over", descending=True, nulls_last=True)
        shown = worst.drop("network", "unit").head(_SHOWN)
        context.add_output_metadata(
            {"exceeded": len(worst), "worst": table_metadata(shown), "limits": len(rows)}
        )
        return rows

    return over_limits
