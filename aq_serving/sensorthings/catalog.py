"""All entities but Observations, as frames made of the stations and their history."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_resources.networks import network_attribution, network_licence, network_title
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.parameters import PARAMETERS
from aq_science.tables.station_history import STATION_HISTORY
from aq_serving.reader import Reader
from aq_serving.sensorthings.identifiers import MICROSECOND, joined, station_of
from aq_serving.sensorthings.model import ENTITY_SETS, POINT
from aq_serving.sensorthings.series import SERIES
from aq_serving.sensorthings.vocabulary import MEASUREMENT, PROPERTIES, UNITS
from aq_serving.stations import Directory

GEOJSON = "application/geo+json"
_JSON = "application/json"
_KEY = ("network", "station_id")

Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Catalog:
    """The entities at one time.

    Attributes:
        frames: By the name of their set; sorted by `id`.
    """

    frames: Frames

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.frames[name]


class CatalogCache:
    """The catalog of the stations as the directory has them."""

    def __init__(self, reader: Reader, directory: Directory) -> None:
        self._reader, self._directory = reader, directory
        self._lock = threading.Lock()
        self._made_of: pl.DataFrame | None = None
        self._catalog: Catalog | None = None

    def current(self) -> Catalog:
        """The catalog.

        Raises:
            ProblemError: The stations cannot be read now.
        """
        stations = self._directory.stations
        with self._lock:
            if self._catalog is None or self._made_of is not stations:
                columns = ", ".join(STATION_HISTORY.schema)
                name = f"{UNION_SCHEMA}.{STATION_HISTORY.name}"
                history = self._reader.query(f"SELECT {columns} FROM {name}")
                self._catalog = make_catalog(stations, history.cast(plain_schema(STATION_HISTORY)))
                self._made_of = stations
            return self._catalog


def make_catalog(stations: pl.DataFrame, history: pl.DataFrame) -> Catalog:
    """The entities of stations.

    Args:
        stations: `STATIONS`.
        history: `STATION_HISTORY`.

    Returns:
        The catalog.
    """
    known = stations.with_columns(
        thing=station_of(*map(pl.col, _KEY)),
        label=pl.coalesce("name", "station_id"),
        title=_by_network(network_title),
        credit=pl.when(pl.col("attribution").str.len_bytes() > 0)
        .then("attribution")
        .otherwise(_by_network(network_attribution)),
        licence=_by_network(network_licence),
    )
    moves = _moves(known, history)
    made = {
        "Things": _things(known),
        "Locations": pl.concat([_locations(known), _former_locations(moves)]),
        "HistoricalLocations": moves.select(
            "id", time="valid_from", _thing="thing", _location="_location"
        ),
        "Datastreams": _datastreams(known),
        "Sensors": _sensors(known),
        "ObservedProperties": _observed_properties(),
        "FeaturesOfInterest": _features(known),
    }
    return Catalog(
        {
            name: _complete(frame, ENTITY_SETS[name].schema).sort("id")
            for name, frame in made.items()
        }
    )


def _complete(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(schema.names()).cast(schema)


def _by_network(text: Callable[[str], str | None]) -> pl.Expr:
    return pl.col("network").map_elements(text, return_dtype=pl.String)


def _things(known: pl.DataFrame) -> pl.DataFrame:
    same = ("network", "station_id", "country", "city", "timezone", "first_seen", "last_seen")
    return known.select(
        id="thing",
        name="label",
        description=pl.format("Air-quality station {} of {}", "station_id", "title"),
        **{f"properties/{name}": pl.col(name) for name in same},
        **_credit(),
    )


def _credit() -> dict[str, pl.Expr]:
    return {
        "properties/attribution": pl.col("credit"),
        "properties/licence": pl.col("licence"),
    }


def _locations(known: pl.DataFrame) -> pl.DataFrame:
    return known.drop_nulls(POINT).select(
        id="thing",
        name="label",
        description=pl.format("Where {} is", "label"),
        encodingType=pl.lit(GEOJSON),
        longitude="longitude",
        latitude="latitude",
        _thing="thing",
    )


def _moves(known: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """The positions that stations came to have, each with the Location that it is."""
    here = known.select(
        *_KEY, "thing", "label", *(pl.col(name).alias(f"now_{name}") for name in POINT)
    )
    moved = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift().over(_KEY)) for name in POINT
    )
    stamped = joined(pl.col("thing"), pl.col("valid_from").dt.strftime(MICROSECOND))
    is_now = pl.all_horizontal(pl.col(name) == pl.col(f"now_{name}") for name in POINT)
    return (
        history.drop_nulls(POINT)
        .sort(*_KEY, "valid_from")
        .filter(moved)
        .join(here, on=_KEY, maintain_order="left")
        .with_columns(id=stamped)
        .with_columns(_location=pl.when(is_now).then("thing").otherwise("id"))
    )


def _former_locations(moves: pl.DataFrame) -> pl.DataFrame:
    return moves.filter(pl.col("_location") == pl.col("id")).select(
        id="id",
        name="label",
        description=pl.format("Where {} was", "label"),
        encodingType=pl.lit(GEOJSON),
        longitude="longitude",
        latitude="latitude",
        _thing=pl.lit(None, pl.String),
    )


def _features(known: pl.DataFrame) -> pl.DataFrame:
    return known.select(
        id="thing",
        name="label",
        description=pl.format("The air at {}", "label"),
        encodingType=pl.lit(GEOJSON),
        longitude="longitude",
        latitude="latitude",
    )


def _datastreams(known: pl.DataFrame) -> pl.DataFrame:
    of_parameter = _terms()
    measured = (
        known.explode("parameters")
        .rename({"parameters": "parameter"})
        .unique([*_KEY, "parameter"], maintain_order=True)
        .join(of_parameter, on="parameter", maintain_order="left")
    )
    return (
        measured.join(_series(), how="cross")
        .filter(pl.col("has").list.contains(pl.col("parameter")))
        .select(
            id=joined(pl.col("thing"), pl.col("parameter"), pl.col("series")),
            name=pl.format("{}: {}, {}", "label", "parameter_name", "series_title"),
            description=pl.format(
                "{} at {} ({}): {}", "parameter_name", "label", "title", "series_title"
            ),
            observationType=pl.lit(MEASUREMENT),
            **{
                "unitOfMeasurement/name": pl.col("unit_name"),
                "unitOfMeasurement/symbol": pl.col("unit"),
                "unitOfMeasurement/definition": pl.col("unit_definition"),
                "properties/network": pl.col("network"),
                "properties/station_id": pl.col("station_id"),
                "properties/parameter": pl.col("parameter"),
                "properties/series": pl.col("series"),
                "properties/horizon": pl.col("horizon"),
            },
            **_credit(),
            _thing="thing",
            _sensor=joined(pl.col("network"), pl.col("series")),
            _property="parameter",
            _feature="thing",
        )
    )


def _terms() -> pl.DataFrame:
    """Parameters and their units in public vocabularies."""
    return pl.DataFrame(
        [
            {
                "parameter": name,
                "parameter_name": PROPERTIES[name].name,
                "unit": parameter.unit,
                "unit_name": UNITS[parameter.unit].name,
                "unit_definition": UNITS[parameter.unit].definition,
            }
            for name, parameter in PARAMETERS.items()
        ]
    )


def _series() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "series": one.name,
                "series_title": one.title,
                "procedure": one.procedure,
                "table": one.table.name,
                "has": list(one.parameters),
                "horizon": one.horizon,
            }
            for one in SERIES.values()
        ],
        schema_overrides={"horizon": pl.Float64},
    )


def _sensors(known: pl.DataFrame) -> pl.DataFrame:
    networks = known.select("network", "title").unique()
    return networks.join(_series(), how="cross").select(
        id=joined(pl.col("network"), pl.col("series")),
        name=pl.format("{}: {}", "title", "procedure"),
        description=pl.format("The instruments of {}, {}", "title", "procedure"),
        encodingType=pl.lit(_JSON),
        metadata=pl.format("/v1/tables/{}", "table"),
        **{"properties/network": pl.col("network"), "properties/series": pl.col("series")},
    )


def _observed_properties() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "id": name,
                "name": name,
                "definition": concept.definition,
                "description": concept.name,
            }
            for name, concept in PROPERTIES.items()
        ]
    )
