"""Messages of devices that were refused."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import TABLES, described, title
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of
from aq_assets.stream import Progress
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.devices.bodies import REFUSED, refusals_of
from aq_resources.stores.raw_pulls import RawPullStore, folder_name
from aq_science.tables.refused_readings import REFUSED_READINGS
from aq_science.windows import Window


def build_refused_readings(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/refused_readings`: one row a message."""

    @asset(
        **described(
            config,
            REFUSED_READINGS.name,
            io_manager=TABLES,
            kinds={"duckdb", "polars"},
            table=REFUSED_READINGS,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        description=f"Messages of {title(config)} that were not taken, with the reason.",
    )
    def refused(context: dg.AssetExecutionContext, raw_pulls: RawPullStore) -> FrameStream:
        asked = window_of(context)

        def days() -> Iterator[tuple[Window, pl.DataFrame]]:
            for day in asked.dates:
                window = Window.of_days(day, day)
                yield window, _of_day(raw_pulls, window, config.name)

        return FrameStream(days(), progress=Progress(context, asked))

    return refused


def _of_day(pulls: RawPullStore, day: Window, network: str) -> pl.DataFrame:
    answers = pulls.read(folder_name(day))
    parts = [refusals_of(answer) for answer in answers if answer.status == REFUSED]
    if not parts:
        return REFUSED_READINGS.schema.to_frame()
    rows = pl.concat(parts).with_columns(
        network=pl.lit(network), date=pl.col("received_at").dt.date()
    )
    return (
        rows.select(pl.col(name).cast(kind) for name, kind in REFUSED_READINGS.schema.items())
        .unique(REFUSED_READINGS.key)
        .sort(REFUSED_READINGS.key)
    )
