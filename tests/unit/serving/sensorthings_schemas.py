"""Schemas of SensorThings' entities, written by hand from the standard (18-088, 8.2 and 9.2).

Mandatory properties are required, links and relations are those of its tables; further members are
refused, so that a misspelt name is one.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
_ADDRESS = {"type": "string", "pattern": "^http://[^ ]+$"}
_POINT = {
    "type": "object",
    "required": ["type", "coordinates"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "Point"},
        "coordinates": {
            "type": "array",
            "prefixItems": [
                {"type": "number", "minimum": -180, "maximum": 180},
                {"type": "number", "minimum": -90, "maximum": 90},
            ],
            "items": False,
            "minItems": 2,
        },
    },
}
_NO_PLACE = {
    "type": "object",
    "required": ["type", "geometry", "properties"],
    "properties": {"type": {"const": "Feature"}, "geometry": {"type": "null"}},
}
_UNIT = {
    "type": "object",
    "required": ["name", "symbol", "definition"],
    "additionalProperties": False,
    "properties": {"name": _TEXT, "symbol": _TEXT, "definition": _ADDRESS},
}
_PROPERTIES = {"type": "object"}


def entity(members: dict[str, Any], optional: dict[str, Any], *relations: str) -> dict[str, Any]:
    """Schema of an entity of which nothing is expanded and nothing left out."""
    links = {f"{name}@iot.navigationLink": _ADDRESS for name in relations}
    needed = {"@iot.id": _TEXT, "@iot.selfLink": _ADDRESS, **members, **links}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": [*needed],
        "additionalProperties": False,
        "properties": {**needed, **optional},
    }


_NAMED = {"name": _TEXT, "description": _TEXT}
_MORE = {"properties": _PROPERTIES}
_GEOJSON = {"encodingType": {"enum": ["application/geo+json", "application/vnd.geo+json"]}}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Things": entity(_NAMED, _MORE, "Locations", "HistoricalLocations", "Datastreams"),
    "Locations": entity(
        {**_NAMED, **_GEOJSON, "location": _POINT}, _MORE, "Things", "HistoricalLocations"
    ),
    "HistoricalLocations": entity(
        {"time": {"type": "string", "pattern": f"^{_INSTANT}$"}}, {}, "Thing", "Locations"
    ),
    "Datastreams": entity(
        {
            **_NAMED,
            "unitOfMeasurement": _UNIT,
            "observationType": {
                "const": "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
            },
        },
        _MORE,
        "Thing",
        "Sensor",
        "ObservedProperty",
        "Observations",
    ),
    "Sensors": entity(
        {**_NAMED, "encodingType": _TEXT, "metadata": _ADDRESS}, _MORE, "Datastreams"
    ),
    "ObservedProperties": entity({**_NAMED, "definition": _ADDRESS}, _MORE, "Datastreams"),
    "Observations": entity(
        {
            "phenomenonTime": {"type": "string", "pattern": f"^{_INSTANT}/{_INSTANT}$"},
            "result": {"type": ["number", "null"]},
            "resultTime": {"type": ["string", "null"], "pattern": f"^{_INSTANT}$"},
        },
        {"resultQuality": _TEXT, "parameters": {"type": "object"}},
        "Datastream",
        "FeatureOfInterest",
    ),
    "FeaturesOfInterest": entity(
        {**_NAMED, **_GEOJSON, "feature": {"anyOf": [_POINT, _NO_PLACE]}}, _MORE, "Observations"
    ),
}

COLLECTION = {
    "type": "object",
    "required": ["value"],
    "additionalProperties": False,
    "properties": {
        "@iot.count": {"type": "integer", "minimum": 0},
        "@iot.nextLink": _ADDRESS,
        "value": {"type": "array"},
    },
}

ROOT = {
    "type": "object",
    "required": ["value", "serverSettings"],
    "properties": {
        "value": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "url"],
                "properties": {"name": {"enum": [*SCHEMAS]}, "url": _ADDRESS},
            },
            "minItems": len(SCHEMAS),
        },
        "serverSettings": {
            "type": "object",
            "required": ["conformance"],
            "properties": {
                "conformance": {
                    "type": "array",
                    "items": {
                        "type": "string",
                        "pattern": "^http://www.opengis.net/spec/iot_sensing/1.1/req/",
                    },
                    "uniqueItems": True,
                }
            },
        },
    },
}

DATA_ARRAYS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["Datastream@iot.navigationLink", "components", "dataArray"],
        "properties": {
            "Datastream@iot.navigationLink": _ADDRESS,
            "components": {"type": "array", "items": _TEXT, "minItems": 1},
            "dataArray@iot.count": {"type": "integer"},
            "dataArray": {"type": "array", "items": {"type": "array"}},
        },
    },
}

ERROR = {
    "type": "object",
    "required": ["code", "type", "message"],
    "properties": {
        "code": {"type": "integer", "minimum": 400, "maximum": 599},
        "type": {"const": "error"},
        "message": _TEXT,
    },
}
