"""What AirQo's bodies say, whichever of its interfaces wrote them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import httpx

from aq_resources.http.json_reader import NotJsonError, read_json
from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import (
    as_dict,
    as_number,
    dicts_in,
    first_problem,
    is_refusal,
    note_not_json,
    note_said_error,
)
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.quality.channels import channels_apart

MEASUREMENTS = "/api/v2/devices/measurements"
DOWNLOAD = "/api/v3/public/analytics/data-download"

# AirQo's key -> (parameter, unit). The raw channels s1_… and s2_… differ from the calibrated value
# by up to six times, so they are never read into its series: what counts is whether they agree.
FIELDS = {
    "pm2_5": ("pm25", "µg/m³"),
    "pm10": ("pm10", "µg/m³"),
    "no2": ("no2", "µg/m³"),
    "temperature": ("temperature", "°C"),
    "humidity": ("humidity", "%"),
}

TWO_CHANNELS = ("pm2_5", "pm10")

Kind = Literal["token", "tier", "no_data", "too_old", "limited", "refused"]

_HINTS: dict[str, str] = {
    "token": (
        "Check AQ_AIRQO_TOKEN (a token is good for some months), AQ_AIRQO_CLIENT_SECRET where the "
        "client has one, and that this machine's address is white-listed at nexus.airqo.net."
    ),
    "tier": "AirQo's subscription does not cover this: readings older than 7 days need Standard.",
    "too_old": "AirQo's measurements reach back 31 days only; older ones come by the download.",
    "no_data": "AirQo knows nothing by that name: correct networks.airqo.stations.",
}


def error_kind(body: dict[str, Any]) -> Kind | None:
    """What an error body of AirQo means; None for a body that is no error.

    Its interfaces write errors in three ways: `{status: "error", message, code}`,
    `{success: false, message, error}` and `{success: false, message, errors}`.
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


def invalid_body_reason(response: httpx.Response) -> str | None:
    """Why a 200's body is none of AirQo's; None where it is one."""
    try:
        body = read_json(response.content)
    except NotJsonError:
        start = response.text.lstrip()[:1]
        return "HTML instead of JSON" if start == "<" else "it is cut off or empty"
    if not isinstance(body, dict):
        return "it is no JSON object"
    known = {"measurements", "data", "devices", "sites", "grids", "cohorts"}
    if error_kind(body) is None and not any(isinstance(body.get(key), list) for key in known):
        found = ", ".join(sorted(body))[:100]
        return f"none of the known lists in it, but {found} (fix the client's parser if it stays)"
    return None


def refusal_hint(response: httpx.Response) -> str:
    """What AirQo says about a refusal, and what to fix."""
    body = decoded(response.text)
    kind = error_kind(body)
    said = " ".join(str(body.get("message") or "").split())[:200]
    if kind is None and response.status_code in (401, 403):
        kind = "token"
    if kind is None and response.status_code == httpx.codes.NOT_FOUND:
        kind = "no_data"
    hint = _HINTS.get(kind or "", "")
    return f"It says: {said!r}. {hint}".rstrip() if said else hint


def decoded(text: str) -> dict[str, Any]:
    """A body; empty where it is no JSON object."""
    try:
        return as_dict(read_json(text))
    except NotJsonError:
        return {}


def as_count(value: object) -> int | None:
    """The value where it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def position(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude as AirQo says them: 0.0 for both means unknown."""
    return (
        as_number(row.get("latitude", row.get("approximate_latitude"))),
        as_number(row.get("longitude", row.get("approximate_longitude"))),
    )


def device_of(record: dict[str, Any]) -> Any:
    """What a record of either interface gives as the device's name."""
    return record.get("device") or record.get("device_name")


def stamp_of(record: dict[str, Any]) -> Any:
    """What a record of either interface gives as the hour's beginning."""
    return record.get("time") or record.get("datetime")


def source_of(answer: RawAnswer) -> str:
    """What an answer was about, for its problems."""
    if answer.url.endswith(DOWNLOAD):
        return "download"
    return "/".join(answer.url.rsplit("/", 2)[-2:])


def records_of(answer: RawAnswer, problems: Problems, unreadable: set[str]) -> list[Any] | None:
    """The records of an answer.

    Args:
        answer: A stored answer.
        problems: Takes what is wrong.
        unreadable: Takes what the answer was about where its form is not known.

    Returns:
        The records as they came; None for an answer that holds none at all.
    """
    source = source_of(answer)
    try:
        body = as_dict(read_json(answer.body))
    except NotJsonError as error:
        if not is_refusal(answer, {source}, problems):
            note_not_json(answer, {source}, problems, error)
            unreadable.add(source)
        return None
    refusal = error_kind(body)
    if refusal == "no_data" and answer.url.endswith(DOWNLOAD):
        return None
    if is_refusal(answer, {source}, problems):
        return None
    if refusal is not None:
        problems.add(source, f"status_{answer.status}", answer.body)
        return None
    records = _records_in(body)
    if not records and note_said_error(body, source, answer.status, problems):
        return None
    if records is None:
        problems.add(source, "no_records_list", answer.body)
        unreadable.add(source)
    return records


def lost_reason(answer: RawAnswer, devices: Collection[str] = ()) -> str | None:
    """Why a 200 brings nothing of what was asked; None where it does, or says there is nothing.

    Args:
        answer: A page.
        devices: The devices asked about; none where they are not known.

    Returns:
        The reason.
    """
    problems = Problems()
    records = records_of(answer, problems, set())
    if not records:
        return first_problem(problems)
    found = dicts_in(records)
    named = {str(name) for one in found if (name := device_of(one))}
    if devices and named and named.isdisjoint(devices):
        return f"records of another device ({min(named)})"
    start, end = (f"{at:%Y-%m-%dT%H:%M:%S}" for at in answer.window)
    given = map(stamp_of, found)
    stamps = [stamp for stamp in given if isinstance(stamp, str)]
    # Both ends count. As text, since that is how they sort as well.
    if stamps and not any(start <= stamp[:19].replace(" ", "T") <= end for stamp in stamps):
        return f"records of {stamps[0]} to {stamps[-1]} instead of {start} to {end}"
    return None


def _records_in(body: dict[str, Any]) -> list[Any] | None:
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


def apart(record: dict[str, Any], key: str) -> float | None:
    """How far a quantity's two raw channels are apart (`channels_apart`)."""
    one, other = (as_number(record.get(f"{channel}_{key}")) for channel in ("s1", "s2"))
    return None if one is None or other is None else channels_apart(one, other)


def calibrated(record: dict[str, Any], key: str) -> object:
    """What a record says of one quantity, calibrated: bare, or in an object, or nothing."""
    given = record.get(key)
    if isinstance(given, dict):
        # Older answers carry both; beside a calibrated value that is null, `value` is a raw one.
        return given["calibratedValue"] if "calibratedValue" in given else given.get("value")
    return given
