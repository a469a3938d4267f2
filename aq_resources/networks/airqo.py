"""AirQo: calibrated hourly means by device; recent ones from the v2 measurements, older ones from
the analytics download.

Contract: ``GET /api/v2/devices/measurements/{sites|devices|grids|cohorts}/{id}`` answers pages of
``measurements``, of a size that ``meta`` states; ``POST /api/v3/public/analytics/data-download``
answers pages of ``data`` that a cursor links, two months a call. Stamps are UTC and mark the
hour's beginning. The token travels in the query: it is put there as the request leaves, and is in
no address, answer, log line or message.

A station is a device, by name: the one identity that both interfaces know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec
import polars as pl
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.call_plan import CallPlan
from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http import BrokenAnswer, HttpClient, RefusedRequest, concurrently
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks._client import Parsed, Problems, Pull, Station, StationList
from aq_resources.raw_pulls import RawAnswer
from aq_resources.settings import EnvironmentSettings, Settings
from aq_science.readings import INSTANT, VERSION_SCHEMA, complete_hours
from aq_science.windows import DAY, Window, midnight

TITLE = "AirQo"
ATTRIBUTION = "AirQo, Makerere University (https://airqo.net)"
API_URL = "https://api.airqo.net"
MEASUREMENTS = "/api/v2/devices/measurements"
DOWNLOAD = "/api/v3/public/analytics/data-download"

# "About two months a call"; the shortest two have 59 days.
SPAN = timedelta(days=59)
# The v2 measurements answer for 31 days at most, and for 7 without a subscription; with 80 records
# a page they also cost many times the download's requests. So they serve the days at the end alone.
RECENT_DAYS = 7
# More than any documented page; the server cuts it to its own size and says so in `meta`.
ASKED_RECORDS = 1000
# The documents' "3 historical calls a minute"; then a block of 15 minutes.
HISTORICAL_PER_MINUTE = 3
BLOCK_SECONDS = 900.0
NEWEST_WITHIN = timedelta(hours=6)
NEWEST_ENTRIES = 3
NEWEST_TIMEOUT_SECONDS = 8.0
_ASKED = "%Y-%m-%dT%H:%M:%S.000Z"

# AirQo's key -> (parameter, unit). The raw channels s1_… and s2_… differ from the calibrated value
# by up to six times, so they are never read into its series: they stay in the stored answers.
FIELDS = {
    "pm2_5": ("pm25", "µg/m³"),
    "pm10": ("pm10", "µg/m³"),
    "no2": ("no2", "µg/m³"),
    "temperature": ("temperature", "°C"),
    "humidity": ("humidity", "%"),
}
# Where exactly 0.0 stands for no reading.
_ZERO_IS_ABSENT = frozenset({"temperature", "humidity"})

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
_NOT_LISTED = (
    "AirQo answers this machine without a single reading of its whole network: its address is not "
    "white-listed (nexus.airqo.net, or support@airqo.net)."
)


class NetworkSettings(EnvironmentSettings):
    """Address and credentials of AirQo."""

    model_config = SettingsConfigDict(env_prefix="AQ_AIRQO_", env_ignore_empty=True)

    url: str = Field(API_URL, description="Base of the AirQo API")
    token: SecretStr | None = Field(None, description="Token")
    client_secret: SecretStr | None = Field(None, description="Secret of a client that has one")
    historical_per_minute: int = Field(
        HISTORICAL_PER_MINUTE,
        ge=1,
        description="Calls for older readings a minute, by all processes of the machine together",
    )


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> AirQoClient:
    """The client for the devices, sites, grids and cohorts of ``config``."""
    if config.area is not None:
        raise SettingsError(
            "networks.airqo: AirQo's stations are named under `stations`: a device's name, or "
            "`site:…`, `grid:…`, `cohort:…` with an id."
        )
    return AirQoClient(config, NetworkSettings(), settings, now)


@dataclass(frozen=True)
class _Entry:
    """One configured entry: a device by name, or an AirQo site, grid or cohort by id."""

    text: str
    kind: Literal["device", "site", "grid", "cohort"]
    name: str

    @classmethod
    def read(cls, text: str) -> _Entry:
        kind, _, name = text.rpartition(":")
        match kind:
            case "" | "device":
                return cls(text, "device", name)
            case "site" | "grid" | "cohort":
                return cls(text, kind, name)
        raise SettingsError(
            f"networks.airqo.stations: {text!r}: write a device's name, or site:…, grid:… or "
            "cohort:… with an id."
        )


@dataclass(frozen=True)
class _Members:
    """Device names of each entry, and v2's id of each device."""

    names: dict[str, tuple[str, ...]]
    ids: dict[str, str]
    failures: dict[str, TransientFailure | PermanentFailure]


class AirQoClient:
    """Client of AirQo (see `NetworkClient`)."""

    name = "airqo"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = min(SPAN, timedelta(days=config.span_days)) if config.span_days else SPAN
        self._entries = [_Entry.read(text) for text in config.stations]
        self._url = own.url.rstrip("/")
        self._now = now
        self._workers = settings.http_concurrency
        plain = [s.get_secret_value() for s in (own.token, own.client_secret) if s]
        # As a server may repeat them: as they are, or as they stood in the address.
        self._secrets = [form for secret in plain for form in (secret, quote(secret, safe=""))]
        self._has_token = own.token is not None
        self.plan = CallPlan(
            TITLE, settings.home / "limits" / "airqo.json", own.historical_per_minute
        )
        common: dict[str, Any] = {
            "auth": _TokenInQuery(own.token.get_secret_value()) if own.token else None,
            "headers": (
                {"X-Client-Secret": own.client_secret.get_secret_value()}
                if own.client_secret
                else None
            ),
            "explain": self._explain,
            "asked_wait": self._asked_wait,
        }
        patient: dict[str, Any] = {
            "timeout": settings.http_timeout_seconds,
            "attempts": settings.http_attempts,
        }
        self._http = HttpClient(TITLE, before=self.plan.respect_block, **patient, **common)
        self._download_http = HttpClient(TITLE, before=self.plan.take, **patient, **common)
        self._newest_http = HttpClient(
            TITLE,
            timeout=min(NEWEST_TIMEOUT_SECONDS, settings.http_timeout_seconds),
            attempts=1,
            before=self.plan.respect_block,
            **common,
        )
        self._known_members: _Members | None = None
        self._turn = 0
        self._freshest: _Entry | None = None

    def pull(self, window: Window) -> Iterator[Pull]:
        """Days that end the window by the v2 measurements, those before by the download."""
        seam = midnight(self._now().date()) - (RECENT_DAYS - 1) * DAY
        needs_members = window.start < seam or any(e.kind == "device" for e in self._entries)
        members = self._members() if needs_members else _Members({}, {}, {})
        for entry, failure in members.failures.items():
            yield Pull(entry, None, failure)
        seen = _Seen()
        if window.start < seam:
            older = Window(window.start, min(window.end, seam))
            for part in older.chunks(self.span):
                for subject, asked in self._download_subjects(members):
                    yield from self._checked(self._download(subject, asked, part), seen)
        if window.end > seam:
            for part in Window(max(window.start, seam), window.end).chunks(self.span):
                # A group's measurements need no list of its members.
                wanted = [
                    entry
                    for entry in self._entries
                    if entry.kind != "device" or entry.text not in members.failures
                ]
                pages = concurrently(
                    lambda question: list(self._measurements(*question)),
                    ((entry, members, part) for entry in wanted),
                    self._workers,
                )
                for pulls in pages:
                    yield from self._checked(pulls, seen)

    def newest_hour(self) -> datetime | None:
        """By a few entries: the one that had the newest hour last time, then others in turn.

        Of each the first and the last page: whichever way the records are sorted, the newest is
        on one of them.
        """
        now = self._now()
        window = Window(now - NEWEST_WITHIN, now)
        entries = self._some_entries()
        members = _Members({}, {}, {})
        if any(entry.kind == "device" for entry in entries):
            members = self._members()
        failures: list[TransientFailure | PermanentFailure] = []
        newest: tuple[datetime, _Entry] | None = None
        for entry in entries:
            if entry.text in members.failures:
                failures.append(members.failures[entry.text])
                continue
            pulls = list(
                self._measurements(entry, members, window, self._newest_http, ends_only=True)
            )
            failures += [pull.failure for pull in pulls if pull.failure]
            versions = self.parse(p.answer for p in pulls if p.answer and not p.failure).versions
            hour = versions["hour"].max()
            if isinstance(hour, datetime) and (newest is None or hour > newest[0]):
                newest = hour, entry
        if newest is None:
            if failures:
                raise failures[0]
            if not self._network_speaks(self._newest_http):
                raise PermanentFailure(_NOT_LISTED)
            return None
        self._freshest = newest[1]
        return newest[0]

    def stations(self) -> StationList:
        """Every device of the entries, with the name and position of its site."""
        members = self._members()
        try:
            devices = {str(row.get("name")): row for row in self._listed("devices")}
            sites = {str(row.get("_id")): row for row in self._listed("sites")}
        except (TransientFailure, PermanentFailure) as failure:
            return StationList((), {entry.text: failure for entry in self._entries})
        names = {name for names in members.names.values() for name in names}
        return StationList(
            tuple(_describe(name, devices.get(name, {}), sites) for name in sorted(names)),
            members.failures,
        )

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        batch = _Batch()
        for answer in answers:
            batch.add(answer)
        return Parsed(batch.versions(), batch.problems, tuple(sorted(batch.unreadable)))

    def close(self) -> None:
        for http in (self._http, self._download_http, self._newest_http):
            http.close()

    # ------------------------------------------------------------------------------ questions

    def _measurements(
        self,
        entry: _Entry,
        members: _Members,
        window: Window,
        http: HttpClient | None = None,
        *,
        ends_only: bool = False,
    ) -> Iterator[Pull]:
        """Pages of one entry's measurements, until nothing is left to ask for."""
        name = members.ids[entry.name] if entry.kind == "device" else entry.name
        url = f"{self._url}{MEASUREMENTS}/{entry.kind}s/{name}"
        seen, total, skip = 0, None, 0
        before: list[Any] | None = None
        while True:
            params = {
                # Both ends count: a second earlier keeps the next window's first hour out.
                "startTime": window.start.strftime(_ASKED),
                "endTime": (window.end - timedelta(seconds=1)).strftime(_ASKED),
                "frequency": "hourly",
                "recent": "no",
                "limit": str(ASKED_RECORDS),
                "skip": str(skip),
            }
            pull, body = self._ask(entry.text, url, params, window, http or self._http)
            records = body.get("measurements") if body else None
            if pull.failure is not None or not isinstance(records, list):
                yield pull
                return
            if records and records == before:
                yield _broken(pull, "the same page twice: it does not go on")
                return
            meta = _dict(body.get("meta") if body else None)
            total, limit = _count(meta.get("total")), _count(meta.get("limit"))
            seen, skip, before = seen + len(records), skip + len(records), records
            # A full page is never taken for the last one, whatever the counts say.
            more = bool(records) and (limit is None or len(records) >= limit)
            if not records and total is not None and seen < total:
                yield _broken(pull, f"{seen} of {total} records and an empty page")
                return
            yield pull
            if not records or not (more or (total is not None and seen < total)):
                return
            if ends_only:
                if total is None or limit is None or seen > limit:
                    return
                # From the first page to the last, full or not.
                skip = seen = max(seen, total - limit)

    def _download_subjects(self, members: _Members) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """What one download asks for: all devices at once, and all sites at once."""
        names = sorted(
            {
                name
                for entry in self._entries
                if entry.kind != "site"
                for name in members.names.get(entry.text, ())
            }
        )
        sites = [entry.name for entry in self._entries if entry.kind == "site"]
        if names:
            yield "devices", {"device_names": names}
        if sites:
            yield "sites", {"sites": sites}

    def _download(self, subject: str, who: dict[str, list[str]], window: Window) -> Iterator[Pull]:
        """Pages of the download, by its cursor."""
        url = f"{self._url}{DOWNLOAD}"
        asked: dict[str, Any] = {
            "network": "airqo",
            "startDateTime": window.start.strftime(_ASKED),
            "endDateTime": (window.end - timedelta(seconds=1)).strftime(_ASKED),
            "datatype": "calibrated",
            "downloadType": "json",
            "frequency": "hourly",
            **who,
            "pollutants": ["pm2_5", "pm10"],
            "metaDataFields": ["latitude", "longitude"],
            "weatherFields": ["temperature", "humidity"],
        }
        cursors: set[str] = set()
        while True:
            # The page's number, not its opaque cursor, says which page this is in a later pull.
            params = {
                **{key: ",".join(v) if isinstance(v, list) else v for key, v in asked.items()},
                "page": str(len(cursors) + 1),
            }
            params.pop("cursor", None)
            pull, body = self._ask(subject, url, params, window, self._download_http, post=asked)
            if pull.failure is not None or body is None or not isinstance(body.get("data"), list):
                yield pull
                return
            state = _dict(body.get("metadata"))
            cursor = state.get("next")
            if state.get("has_more") and (not cursor or str(cursor) in cursors):
                yield _broken(pull, "more records without a way to them")
                return
            if not state and len(body["data"]) >= ASKED_RECORDS:
                yield _broken(pull, f"{len(body['data'])} records and no word whether that is all")
                return
            yield pull
            if not cursor or not (state.get("has_more") or body["data"]):
                return
            cursors.add(str(cursor))
            asked = {**asked, "cursor": cursor}

    def _ask(
        self,
        subject: str,
        url: str,
        params: dict[str, str],
        window: Window,
        http: HttpClient,
        post: dict[str, Any] | None = None,
    ) -> tuple[Pull, dict[str, Any] | None]:
        """One request: its outcome, and the body if it is a sound one."""

        def keep(response: httpx.Response) -> RawAnswer:
            body = response.text
            for secret in self._secrets:
                body = body.replace(secret, "***")
            return RawAnswer(
                url, params, (window.start, window.end), self._now(), response.status_code, body
            )

        try:
            response = self._send(http, url, params, post)
        except RefusedRequest as failure:
            # The download's way of saying that there are no records.
            empty = post is not None and error_kind(_body(failure.response)) == "no_data"
            return Pull(subject, keep(failure.response), None if empty else failure), None
        except BrokenAnswer as failure:
            return Pull(subject, keep(failure.response), failure), None
        except (TransientFailure, PermanentFailure) as failure:
            return Pull(subject, None, failure), None
        return Pull(subject, keep(response)), _body(response)

    def _send(
        self,
        http: HttpClient,
        url: str,
        params: dict[str, str] | None,
        post: dict[str, Any] | None = None,
    ) -> httpx.Response:
        if not self._has_token:
            raise PermanentFailure("AirQo wants a token: set AQ_AIRQO_TOKEN (nexus.airqo.net).")
        if post is None:
            response = http.get(url, params, _what_is_wrong)
        else:
            response = http.post(url, post, _what_is_wrong)
        kind = error_kind(_body(response))
        if kind is not None:
            raise RefusedRequest(
                f"{TITLE} refuses {url} by a {response.status_code}. {self._explain(response)}",
                response,
            )
        return response

    def _checked(self, pulls: Iterable[Pull], seen: _Seen) -> Iterator[Pull]:
        """The pulls, an empty one failed where the network shows this machine nothing at all."""
        for pull in pulls:
            if pull.failure is None and pull.answer is not None and not seen.records:
                if _has_records(pull.answer):
                    seen.records = True
                else:
                    if seen.speaks is None:
                        try:
                            seen.speaks = self._network_speaks(self._http)
                        except (TransientFailure, PermanentFailure) as failure:
                            yield Pull(pull.subject, pull.answer, failure)
                            continue
                    if not seen.speaks:
                        yield Pull(pull.subject, pull.answer, PermanentFailure(_NOT_LISTED))
                        continue
            yield pull

    def _network_speaks(self, http: HttpClient) -> bool:
        """Whether any device of the whole network shows anything: hundreds are never all silent."""
        url = f"{self._url}{MEASUREMENTS}/recent"
        body = _body(self._send(http, url, {"limit": "1"}))
        return bool(body.get("measurements"))

    # ------------------------------------------------------------------------------- metadata

    def _members(self) -> _Members:
        """Devices of every entry; asked once, failures again."""
        if self._known_members is None:
            found = self._find_members()
            if found.failures:
                return found
            self._known_members = found
        return self._known_members

    def _find_members(self) -> _Members:
        names: dict[str, tuple[str, ...]] = {}
        ids: dict[str, str] = {}
        failures: dict[str, TransientFailure | PermanentFailure] = {}
        rows: list[dict[str, Any]] = []
        listed_failure: TransientFailure | PermanentFailure | None = None
        if any(entry.kind in ("device", "site") for entry in self._entries):
            try:
                rows = self._listed("devices")
            except (TransientFailure, PermanentFailure) as failure:
                listed_failure = failure
        ids = {str(row["name"]): str(row["_id"]) for row in rows if {"name", "_id"} <= row.keys()}
        for entry in self._entries:
            if entry.kind in ("device", "site") and listed_failure is not None:
                failures[entry.text] = listed_failure
            elif entry.kind == "device" and entry.name not in ids:
                failures[entry.text] = PermanentFailure(
                    f"AirQo knows no device {entry.name!r}: correct networks.airqo.stations."
                )
            elif entry.kind == "device":
                names[entry.text] = (entry.name,)
            elif entry.kind == "site":
                names[entry.text] = tuple(
                    str(row["name"])
                    for row in rows
                    if row.get("site_id") == entry.name and "name" in row
                )
            else:
                url = f"{self._url}/api/v2/devices/{entry.kind}s/{entry.name}/generate"
                try:
                    body = _body(self._send(self._http, url, None))
                except (TransientFailure, PermanentFailure) as failure:
                    failures[entry.text] = failure
                    continue
                names[entry.text] = tuple(
                    str(device["device_name"])
                    for site in _rows(body.get("sites"))
                    for device in _rows(site.get("devices"))
                    if device.get("device_name")
                )
        return _Members(names, ids, failures)

    def _listed(self, what: str) -> list[dict[str, Any]]:
        """A whole metadata list."""
        url = f"{self._url}/api/v2/devices/metadata/{what}"
        found: list[dict[str, Any]] = []
        while True:
            params = {"limit": str(ASKED_RECORDS), "skip": str(len(found))}
            body = _body(self._send(self._http, url, params))
            rows, meta = _rows(body.get(what)), _dict(body.get("meta"))
            if rows and rows[0] in found[:1]:
                # A server that does not know `skip` sends its one page again.
                return found
            found += rows
            total, limit = _count(meta.get("total")), _count(meta.get("limit"))
            full = limit is None or len(rows) >= limit or (total is not None and len(found) < total)
            if not rows or not full:
                return found

    def _some_entries(self) -> list[_Entry]:
        count = len(self._entries)
        turn = [self._entries[(self._turn + n) % count] for n in range(NEWEST_ENTRIES)]
        self._turn = (self._turn + NEWEST_ENTRIES - 1) % count
        preferred = [self._freshest] if self._freshest else []
        return list(dict.fromkeys([*preferred, *turn]))[:NEWEST_ENTRIES]

    # --------------------------------------------------------------------------------- errors

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """The wait that a 429 states in its body; kept for every process."""
        if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return None
        errors = _dict(_body(response).get("errors"))
        for key in ("blocked_for_seconds", "retry_after_seconds"):
            stated = errors.get(key)
            if isinstance(stated, int | float) and not isinstance(stated, bool):
                wait = min(max(0.0, float(stated)), 24 * 3600.0)
                self.plan.block(wait)
                return wait
        return None

    def _explain(self, response: httpx.Response) -> str:
        body = _body(response)
        kind = error_kind(body)
        said = " ".join(str(body.get("message") or "").split())[:200]
        for secret in self._secrets:
            said = said.replace(secret, "***")
        if kind is None and response.status_code in (401, 403):
            kind = "token"
        if kind is None and response.status_code == httpx.codes.NOT_FOUND:
            kind = "no_data"
        hint = _HINTS.get(kind or "", "")
        return f"It says: {said!r}. {hint}".rstrip() if said else hint


def error_kind(body: dict[str, Any]) -> Kind | None:
    """What an error body of AirQo means; None for a body that is no error.

    Its interfaces write errors in three ways: ``{status: "error", message, code}``,
    ``{success: false, message, error}`` and ``{success: false, message, errors}``.
    """
    if body.get("status") != "error" and body.get("success") is not False:
        return None
    errors = _dict(body.get("errors"))
    signs: list[tuple[Kind, bool]] = [
        ("no_data", body.get("code") == "NOT_FOUND"),
        ("tier", "upgrade_url" in body or body.get("error") == "Forbidden"),
        ("token", body.get("error") == "Unauthorized"),
        ("too_old", "oldest_supported" in errors),
        ("limited", bool(errors.keys() & {"blocked_for_seconds", "retry_after_seconds"})),
    ]
    return next((kind for kind, seen in signs if seen), "refused")


@dataclass
class _Seen:
    """Whether a pull has had any record, and whether the network shows any at all."""

    records: bool = False
    speaks: bool | None = None


def _has_records(answer: RawAnswer) -> bool:
    body = _decoded(answer.body)
    return any(isinstance(body.get(key), list) and body[key] for key in ("measurements", "data"))


def _broken(pull: Pull, problem: str) -> Pull:
    return Pull(pull.subject, pull.answer, TransientFailure(f"{TITLE} sent {problem}"))


def _what_is_wrong(response: httpx.Response) -> str | None:
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


def _body(response: httpx.Response) -> dict[str, Any]:
    return _decoded(response.text)


def _decoded(text: str) -> dict[str, Any]:
    try:
        return _dict(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return {}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _describe(name: str, device: dict[str, Any], sites: dict[str, dict[str, Any]]) -> Station:
    site = sites.get(str(device.get("site_id")), {})
    provider = site.get("data_provider")
    latitude, longitude = position(site)
    return Station(
        name,
        name=str(site.get("long_name") or site.get("name") or name),
        latitude=latitude,
        longitude=longitude,
        city=site.get("city") if isinstance(site.get("city"), str) else None,
        # The metadata do not say what is measured; AirQo's own low-cost devices all do the same.
        parameters=("pm10", "pm25") if device.get("category") == "lowcost" else (),
        attribution=(
            f"{provider}, through {ATTRIBUTION}"
            if isinstance(provider, str) and provider.lower() != "airqo"
            else ATTRIBUTION
        ),
    )


def position(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude; neither where AirQo writes 0.0 for both, which means unknown."""
    latitude, longitude = (
        _number(row.get(key, row.get(f"approximate_{key}"))) for key in ("latitude", "longitude")
    )
    if latitude is None or longitude is None or (latitude == 0.0 and longitude == 0.0):
        return None, None
    return latitude, longitude


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _value(record: dict[str, Any], key: str) -> object:
    """What a record says of one quantity, calibrated: bare, or in an object, or nothing."""
    given = record.get(key)
    if isinstance(given, dict):
        # Older answers carry both; beside a calibrated value that is null, `value` is a raw one.
        return given["calibratedValue"] if "calibratedValue" in given else given.get("value")
    return given


@dataclass
class _Batch:
    """Records of many answers, column by column."""

    problems: Problems = field(default_factory=Problems)
    unreadable: set[str] = field(default_factory=set)
    answers: list[RawAnswer] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in FIELDS})

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's records, or note why there are none."""
        subject = _subject(answer)
        try:
            body = msgspec.json.decode(answer.body)
        except msgspec.DecodeError as error:
            kind = "not_json" if answer.status == httpx.codes.OK else f"status_{answer.status}"
            self.problems.add(subject, kind, f"{error}: {answer.body[:60]}")
            if answer.status == httpx.codes.OK:
                self.unreadable.add(subject)
            return
        refusal = error_kind(_dict(body))
        if refusal == "no_data" and answer.url.endswith(DOWNLOAD):
            return
        if refusal is not None or answer.status != httpx.codes.OK:
            self.problems.add(subject, f"status_{answer.status}", answer.body)
            return
        records = _records(_dict(body))
        if records is None:
            self.problems.add(subject, "no_records_list", answer.body)
            self.unreadable.add(subject)
            return
        place = len(self.answers)
        self.answers.append(answer)
        for record in records:
            self._take(record, subject, place)

    def _take(self, record: object, subject: str, place: int) -> None:
        if not isinstance(record, dict):
            self.problems.add(subject, "no_object", str(record))
            return
        device = record.get("device") or record.get("device_name")
        stamp = record.get("time") or record.get("datetime")
        if not isinstance(device, str):
            self.problems.add(subject, "no_device", str(record))
            return
        if not isinstance(stamp, str):
            self.problems.add(device, "no_timestamp", str(record))
            return
        if record.get("frequency", "hourly") != "hourly":
            # The mean of a day, or a raw reading, stamped at a full hour would pass for an hour.
            self.problems.add(device, "not_hourly", f"{stamp} {record['frequency']!r}")
            return
        self.places.append(place)
        self.devices.append(device)
        self.stamps.append(stamp)
        self.named.append(bool(record.get("site_name") or record.get("site_id")))
        for key, values in self.columns.items():
            given = _value(record, key)
            number = _number(given)
            if given is not None and number is None:
                self.problems.add(device, "not_a_number", f"{stamp} {key}: {given!r}")
            elif number == 0.0 and key in _ZERO_IS_ABSENT:
                number = None
            values.append(number)

    def versions(self) -> pl.DataFrame:
        """Everything added, in long form; twins that agree are one."""
        if not self.answers:
            return VERSION_SCHEMA.to_frame()
        wide = pl.DataFrame(
            {
                "answer": self.places,
                "station_id": self.devices,
                "stamp": self.stamps,
                "named": self.named,
                **self.columns,
            },
            schema={
                "answer": pl.Int64(),
                "station_id": pl.Categorical(),
                "stamp": pl.String(),
                "named": pl.Boolean(),
                **dict.fromkeys(FIELDS, pl.Float64()),
            },
        ).with_columns(
            hour=pl.col("stamp")
            .str.extract(r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")
            .str.replace("T", " ")
            .str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False)
        )
        hour = pl.col("hour")
        whole = hour == hour.dt.truncate("1h")
        self._note(wide.filter(hour.is_null()), "timestamp_format")
        self._note(wide.filter(~whole), "not_a_whole_hour")
        bad = wide.filter((~whole).fill_null(value=True))
        wide = wide.filter(whole)
        fruitless = set(bad["answer"].unique()) - set(wide["answer"].unique())
        self.unreadable |= {_subject(self.answers[place]) for place in fruitless}
        asked = pl.DataFrame(
            {
                "answer": range(len(self.answers)),
                "start": [answer.window[0] for answer in self.answers],
                "end": [answer.window[1] for answer in self.answers],
                "pulled_at": [answer.pulled_at for answer in self.answers],
            },
            schema_overrides={"start": INSTANT, "end": INSTANT, "pulled_at": INSTANT},
        )
        long = (
            wide.join(asked, on="answer", maintain_order="left")
            .filter(hour.is_between("start", "end", closed="left"))
            .unpivot(
                list(FIELDS),
                index=["answer", "station_id", "hour", "named", "pulled_at"],
                variable_name="field",
                value_name="value_native",
            )
            .drop_nulls("value_native")
        )
        # A twin without a site repeats the record; only where the two differ is the hour in doubt.
        key = ["answer", "station_id", "field", "hour"]
        twin = pl.struct(key).is_duplicated()
        single, twins = long.filter(~twin), long.filter(twin)
        settled = (
            twins.sort("named", maintain_order=True)
            .group_by(key, maintain_order=True)
            .agg(
                pl.col("named", "pulled_at", "value_native").last(),
                duplicate=pl.col("value_native").n_unique() > 1,
            )
        )
        for device, count in (
            settled.filter("duplicate")
            .group_by("station_id", maintain_order=True)
            .len()
            .iter_rows()
        ):
            self.problems.add(device, "duplicate_hour", "two values for one hour", count)
        columns = [*long.columns, "duplicate"]
        long = pl.concat(
            [single.with_columns(duplicate=False).select(columns), settled.select(columns)]
        )
        names = {key: parameter for key, (parameter, _) in FIELDS.items()}
        units = {key: unit for key, (_, unit) in FIELDS.items()}
        versions = long.select(
            "station_id",
            pl.col("field")
            .replace_strict(names, return_dtype=VERSION_SCHEMA["parameter"])
            .alias("parameter"),
            "hour",
            "value_native",
            pl.col("field")
            .replace_strict(units, return_dtype=pl.Categorical())
            .alias("unit_native"),
            pl.lit(None, pl.Float64).alias("coverage"),
            pl.lit(None, pl.Categorical()).alias("sensor_id"),
            "duplicate",
            "pulled_at",
        )
        return complete_hours(versions)

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        counts = bad.group_by("station_id", maintain_order=True).agg(
            pl.len(), pl.col("stamp").first()
        )
        for device, count, stamp in counts.iter_rows():
            self.problems.add(device, kind, str(stamp), count)


def _subject(answer: RawAnswer) -> str:
    """What an answer was about, for its problems."""
    if answer.url.endswith(DOWNLOAD):
        return "download"
    return "/".join(answer.url.rsplit("/", 2)[-2:])


def _records(body: dict[str, Any]) -> list[Any] | None:
    """The records of a body: of v2, of the download, or nested in cohorts and their devices."""
    for key in ("measurements", "data"):
        if isinstance(body.get(key), list):
            return list(body[key])
    devices = [
        device for cohort in _rows(body.get("cohorts")) for device in _rows(cohort.get("devices"))
    ]
    if devices:
        series = (device.get("data") for device in devices)
        return [record for data in series if isinstance(data, list) for record in data]
    return None


class _TokenInQuery(httpx.Auth):
    """Puts the token into the address as the request leaves, and keeps it out of httpx's log."""

    def __init__(self, token: str) -> None:
        self._token = token
        _httpx_log.addFilter(_without_token)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Httpx's hook."""
        bare = request.url
        request.url = bare.copy_set_param("token", self._token)
        try:
            yield request
        finally:
            # Whatever looks at the request later, such as an error's text, sees no token.
            request.url = bare


_httpx_log = logging.getLogger("httpx")


def _without_token(record: logging.LogRecord) -> bool:
    """Httpx logs the address of every request."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            arg.copy_remove_param("token") if isinstance(arg, httpx.URL) else arg
            for arg in record.args
        )
    return True
