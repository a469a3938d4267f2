"""What AirQo's bodies say, whichever of its interfaces wrote them."""

from __future__ import annotations

from typing import Any, Literal

import httpx
import msgspec

from aq_resources.raw_pulls import RawAnswer

MEASUREMENTS = "/api/v2/devices/measurements"
DOWNLOAD = "/api/v3/public/analytics/data-download"

Kind = Literal["token", "tier", "no_data", "too_old", "limited", "refused"]


def error_kind(body: dict[str, Any]) -> Kind | None:
    """What an error body of AirQo means; None for a body that is no error.

    Its interfaces write errors in three ways: ``{status: "error", message, code}``,
    ``{success: false, message, error}`` and ``{success: false, message, errors}``.
    """
    if body.get("status") != "error" and body.get("success") is not False:
        return None
    errors = as_dict(body.get("errors"))
    signs: list[tuple[Kind, bool]] = [
        ("no_data", body.get("code") == "NOT_FOUND"),
        ("tier", "upgrade_url" in body or body.get("error") == "Forbidden"),
        ("token", body.get("error") == "Unauthorized"),
        ("too_old", "oldest_supported" in errors),
        ("limited", bool(errors.keys() & {"blocked_for_seconds", "retry_after_seconds"})),
    ]
    return next((kind for kind, seen in signs if seen), "refused")


def what_is_wrong(response: httpx.Response) -> str | None:
    """What makes a 200's body none of AirQo's."""
    try:
        body = response.json()
    except ValueError:
        start = response.text.lstrip()[:1]
        return "HTML instead of JSON" if start == "<" else "it is cut off or empty"
    if not isinstance(body, dict):
        return "it is no JSON object"
    known = {"measurements", "data", "devices", "sites", "grids", "cohorts"}
    if error_kind(body) is None and not any(isinstance(body.get(key), list) for key in known):
        found = ", ".join(sorted(body))[:100]
        return f"none of the known lists in it, but {found} (mend the client's parser if it stays)"
    return None


def decoded(text: str) -> dict[str, Any]:
    """A body; empty where it is no JSON object."""
    try:
        return as_dict(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return {}


def as_dict(value: object) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def dicts_in(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def as_count(value: object) -> int | None:
    """The value where it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def position(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude as AirQo says them: 0.0 for both means unknown."""
    return (
        as_number(row.get("latitude", row.get("approximate_latitude"))),
        as_number(row.get("longitude", row.get("approximate_longitude"))),
    )


def as_number(value: object) -> float | None:
    """The value where it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def subject_of(answer: RawAnswer) -> str:
    """What an answer was about, for its problems."""
    if answer.url.endswith(DOWNLOAD):
        return "download"
    return "/".join(answer.url.rsplit("/", 2)[-2:])


def records_in(body: dict[str, Any]) -> list[Any] | None:
    """The records of a body: of v2, of the download, or nested in cohorts and their devices."""
    for key in ("measurements", "data"):
        if isinstance(body.get(key), list):
            return list(body[key])
    devices = [
        device
        for cohort in dicts_in(body.get("cohorts"))
        for device in dicts_in(cohort.get("devices"))
    ]
    if devices:
        series = (device.get("data") for device in devices)
        return [record for data in series if isinstance(data, list) for record in data]
    return None
