"""CityAir: a network that does not exist, written by docs/adding-a-network.md.

Contract: ``GET /stations`` lists stations; ``GET /hours/{station}?from&to`` answers
``[{"hour_end", "pm25", "co"}]`` within ``[from, to]``, in µg/m³ and mg/m³. Stamps are UTC and mark
the hour's end. The key goes in the header ``X-Key``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import httpx
import msgspec
import polars as pl
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http import HttpClient, concurrently
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks._client import Parsed, Problems, Pull, Station, StationList, kept_pull
from aq_resources.raw_pulls import RawAnswer
from aq_resources.settings import EnvironmentSettings, Settings
from aq_science.readings import VERSION_SCHEMA, complete_hours
from aq_science.windows import HOUR, Window

TITLE = "CityAir"
ATTRIBUTION = "City of Example (https://cityair.invalid)"
SPAN = timedelta(days=90)
UNITS = {"pm25": "µg/m³", "co": "mg/m³"}


class NetworkSettings(EnvironmentSettings):
    """Address and key of CityAir."""

    model_config = SettingsConfigDict(env_prefix="AQ_CITYAIR_", env_ignore_empty=True)

    url: str = Field("https://cityair.invalid", description="Base of the CityAir API")
    key: SecretStr | None = Field(None, description="Its key")


class _Record(msgspec.Struct):
    hour_end: datetime
    pm25: float | None = None
    co: float | None = None


class _Station(msgspec.Struct):
    id: str
    name: str
    latitude: float
    longitude: float


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> CityAirClient:
    """The client for the stations of ``config``."""
    if not config.stations:
        raise SettingsError("networks.cityair: name its stations under `stations`.")
    return CityAirClient(config, NetworkSettings(), settings, now)


class CityAirClient:
    """Client of CityAir (see `NetworkClient`)."""

    name = "cityair"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = timedelta(days=config.span_days) if config.span_days else SPAN
        self._stations, self._url, self._now = config.stations, own.url.rstrip("/"), now
        self._workers = settings.http_concurrency
        self._http = HttpClient(
            TITLE,
            timeout=settings.http_timeout_seconds,
            attempts=settings.http_attempts,
            headers={"X-Key": own.key.get_secret_value()} if own.key else None,
            explain=lambda answer: "Check AQ_CITYAIR_KEY." if answer.status_code == 401 else "",
        )

    def stations(self) -> StationList:
        """The configured ones of the network's list."""
        try:
            body = self._http.get(f"{self._url}/stations", None, _what_is_wrong).content
            listed = {one.id: one for one in msgspec.json.decode(body, type=list[_Station])}
        except (TransientFailure, PermanentFailure) as failure:
            return StationList((), dict.fromkeys(self._stations, failure))
        except msgspec.ValidationError as error:
            changed = PermanentFailure(f"{TITLE}'s list of stations has a new form: {error}")
            return StationList((), dict.fromkeys(self._stations, changed))
        known = [listed[name] for name in self._stations if name in listed]
        unknown = f"{TITLE} knows no station {{!r}}: correct networks.cityair.stations."
        return StationList(
            tuple(
                Station(
                    one.id,
                    one.name,
                    one.latitude,
                    one.longitude,
                    parameters=tuple(UNITS),
                    attribution=ATTRIBUTION,
                )
                for one in known
            ),
            {
                name: PermanentFailure(unknown.format(name))
                for name in self._stations
                if name not in listed
            },
        )

    def pull(self, window: Window) -> Iterator[Pull]:
        """One request a station and span."""
        asked = ((station, part) for part in window.chunks(self.span) for station in self._stations)
        return concurrently(lambda one: self._ask(*one), asked, self._workers)

    def newest_hour(self) -> datetime | None:
        """By the last hours of the first station."""
        now = self._now()
        pull = self._ask(self._stations[0], Window(now - 12 * HOUR, now))
        if pull.failure is not None or pull.answer is None:
            raise pull.failure or TransientFailure(f"{TITLE} gave no answer")
        newest = self.parse([pull.answer]).versions["hour"].max()
        return newest if isinstance(newest, datetime) else None

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        problems = Problems()
        rows: list[tuple[object, ...]] = []
        unreadable: set[str] = set()
        for answer in answers:
            station, known = answer.url.rsplit("/", 1)[-1], len(rows)
            try:
                records = msgspec.json.decode(answer.body, type=list[msgspec.Raw])
            except msgspec.DecodeError as error:
                problems.add(station, f"status_{answer.status}", f"{error}: {answer.body}")
                records = []
                unreadable |= {station} if answer.status == httpx.codes.OK else set()
            for raw in records:
                try:
                    record = msgspec.json.decode(raw, type=_Record)
                    hour = record.hour_end - HOUR
                    inside = answer.window[0] <= hour < answer.window[1]
                except (msgspec.DecodeError, TypeError, OverflowError) as error:
                    problems.add(station, "record_form", str(error))
                    continue
                if not inside:
                    continue
                for name, unit in UNITS.items():
                    if (value := getattr(record, name)) is not None:
                        row = (station, name, hour, value, unit, None, None, False)
                        rows.append((*row, answer.pulled_at))
            if records and len(rows) == known and any(s == station for s, _ in problems.counts):
                unreadable.add(station)
        versions = pl.DataFrame(rows, schema=VERSION_SCHEMA, orient="row")
        return Parsed(complete_hours(versions), problems, tuple(sorted(unreadable)))

    def close(self) -> None:
        self._http.close()

    def _ask(self, station: str, window: Window) -> Pull:
        url = f"{self._url}/hours/{station}"
        params = {"from": window.start.isoformat(), "to": window.end.isoformat()}
        return kept_pull(
            station,
            url,
            params,
            window,
            self._now,
            lambda: self._http.get(url, params, _what_is_wrong),
        )


def _what_is_wrong(response: httpx.Response) -> str | None:
    try:
        msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        return f"no whole JSON ({error})"
    return None
