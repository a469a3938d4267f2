"""What is published: compact files on the object store that any static server can hand out."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import OWNER, title
from aq_resources.documents.columns import plain_schema
from aq_resources.documents.credits import credits_of
from aq_resources.documents.forms import Answer, Format
from aq_resources.failures import PermanentFailure
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_attribution
from aq_resources.publication.manifest import Manifest, PublishedFile
from aq_resources.publication.publisher import Publisher, merged, stored_manifest
from aq_resources.publication.reading import read_rows
from aq_resources.services import Services
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.current_air import (
    HOURS_FOR_NOWCAST,
    LATEST_FORECASTS_WITHIN,
    LATEST_READINGS_WITHIN,
    current_categories,
    latest,
)
from aq_science.newest_hours import newest_hours
from aq_science.tables.core import Table
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.latest import LATEST
from aq_science.tables.newest_hours import NEWEST_HOURS
from aq_science.tables.stations import STATIONS
from aq_science.windows import HOUR, Window

NAME = "publication"
# Networks and what there is of each, in the order in which it comes to be.
PUBLISHED_FROM = ("stations", "hourly_readings", "daily_averages", "forecasts")
SPATIAL = (Format.json, Format.geojson, Format.parquet)
TABULAR = (Format.json, Format.parquet)
# A month with more rows than this is published as Parquet alone: its JSON has 100 MB.
MOST_ROWS_OF_JSON = 200_000
# Bounds memory: a month's rows, and its forms, for each.
_MONTHS_AT_ONCE = 4
# The present of each network, published over all as well.
NOW: dict[str, tuple[Table, tuple[Format, ...]]] = {
    "stations": (STATIONS, SPATIAL),
    "latest": (LATEST, SPATIAL),
    "category": (CURRENT_CATEGORIES, TABULAR),
    NEWEST_HOURS.name: (NEWEST_HOURS, (Format.parquet,)),
}
_NEEDED = (
    *("network", "station_id", "parameter", "hour", "value", "unit", "flag", "reasons"),
    "pulled_at",
)


def build_publication(config: NetworkConfig, *, on_s3: bool = False) -> dg.AssetsDefinition:
    """`<network>/publication`: the network's files, and their manifest."""

    @asset(
        **_described(config.name, config.name, on_s3=on_s3),
        tags={"network": config.name},
        metadata={"attribution": network_attribution(config.name)},
        deps=[dg.AssetKey([config.name, name]) for name in PUBLISHED_FROM],
        description=(
            f"Latest readings and forecasts, categories, stations and daily averages of "
            f"{title(config)} as immutable JSON, GeoJSON and Parquet files, and the manifest "
            "that names those that belong together."
        ),
    )
    def publication(services: dg.ResourceParam[Services]) -> dg.MaterializeResult[None]:
        return publish_network(services, config.name)

    return publication


def build_union_publication(networks: list[str], *, on_s3: bool = False) -> dg.AssetsDefinition:
    """`air_quality/publication`: the present of all networks, and the manifest of everything."""

    @asset(
        **_described(UNION_SCHEMA, UNION_SCHEMA, on_s3=on_s3),
        deps=[dg.AssetKey([network, NAME]) for network in networks],
        description=(
            "Latest readings and forecasts, categories and stations of all networks as immutable "
            "files, and the one manifest that names everything published. A network whose own "
            "manifest cannot be read is left out."
        ),
    )
    def publication(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> dg.MaterializeResult[None]:
        return publish_union(services, networks, context.log.warning)

    return publication


def publish_network(services: Services, network: str) -> dg.MaterializeResult[None]:
    """Publish what there is of a network now."""
    publisher = Publisher(services.object_store, network)
    stations = services.warehouse.rows(network, STATIONS).cast(plain_schema(STATIONS))
    now = services.now()
    frames = {"stations": stations.sort(STATIONS.key)}
    frames |= _of_now(services, network, stations, now)
    files = _publish_now(publisher, frames)
    months, averages = _publish_months(services, publisher, network, stations)
    newest = frames["latest"]
    manifest = Manifest(
        newest_hour=_newest(newest, "hour"),
        newest_issue=_newest(newest, "issued_for"),
        files={**files, **averages},
        months=months,
    )
    return _result(publisher, manifest, stations=stations.height, months=len(months))


def publish_union(
    services: Services, networks: list[str], warn: Callable[..., None]
) -> dg.MaterializeResult[None]:
    """Publish what the networks have published, as one.

    Args:
        services: The object store.
        networks: Their names.
        warn: Gets the reason where a network is left out, as a logger does.

    Returns:
        What the UI shows.
    """
    publisher = Publisher(services.object_store)
    while True:
        manifests = _manifests(services, networks)
        whole, frames = _over_all(services, manifests, warn)
        manifest = merged(whole, _publish_now(publisher, frames))
        result = _result(publisher, manifest, networks=len(whole))
        # Runs of several networks do this at once. Whoever is the last to write has looked
        # after that, and so has seen what all others published before they wrote.
        if _manifests(services, networks) == manifests:
            return result


def _described(prefix: str, group: str, *, on_s3: bool) -> dict[str, Any]:
    return {
        "name": NAME,
        "key_prefix": [prefix],
        "group_name": group,
        "owners": [OWNER],
        "kinds": {"json", "parquet", *(["s3"] if on_s3 else [])},
    }


def _of_now(
    services: Services, network: str, stations: pl.DataFrame, now: datetime
) -> dict[str, pl.DataFrame]:
    """Latest and categories, as the API works them out of the tables."""
    window = Window(now - LATEST_READINGS_WITHIN, now)
    hours = pl.col("hour")
    readings = (
        services.files.day_files(network, HOURLY_READINGS.name)
        .scan(window)
        .filter(hours >= window.start, hours < window.end)
        .select(_NEEDED)
        .collect()
        .cast({name: plain_schema(HOURLY_READINGS)[name] for name in _NEEDED})
    )
    issued = (now - LATEST_FORECASTS_WITHIN, now + HOUR)
    forecasts = services.warehouse.rows(network, FORECASTS, issued)
    recent = readings.filter(hours >= now - HOURS_FOR_NOWCAST)
    key = ["network", "station_id"]
    return {
        "latest": latest(readings, forecasts, stations).join(stations, on=key, how="semi"),
        "category": current_categories(recent, forecasts, now),
        NEWEST_HOURS.name: newest_hours(readings, now).join(stations, on=key, how="semi"),
    }


def _publish_now(publisher: Publisher, frames: dict[str, pl.DataFrame]) -> dict[str, PublishedFile]:
    files: dict[str, PublishedFile] = {}
    for name, rows in frames.items():
        table, forms = NOW[name]
        plain = rows.cast(plain_schema(table))
        answer = Answer(table, plain, credits_of(plain, frames["stations"]))
        files |= publisher.publish(name, answer, forms)
    return files


def _publish_months(
    services: Services, publisher: Publisher, network: str, stations: pl.DataFrame
) -> tuple[dict[str, str], dict[str, PublishedFile]]:
    """Daily averages by month of their local date; months that did not change stay as they are."""
    before = publisher.before

    def publish(month: str, made_from: str) -> dict[str, PublishedFile]:
        name = f"{DAILY_AVERAGES.name}/{month}"
        kept = {key: file for key, file in before.files.items() if key.startswith(f"{name}.")}
        if before.months.get(month) == made_from and kept:
            return kept
        rows = services.warehouse.rows(network, DAILY_AVERAGES, _bounds(month))
        rows = rows.cast(plain_schema(DAILY_AVERAGES))
        rows = rows.sort("date", *(name for name in DAILY_AVERAGES.key if name != "date"))
        forms = TABULAR if rows.height <= MOST_ROWS_OF_JSON else (Format.parquet,)
        answer = Answer(DAILY_AVERAGES, rows, credits_of(rows, stations))
        return publisher.publish(name, answer, forms)

    months = dict(_months(services, network))
    # Compression and the disk are most of it.
    with ThreadPoolExecutor(_MONTHS_AT_ONCE) as pool:
        found = list(pool.map(publish, months, months.values()))
    return months, {name: file for files in found for name, file in files.items()}


def _months(services: Services, network: str) -> Iterator[tuple[str, str]]:
    """Months that have daily averages, each with a digest of its rows in any order."""
    found = services.warehouse.read(
        "SELECT strftime(date, '%Y-%m') AS month, "
        f"count(*) || '-' || sum(hash(d)::HUGEINT) AS made_from "
        f"FROM {network}.{DAILY_AVERAGES.name} d GROUP BY month ORDER BY month"
    )
    yield from found.iter_rows()


def _bounds(month: str) -> tuple[date, date]:
    first = date.fromisoformat(f"{month}-01")
    return first, date(first.year + first.month // 12, first.month % 12 + 1, 1)


def _manifests(services: Services, networks: list[str]) -> dict[str, Manifest]:
    found = {name: stored_manifest(services.object_store, name) for name in networks}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def _over_all(
    services: Services, manifests: dict[str, Manifest], warn: Callable[..., None]
) -> tuple[dict[str, Manifest], dict[str, pl.DataFrame]]:
    """The present of all networks as each has published it, without those that are damaged."""
    whole: dict[str, Manifest] = {}
    parts: dict[str, list[pl.DataFrame]] = {
        name: [plain_schema(table).to_frame()] for name, (table, _) in NOW.items()
    }
    for network, manifest in manifests.items():
        try:
            found = {
                name: read_rows(services.object_store, manifest.files[f"{name}.parquet"])
                for name in NOW
            }
        except (PermanentFailure, KeyError, pl.exceptions.PolarsError) as failure:
            warn("%s is left out: %s", network, failure)
            continue
        whole[network] = manifest
        for name, rows in found.items():
            # Of another version of the program: columns come and go.
            parts[name].append(rows)
    return whole, {
        name: pl.concat(frames, how="diagonal_relaxed")
        .select(plain_schema(NOW[name][0]).names())
        .sort(_ORDER[name])
        for name, frames in parts.items()
    }


_ORDER = {
    "stations": STATIONS.key,
    "latest": LATEST.key,
    "category": ("network", "station_id", "horizon", "parameter"),
    NEWEST_HOURS.name: NEWEST_HOURS.key,
}


def _newest(rows: pl.DataFrame, column: str) -> datetime | None:
    newest = rows[column].max()
    return newest if isinstance(newest, datetime) else None


def _result(publisher: Publisher, manifest: Manifest, **counts: int) -> dg.MaterializeResult[None]:
    changed = publisher.switch(manifest)
    return dg.MaterializeResult(
        metadata={
            **counts,
            "files": len(manifest.files),
            "files_written": publisher.written,
            "size_bytes": sum(file.size for file in manifest.files.values()),
            "changed": changed,
            "newest_hour": str(manifest.newest_hour),
            "newest_issue": str(manifest.newest_issue),
        }
    )
