"""Hourly readings of a network: the fold of its raw pulls, in canonical units, flagged."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.common import (
    FILES,
    ONE_RUN,
    PLATFORM,
    Progress,
    daily_partitions,
    described,
    table_metadata,
    title,
    window_of,
)
from aq_assets.plots import lines_by_station, plot
from aq_resources.failures import PermanentFailure
from aq_resources.io_managers import FrameStream
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_resources.raw_pulls import RawPullStore
from aq_resources.tables import HOURLY_READINGS
from aq_resources.versions import VersionReader
from aq_science.readings import fold_versions, hourly_readings
from aq_science.windows import Window

_PLOTTED = "pm25"
# As often as this a window is written again because another run stored pulls over it meanwhile.
_ROUNDS = 5


def build_hourly_readings(config: NetworkConfig) -> dg.AssetsDefinition:
    """``<network>/hourly_readings``: one row a station, parameter and hour."""

    @dg.asset(
        **described(
            config,
            "hourly_readings",
            io_manager=FILES,
            kinds={"s3", "parquet", "polars"},
            schema=HOURLY_READINGS.schema,
            columns=HOURLY_READINGS.columns,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        description=(
            f"Hourly readings of {title(config)}: newest pull wins, canonical units, quality flags "
            "with reasons. Stamps are the UTC start of the hour."
        ),
    )
    def hourly(context: dg.AssetExecutionContext, raw_pulls: RawPullStore) -> FrameStream:
        platform: Platform = getattr(context.resources, PLATFORM)
        window = window_of(context)
        reader = VersionReader(raw_pulls, platform.client(config.name))
        tally = ReadingTally(reader)

        def chunks() -> Iterator[tuple[Window, pl.DataFrame]]:
            for part in window.chunks(platform.chunk):
                for _ in range(_ROUNDS):
                    folded = fold_versions(reader.read(part))
                    frame = hourly_readings(
                        folded, config.name, platform.settings.gas_reference_celsius
                    )
                    yield part, frame
                    # Written by now: another run may have stored more in the meantime.
                    if not reader.outdated(part):
                        break
                tally.add(frame)
            tally.refuse_unreadable(title(config))

        return FrameStream(chunks(), day_details, tally.metadata, Progress(context, window))

    return hourly


def day_details(readings: pl.DataFrame) -> dict[date, dict[str, Any]]:
    """The numbers that the UI plots over days, by day."""
    days = readings.group_by(pl.col("hour").dt.date().alias("day")).agg(
        stations=pl.col("station_id").n_unique(),
        valid_fraction=(pl.col("flag") == "valid").mean(),
        revised=(pl.col("revision") > 0).sum(),
    )
    return {row.pop("day"): row for row in days.iter_rows(named=True)}


class ReadingTally:
    """Counts and a small plot of what went by."""

    def __init__(self, reader: VersionReader) -> None:
        self.reader = reader
        self.flags: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.revised = 0
        self.stations: set[str] = set()
        self._plotted: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take one chunk of readings into account."""
        self.flags.update(dict(frame.group_by("flag").len().iter_rows()))
        fired = frame.filter(pl.col("reasons").list.len() > 0)["reasons"].explode()
        self.reasons.update(dict(fired.value_counts().iter_rows()))
        self.revised += int((frame["revision"] > 0).sum())
        self.stations.update(frame["station_id"].unique().to_list())
        self._plotted.append(
            frame.filter((pl.col("parameter") == _PLOTTED) & (pl.col("flag") == "valid"))
            .group_by("station_id", pl.col("hour").dt.truncate(_step(frame)))
            .agg(pl.col("value").mean())
        )

    def refuse_unreadable(self, network: str) -> None:
        """Fail where not one record of any station could be read: the upstream form changed."""
        if self.reader.unreadable and not self.stations:
            example = next(iter(self.reader.problems.examples.items()))
            (station, kind), text = example
            raise PermanentFailure(
                f"Not one record of {network} could be read, so its answers no longer have the "
                f"known form. First problem: station {station}, {kind}: {text!r}. The answers are "
                "kept: mend the client's parser and materialize this again."
            )

    def metadata(self) -> dict[str, Any]:
        """What to show beside the materialization."""
        total = self.flags.total()
        shown: dict[str, Any] = self._plot()
        shown |= {
            "run_stations": len(self.stations),
            "run_valid_fraction": self.flags["valid"] / total if total else 0.0,
            "run_revised": self.revised,
            "malformed_records": self.reader.problems.total,
            "unreadable_stations": sorted(self.reader.unreadable),
            "flags": dict(self.flags),
            "reasons": dict(self.reasons),
        }
        if self.reader.problems.total:
            shown["problems"] = table_metadata(pl.DataFrame(self.reader.problems.rows()))
        return shown

    def _plot(self) -> dict[str, Any]:
        plotted = pl.concat(self._plotted) if self._plotted else None
        if plotted is None or plotted.is_empty():
            return {}
        lines = lines_by_station(plotted, "hour", "value")
        return {"plot": plot("PM2.5, valid hours", "µg/m³", lines)}


def _step(frame: pl.DataFrame) -> str:
    """Plot by the hour within a few days, by the day beyond."""
    first, last = frame["hour"].min(), frame["hour"].max()
    if first is None or last is None:
        return "1h"
    return "1h" if (last - first).days < 7 else "1d"  # type: ignore[operator,union-attr]
