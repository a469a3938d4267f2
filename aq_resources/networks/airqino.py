"""AirQino v3: hourly means by station, anonymous or with a Keycloak login.

Contract: ``GET /v3/getStationHourlyAvg/{id}?start_date&end_date`` (``YYYYmmdd-HHMM``, UTC) answers
``{header, data}``; stamps are naive UTC and mark the hour's beginning; an absent row is a missing
hour, an absent key a missing sensor. The coordinates in the header are known to be wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http import HttpClient, broken_json, concurrently
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks._client import (
    FewInTurn,
    Parsed,
    Problems,
    Pull,
    Station,
    StationList,
    kept_pull,
    parse_in_batches,
    versions_of,
)
from aq_resources.raw_pulls import RawAnswer
from aq_resources.secrets import keep_token
from aq_resources.settings import EnvironmentSettings, Settings
from aq_science.readings import INSTANT, VERSION_SCHEMA
from aq_science.windows import DAY, Window

TITLE = "AirQino"
ATTRIBUTION = "AirQino, CNR-IBE and Magenta srl (https://www.airqino.it)"
API_URL = "https://airqino-api.magentalab.it"
CATALOGUE_URL = "https://airqino-backend.magentalab.it/api/station"
TOKEN_URL = "https://airqino-auth.magentalab.it/realms/airqino/protocol/openid-connect/token"  # noqa: S105

# No limit is documented; a year is what the endpoint answers when no window is given.
SPAN = timedelta(days=366)
CATALOGUE_TIMEOUT_SECONDS, CATALOGUE_ATTEMPTS = 10.0, 3
# What "which hour is newest?" looks at: so far back, by so many stations, in so short a time.
NEWEST_WITHIN = timedelta(hours=12)
NEWEST_STATIONS = 3
NEWEST_TIMEOUT_SECONDS = 8.0
# Refresh a token this long before it ends, so that it cannot end on the way.
TOKEN_MARGIN_SECONDS = 30.0
_CHECK_LOGIN = (
    "Check AQ_AIRQINO_USERNAME, AQ_AIRQINO_PASSWORD, AQ_AIRQINO_CLIENT_ID and "
    "AQ_AIRQINO_CLIENT_SECRET."
)
_ASKED = "%Y%m%d-%H%M"
_STAMP = "%Y-%m-%d %H:%M:%S"

# AirQino's key -> (parameter, unit). "T. int." is a raw count of the board, not a reading.
FIELDS = {
    "CO": ("co", "mg/m³"),
    "NO2": ("no2", "µg/m³"),
    "O3": ("o3", "µg/m³"),
    "PM10": ("pm10", "µg/m³"),
    "PM2.5": ("pm25", "µg/m³"),
    "RH": ("humidity", "%"),
    "T": ("temperature", "°C"),
}


class NetworkSettings(EnvironmentSettings):
    """Address and credentials of AirQino; anonymous without a user name."""

    model_config = SettingsConfigDict(env_prefix="AQ_AIRQINO_", env_ignore_empty=True)

    url: str = Field(API_URL, description="Base of the AirQino API")
    token_url: str = Field(TOKEN_URL, description="Keycloak token address")
    catalogue_url: str | None = Field(
        None,
        description="Station catalogue; default AirQino's own, none with another AQ_AIRQINO_URL",
    )
    username: str | None = Field(None, description="User name for the password grant")
    password: SecretStr | None = Field(None, description="Password")
    client_id: str | None = Field(None, description="Keycloak client")
    client_secret: SecretStr | None = Field(None, description="Keycloak client secret")

    @property
    def catalogue(self) -> str | None:
        if self.catalogue_url is None and self.url == API_URL:
            return CATALOGUE_URL
        return self.catalogue_url


_Row = msgspec.defstruct(
    "_Row",
    [("timestamp", str), *((f"f{i}", float | None, None) for i in range(len(FIELDS)))],
    rename={f"f{i}": key for i, key in enumerate(FIELDS)},
    gc=False,
)


class _Body(msgspec.Struct):
    data: list[_Row]  # type: ignore[valid-type]
    header: dict[str, Any] = {}


_strict_body = msgspec.json.Decoder(_Body)


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> AirQinoClient:
    """The client for the stations of ``config``."""
    if not config.stations:
        raise SettingsError(
            "networks.airqino: AirQino cannot list stations by area; name them under `stations`."
        )
    own = NetworkSettings()
    return AirQinoClient(config, own, settings, now)


class AirQinoClient:
    """Client of AirQino (see `NetworkClient`)."""

    name = "airqino"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = timedelta(days=config.span_days) if config.span_days else SPAN
        self._stations = config.stations
        self._url = own.url.rstrip("/")
        self._catalogue_url = own.catalogue
        self._now = now
        self._workers = settings.http_concurrency
        auth = _keycloak(own)
        self._http = HttpClient(
            TITLE,
            timeout=settings.http_timeout_seconds,
            attempts=settings.http_attempts,
            auth=auth,
            explain=lambda response: _explain(response, logged_in=auth is not None),
        )

        self._newest_http = HttpClient(
            TITLE,
            timeout=min(NEWEST_TIMEOUT_SECONDS, settings.http_timeout_seconds),
            attempts=1,
            auth=auth,
            explain=lambda response: _explain(response, logged_in=auth is not None),
        )
        self._few = FewInTurn[str](NEWEST_STATIONS)

        # On another host, asked without the login. Without it positions are the headers', which are
        # wrong: worth a few tries, but not a long wait.
        self._catalogue_http = HttpClient(
            TITLE,
            timeout=min(CATALOGUE_TIMEOUT_SECONDS, settings.http_timeout_seconds),
            attempts=min(CATALOGUE_ATTEMPTS, settings.http_attempts),
        )

    def pull(self, window: Window) -> Iterator[Pull]:
        """One request a station and span of the window."""
        requests = (
            (station, part) for part in window.chunks(self.span) for station in self._stations
        )
        return concurrently(lambda request: self._pull_station(*request), requests, self._workers)

    def newest_hour(self) -> datetime | None:
        """By a few stations: the one that had the newest hour last time, then others in turn."""
        now = self._now()
        asked = self._few.choose(self._stations)
        pulls = list(
            concurrently(
                lambda station: self._pull_station(
                    station, Window(now - NEWEST_WITHIN, now), self._newest_http
                ),
                asked,
                len(asked),
            )
        )
        failures = [pull.failure for pull in pulls if pull.failure is not None]
        if len(failures) == len(pulls):
            raise failures[0]
        answers = [pull.answer for pull in pulls if pull.failure is None and pull.answer]
        versions = self.parse(answers).versions
        newest = versions.sort("hour", "station_id").tail(1)
        if newest.is_empty():
            return None
        self._few.freshest = newest["station_id"][0]
        hour: datetime = newest["hour"][0]
        return hour

    def stations(self) -> StationList:
        """Stations by the catalogue's one answer, those it lacks by an answer's header."""
        catalogue = self._catalogue()
        listed = (_listed(name, catalogue.get(name, {})) for name in self._stations)
        described = {one.station_id: one for one in listed if one.latitude is not None}
        failures = {}
        yesterday = Window(self._now() - DAY, self._now())
        unlisted = [station for station in self._stations if station not in described]
        for pull in concurrently(
            lambda station: self._pull_station(station, yesterday), unlisted, self._workers
        ):
            if pull.failure is not None or pull.answer is None:
                failures[pull.subject] = pull.failure or TransientFailure("no answer")
                continue
            described[pull.subject] = _describe(pull.subject, pull.answer)
        known = (described[name] for name in self._stations if name in described)
        return StationList(tuple(known), failures)

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        return parse_in_batches(answers, _Batch)

    def close(self) -> None:
        for http in (self._http, self._newest_http, self._catalogue_http):
            http.close()

    def _pull_station(self, station: str, window: Window, http: HttpClient | None = None) -> Pull:
        url = f"{self._url}/v3/getStationHourlyAvg/{station}"
        params = {
            "start_date": window.start.strftime(_ASKED),
            "end_date": window.end.strftime(_ASKED),
        }
        return kept_pull(
            station,
            url,
            params,
            window,
            self._now,
            lambda: (http or self._http).get(url, params, broken_json),
        )

    def _catalogue(self) -> dict[str, dict[str, Any]]:
        if self._catalogue_url is None:
            return {}
        try:
            rows = self._catalogue_http.get(self._catalogue_url, None, broken_json).json()
        except (TransientFailure, PermanentFailure):
            # The header of an answer describes the station well enough.
            return {}
        if not isinstance(rows, list):
            return {}
        return {str(row.get("id")): row for row in rows if isinstance(row, dict)}


def _explain(response: httpx.Response, *, logged_in: bool) -> str:
    if response.status_code in (401, 403):
        if logged_in:
            return _CHECK_LOGIN
        return (
            "AirQino wants a login: set AQ_AIRQINO_USERNAME, AQ_AIRQINO_PASSWORD, "
            "AQ_AIRQINO_CLIENT_ID and AQ_AIRQINO_CLIENT_SECRET (info@airqino.it gives them out)."
        )
    if response.status_code == 404:
        station = response.url.path.rsplit("/", 1)[-1]
        return f"AirQino knows no station {station!r}: correct networks.airqino.stations."
    return ""


def _listed(station: str, entry: dict[str, Any]) -> Station:
    """A station by the catalogue, which does not say what is measured: all boards are alike."""
    return _station_of(station, entry, "name", "lat", "lon", (name for name, _ in FIELDS.values()))


def _describe(station: str, answer: RawAnswer) -> Station:
    """A station by the header and the rows of an answer."""
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        body = {}
    header = body.get("header") if isinstance(body, dict) else None
    rows = body.get("data") if isinstance(body, dict) else None
    rows = rows if isinstance(rows, list) else []
    seen = {key for row in rows if isinstance(row, dict) for key in row}
    return _station_of(
        station,
        header if isinstance(header, dict) else {},
        *("station_name", "station_lat", "station_lon"),
        (FIELDS[key][0] for key in seen & FIELDS.keys()),
    )


def _station_of(
    station: str, said: dict[str, Any], name: str, lat: str, lon: str, parameters: Iterable[str]
) -> Station:
    called = said.get(name)
    return Station(
        station,
        name=None if called in (None, "") else str(called),
        latitude=_number(said.get(lat)),
        longitude=_number(said.get(lon)),
        parameters=tuple(sorted(parameters)),
        attribution=ATTRIBUTION,
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


@dataclass
class _Batch:
    """Rows of many answers, column by column."""

    problems: Problems
    unreadable: set[str]
    answers: list[RawAnswer] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in FIELDS})
    # Places in `answers` of those with a problem.
    troubled: set[int] = field(default_factory=set)

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's rows, or note why there are none."""
        station = _station(answer)
        if answer.status != httpx.codes.OK:
            self.problems.add(station, f"status_{answer.status}", answer.body)
            return
        known = self.problems.total
        try:
            rows: list[Any] = _strict_body.decode(answer.body).data
            stamps = [row.timestamp for row in rows]
            columns = {key: [getattr(row, f"f{i}") for row in rows] for i, key in enumerate(FIELDS)}
        except msgspec.ValidationError:
            # Some record is not of the known form: read the others one by one.
            stamps, columns = _lenient_columns(answer.body, station, self.problems)
        except msgspec.DecodeError as error:
            self.problems.add(station, "not_json", f"{error}: {answer.body[:60]}")
            self.unreadable.add(station)
            return
        if self.problems.total > known:
            self.troubled.add(len(self.answers))
        self.answers.append(answer)
        self.rows.append(len(stamps))
        self.stamps += stamps
        for key, values in columns.items():
            self.columns[key] += values

    def versions(self) -> pl.DataFrame:
        """Everything added, in long form; of an hour given twice the last value stands."""
        if not self.answers:
            return VERSION_SCHEMA.to_frame()
        wide = pl.DataFrame(
            {
                "answer": np.repeat(np.arange(len(self.answers)), self.rows),
                "stamp": self.stamps,
                **self.columns,
            },
            schema={
                "answer": pl.Int64(),
                "stamp": pl.String(),
                **dict.fromkeys(FIELDS, pl.Float64()),
            },
        ).with_columns(
            hour=pl.col("stamp").str.to_datetime(
                _STAMP, time_unit="us", time_zone="UTC", strict=False
            )
        )
        hour = pl.col("hour")
        whole = hour == hour.dt.truncate("1h")
        self._note(wide.filter(hour.is_null()), "timestamp_format")
        self._note(wide.filter(~whole), "not_a_whole_hour")
        wide = wide.filter(whole)
        empty = self.troubled - set(wide["answer"].unique().to_list())
        self.unreadable |= {_station(self.answers[place]) for place in empty}
        # Answer and hour as one integer, since a struct takes five times as long.
        wide = wide.with_columns(
            key=pl.col("answer") * (1 << 24) + hour.dt.epoch("s") // 3600
        ).with_columns(duplicate=pl.col("key").is_duplicated())
        repeated = wide.filter("duplicate")
        self._note(repeated.filter(~pl.col("key").is_first_distinct()), "duplicate_hour")
        asked = pl.DataFrame(
            {
                "answer": range(len(self.answers)),
                "station_id": [_station(answer) for answer in self.answers],
                "start": [answer.window[0] for answer in self.answers],
                "end": [answer.window[1] for answer in self.answers],
                "pulled_at": [answer.pulled_at for answer in self.answers],
            },
            schema_overrides={
                "station_id": pl.Categorical(),
                "start": INSTANT,
                "end": INSTANT,
                "pulled_at": INSTANT,
            },
        )
        wide = (
            wide.join(asked, on="answer", maintain_order="left")
            .filter(hour.is_between("start", "end", closed="left"))
            .unique("key", keep="last", maintain_order=True)
        )
        long = wide.unpivot(
            list(FIELDS),
            index=["station_id", "hour", "duplicate", "pulled_at"],
            variable_name="field",
            value_name="value_native",
        ).drop_nulls("value_native")
        return versions_of(long, FIELDS)

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        """Count bad rows by their answer."""
        if bad.is_empty():
            return
        counts = bad.group_by("answer", maintain_order=True).agg(pl.len(), pl.col("stamp").first())
        for place, count, stamp in counts.iter_rows():
            self.problems.add(_station(self.answers[place]), kind, str(stamp), count)
            self.troubled.add(place)


def _station(answer: RawAnswer) -> str:
    return answer.url.rsplit("/", 1)[-1]


def _lenient_columns(
    body: str, station: str, problems: Problems
) -> tuple[list[str], dict[str, list[float | None]]]:
    """Columns of a body some of whose records are not of the known form."""
    columns: dict[str, list[float | None]] = {key: [] for key in FIELDS}
    stamps: list[str] = []
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        problems.add(station, "not_json", f"{error}: {body[:60]}")
        return stamps, columns
    rows = decoded.get("data") if isinstance(decoded, dict) else None
    if not isinstance(rows, list):
        problems.add(station, "no_data_list", body)
        return stamps, columns
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("timestamp"), str):
            problems.add(station, "no_timestamp", str(row))
            continue
        stamps.append(row["timestamp"])
        for key, values in columns.items():
            given = row.get(key)
            number = _number(given)
            if given is not None and number is None:
                problems.add(station, "not_a_number", f"{row['timestamp']} {key}: {given!r}")
            elif isinstance(given, str):
                # Unambiguous, so it is read; still a change of form that somebody should see.
                problems.add(station, "number_as_text", f"{row['timestamp']} {key}: {given!r}")
            values.append(number)
    return stamps, columns


class KeycloakPassword(httpx.Auth):
    """OAuth2 password grant of Keycloak, shared by every thread of a client.

    The token is renewed before it ends, with the refresh token where that is still good, and once
    more where the server answers 401 nevertheless.
    """

    def __init__(self, url: str, form: dict[str, str], now: Callable[[], float] = time.monotonic):
        self._url = url
        self._form = form
        self._now = now
        self._lock = threading.Lock()
        self._token = ""
        self._ends = 0.0
        self._refresh_token = ""
        self._refresh_ends = 0.0

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Httpx's hook: sets the bearer token, asking for one where needed."""
        used = yield from self._current(request, stale="")
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            renewed = yield from self._current(request, stale=used)
            request.headers["Authorization"] = f"Bearer {renewed}"
            yield request

    def _current(
        self, request: httpx.Request, stale: str
    ) -> Generator[httpx.Request, httpx.Response, str]:
        with self._lock:
            now = self._now()
            if self._token not in ("", stale) and now < self._ends - TOKEN_MARGIN_SECONDS:
                return self._token
            if self._refresh_token and not stale and now < self._refresh_ends:
                response = yield self._login(
                    request, {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
                )
                if response.status_code == httpx.codes.OK:
                    return self._accept(response)
            response = yield self._login(request, {"grant_type": "password", "scope": "openid"})
            if response.status_code in (400, 401, 403):
                # Not a RefusedRequest: what a login answers is no answer to keep.
                raise PermanentFailure(
                    f"{TITLE} refuses the login ({response.status_code}). {_CHECK_LOGIN}"
                )
            if response.status_code != httpx.codes.OK:
                raise TransientFailure(f"{TITLE}'s login answered {response.status_code}")
            return self._accept(response)

    def _login(self, request: httpx.Request, form: dict[str, str]) -> httpx.Request:
        if form["grant_type"] == "refresh_token":
            own = {key: self._form[key] for key in ("client_id", "client_secret")}
        else:
            own = self._form
        # A request made by hand has no time-out of its own: it takes the one it is made for.
        return httpx.Request(
            "POST", self._url, data={**own, **form}, extensions=dict(request.extensions)
        )

    def _accept(self, response: httpx.Response) -> str:
        # Httpx hands a flow the open answer, its body still to be read.
        response.read()
        try:
            answer = response.json()
            self._token = str(answer["access_token"])
            self._ends = self._now() + float(answer.get("expires_in", 60))
        except (ValueError, KeyError, TypeError):
            raise TransientFailure(f"{TITLE}'s login sent no token") from None
        self._refresh_token = str(answer.get("refresh_token") or "")
        keep_token(self._token)
        keep_token(self._refresh_token)
        self._refresh_ends = self._now() + float(answer.get("refresh_expires_in") or 0)
        return self._token


def _keycloak(own: NetworkSettings) -> KeycloakPassword | None:
    if own.username is None:
        return None
    given = {
        "username": own.username,
        "password": own.password.get_secret_value() if own.password else None,
        "client_id": own.client_id,
        "client_secret": own.client_secret.get_secret_value() if own.client_secret else None,
    }
    if missing := [f"AQ_AIRQINO_{key.upper()}" for key, value in given.items() if value is None]:
        raise SettingsError(f"AQ_AIRQINO_USERNAME is set, so {', '.join(missing)} must be set too.")
    return KeycloakPassword(own.token_url, {key: str(value) for key, value in given.items()})
