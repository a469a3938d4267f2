"""The endpoint's OpenAPI document, made of the kinds of devices and of what is refused."""

from __future__ import annotations

from typing import Any

from aq_resources.device_keys import DEVICE, FLEET
from aq_science.device_kinds import KINDS, SENSORS
from aq_serving.problems import MEDIA_TYPE, ProblemDetails

PATH = "/v1/openapi.json"
_DESCRIPTION = """
Devices push their readings here. What is answered 202, or counted as accepted in 207, is on disk.

* A reading is known by fleet, device, sensor and time: sent twice it is one.
* Times have an offset, or are seconds since 1970; without an offset they are read as UTC.
* Refused messages are listed with field and reason, and kept.
"""
_TEXTS = {
    "202": "All is on disk",
    "207": "What is not listed as refused is on disk",
    "400": "A parameter is wrong, or the body ended early",
    "401": "No known key",
    "403": "The key is for reading, another fleet or other devices",
    "408": "The body took too long",
    "413": "The body or the number of its messages is too large",
    "415": "The body is of another type, or compressed",
    "422": "Nothing could be taken; the messages are kept with the reason",
    "429": "Too much, or no room: again after Retry-After seconds",
    "503": "Nothing counts as taken, or nothing can be read: again after Retry-After seconds",
    "507": "The disk is full, nothing counts as taken: again after Retry-After seconds",
}
_Schema = dict[str, Any]


def document(most_messages: int) -> _Schema:
    """The document.

    Args:
        most_messages: How many one request may bring.

    Returns:
        OpenAPI 3.1.
    """
    problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {
        **{tag: _message(tag, sensors) for tag, sensors in KINDS.items()},
        "Message": {"oneOf": [_ref(tag) for tag in KINDS]},
        "Messages": {
            "type": "array",
            "items": _ref("Message"),
            "minItems": 1,
            "maxItems": most_messages,
        },
        "Taken": _TAKEN,
        "Window": _statistics(_WINDOW),
        "Span": _statistics({}),
        "Windows": _page("Window", {"next": {"type": ["string", "null"]}}),
        "Spans": _page("Span", {"start": {"type": "string"}, "end": {"type": "string"}}),
        **problem.pop("$defs"),
        "ProblemDetails": problem,
    }
    resources = {
        "readings": {"post": _push()},
        "windows": {"get": _read("Windows", "Averages over windows, in order of their beginning")},
        "spans": {"get": _read("Spans", "Averages of the readings within [start, end)")},
    }
    paths: _Schema = {f"/v1/{name}": methods for name, methods in resources.items()}
    for name, methods in resources.items():
        paths[f"/v1/fleets/{{fleet}}/{name}"] = {**methods, "parameters": [_FLEET]}
    paths["/healthz"] = {"get": _HEALTH}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Devices that push", "version": "v1", "description": _DESCRIPTION},
        "paths": paths,
        "security": [{"bearer": []}, {"key": []}],
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_DEVICE_ID: _Schema = {"type": "string", "pattern": f"^{DEVICE.pattern}$"}
_FLEET = {
    "name": "fleet",
    "in": "path",
    "required": True,
    "description": "The key's own fleet",
    "schema": {"type": "string", "pattern": f"^{FLEET.pattern}$"},
}
_TAKEN: _Schema = {
    "type": "object",
    "required": ["accepted"],
    "properties": {
        "accepted": {"type": "integer", "minimum": 0},
        "refused": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "field", "reason"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
    },
}
_WINDOW: _Schema = {
    "window_start": {"type": "string", "format": "date-time"},
    "seconds": {"type": "integer"},
    "expected": {"type": ["number", "null"]},
    "partial": {"type": "boolean"},
    "late": {"type": "integer"},
}
_HEALTH: _Schema = {
    "summary": "Whether the process answers",
    "security": [],
    "responses": {
        "200": {
            "description": "It does",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
}


def _message(tag: str, sensors: tuple[str, ...]) -> _Schema:
    """One kind's message: it has one of its fields at least."""
    values = {
        name: {
            "type": "number",
            "minimum": SENSORS[name].least,
            "maximum": SENSORS[name].most,
            "description": SENSORS[name].unit,
        }
        for name in sensors
    }
    return {
        "type": "object",
        "required": ["device_id", "timestamp", "tag"],
        "anyOf": [{"required": [name]} for name in sensors],
        "properties": {
            "device_id": _DEVICE_ID,
            "timestamp": {
                "anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "number", "minimum": 0, "description": "Seconds since 1970"},
                ]
            },
            "tag": {"const": tag},
            **values,
        },
    }


def _statistics(more: _Schema) -> _Schema:
    value = {"type": "number"}
    properties = {
        "device_id": _DEVICE_ID,
        "sensor": {"enum": list(SENSORS)},
        "count": {"type": "integer", "minimum": 1},
        **dict.fromkeys(("mean", "minimum", "maximum"), value),
        "unit": {"type": "string"},
        **more,
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _page(name: str, more: _Schema) -> _Schema:
    properties = {
        "fleet": {"type": "string"},
        "data": {"type": "array", "items": _ref(name)},
        **more,
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _push() -> _Schema:
    one_or_many = {"anyOf": [_ref("Message"), _ref("Messages")]}
    responses: _Schema = {
        status: _answer(status, "application/json", "Taken") for status in ("202", "207", "422")
    }
    for status in ("400", "401", "403", "408", "413", "415", "429", "503", "507"):
        responses[status] = _answer(status, MEDIA_TYPE, "ProblemDetails")
    return {
        "summary": "Push one reading, or up to as many as a request may bring",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": one_or_many},
                "application/msgpack": {"schema": one_or_many},
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": responses,
    }


def _read(name: str, summary: str) -> _Schema:
    instant = {"type": "string", "format": "date-time"}
    several: _Schema = {"type": "array", "maxItems": 100}
    responses: _Schema = {
        "200": {
            "description": "Rows",
            "content": {"application/json": {"schema": _ref(name)}},
        }
    }
    for status in ("400", "401", "403", "429", "503"):
        responses[status] = _answer(status, MEDIA_TYPE, "ProblemDetails")
    return {
        "summary": summary,
        "parameters": [
            _parameter("start", instant, required=True),
            _parameter("end", instant, required=True),
            _parameter("device_id", {**several, "items": {"type": "string"}}),
            _parameter("sensor", {**several, "items": {"enum": list(SENSORS)}}),
            _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 50_000}),
        ],
        "responses": responses,
    }


def _answer(status: str, media_type: str, name: str) -> _Schema:
    return {
        "description": _TEXTS[status],
        "content": {media_type: {"schema": _ref(name)}},
    }


def _parameter(name: str, schema: _Schema, *, required: bool = False) -> _Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}
