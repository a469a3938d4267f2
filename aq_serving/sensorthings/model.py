"""What the entities of SensorThings are here: their properties and how they are related.

A property is a column of the entity's frame, by the same name: `properties/country` is the member
`country` of the member `properties`. A relation is an equality of two columns.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from aq_science.tables.types import INSTANT


class Kind(enum.Enum):
    """What a property's value is, and so what it may be compared with."""

    text = "text"
    number = "number"
    boolean = "true or false"
    instant = "instant"
    # Half-open, in the columns `<name>` and `<name>/end`.
    interval = "interval"
    day = "day"
    duration = "duration"
    # A point, in the columns `longitude` and `latitude`.
    point = "geometry"
    # A path of this server, which answers show as an address.
    link = "address"
    # JSON as text.
    json = "object"


_TYPES: Mapping[Kind, pl.DataType] = {
    Kind.text: pl.String(),
    Kind.number: pl.Float64(),
    Kind.instant: INSTANT,
    Kind.link: pl.String(),
    Kind.json: pl.String(),
}
END = "/end"
POINT = ("longitude", "latitude")


@dataclass(frozen=True)
class Relation:
    """Entities of another set that belong to one.

    Attributes:
        target: Name of their set.
        source_key: Column of this entity.
        target_key: Column of theirs that has the same value.
        many: Whether there may be several.
    """

    target: str
    source_key: str
    target_key: str
    many: bool


@dataclass(frozen=True)
class EntitySet:
    """A set of entities.

    Attributes:
        name: As addresses have it.
        properties: Kind of each property.
        relations: By name.
        keys: Columns beside the properties, by which entities are related.
    """

    name: str
    properties: Mapping[str, Kind]
    relations: Mapping[str, Relation]
    keys: tuple[str, ...] = ()

    @property
    def schema(self) -> pl.Schema:
        """Columns of its frame."""
        columns: dict[str, pl.DataType] = {"id": pl.String()}
        for name, kind in self.properties.items():
            if kind is Kind.point:
                columns |= dict.fromkeys(POINT, pl.Float64())
            elif kind is Kind.interval:
                columns |= {name: INSTANT, name + END: INSTANT}
            else:
                columns[name] = _TYPES[kind]
        return pl.Schema(columns | dict.fromkeys(self.keys, pl.String()))

    @property
    def members(self) -> list[str]:
        """Names of the properties at the top."""
        return list(dict.fromkeys(name.partition("/")[0] for name in self.properties))


_NAMED = {"name": Kind.text, "description": Kind.text}
_DESCRIBED = {**_NAMED, "encodingType": Kind.text}
_ORIGIN = {"properties/network": Kind.text, "properties/station_id": Kind.text}
_UNIT = {f"unitOfMeasurement/{name}": Kind.text for name in ("name", "symbol", "definition")}
_CREDIT = {"properties/attribution": Kind.text, "properties/licence": Kind.text}

OBSERVATIONS = "Observations"

ENTITY_SETS = {
    one.name: one
    for one in (
        EntitySet(
            "Things",
            {
                **_NAMED,
                **_ORIGIN,
                "properties/country": Kind.text,
                "properties/city": Kind.text,
                "properties/timezone": Kind.text,
                "properties/first_seen": Kind.instant,
                "properties/last_seen": Kind.instant,
                **_CREDIT,
            },
            {
                "Locations": Relation("Locations", "id", "_thing", many=True),
                "HistoricalLocations": Relation("HistoricalLocations", "id", "_thing", many=True),
                "Datastreams": Relation("Datastreams", "id", "_thing", many=True),
            },
        ),
        EntitySet(
            "Locations",
            {**_DESCRIBED, "location": Kind.point},
            {
                "Things": Relation("Things", "_thing", "id", many=True),
                "HistoricalLocations": Relation(
                    "HistoricalLocations", "id", "_location", many=True
                ),
            },
            ("_thing",),
        ),
        EntitySet(
            "HistoricalLocations",
            {"time": Kind.instant},
            {
                "Thing": Relation("Things", "_thing", "id", many=False),
                "Locations": Relation("Locations", "_location", "id", many=True),
            },
            ("_thing", "_location"),
        ),
        EntitySet(
            "Datastreams",
            {
                **_NAMED,
                "observationType": Kind.text,
                **_UNIT,
                **_ORIGIN,
                "properties/parameter": Kind.text,
                "properties/series": Kind.text,
                "properties/horizon": Kind.number,
                **_CREDIT,
            },
            {
                "Thing": Relation("Things", "_thing", "id", many=False),
                "Sensor": Relation("Sensors", "_sensor", "id", many=False),
                "ObservedProperty": Relation("ObservedProperties", "_property", "id", many=False),
                OBSERVATIONS: Relation(OBSERVATIONS, "id", "_datastream", many=True),
            },
            ("_thing", "_sensor", "_property", "_feature"),
        ),
        EntitySet(
            "Sensors",
            {
                **_DESCRIBED,
                "metadata": Kind.link,
                "properties/network": Kind.text,
                "properties/series": Kind.text,
            },
            {"Datastreams": Relation("Datastreams", "id", "_sensor", many=True)},
        ),
        EntitySet(
            "ObservedProperties",
            {"name": Kind.text, "definition": Kind.text, "description": Kind.text},
            {"Datastreams": Relation("Datastreams", "id", "_property", many=True)},
        ),
        EntitySet(
            OBSERVATIONS,
            {
                "phenomenonTime": Kind.interval,
                "result": Kind.number,
                "resultTime": Kind.instant,
                "resultQuality": Kind.text,
                "parameters": Kind.json,
            },
            {
                "Datastream": Relation("Datastreams", "_datastream", "id", many=False),
                "FeatureOfInterest": Relation("FeaturesOfInterest", "_feature", "id", many=False),
            },
            ("_datastream", "_feature"),
        ),
        EntitySet(
            "FeaturesOfInterest",
            {**_DESCRIBED, "feature": Kind.point},
            {OBSERVATIONS: Relation(OBSERVATIONS, "id", "_feature", many=True)},
        ),
    )
}
