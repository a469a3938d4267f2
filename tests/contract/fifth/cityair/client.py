"""What CityAir is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import msgspec
from aq_resources.networks.cityair.bodies import FIELDS, ListedStation, refusal_hint, station_of
from aq_resources.networks.cityair.parse import CityAirRows
from aq_resources.networks.cityair.settings import ATTRIBUTION, TITLE, NetworkSettings

from aq_resources.decoders import converted
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import HttpClient, concurrently, invalid_body_reason
from aq_resources.http.json_reader import read_json
from aq_resources.network_client import Parsed, Pull, Station, StationList
from aq_resources.network_settings import NetworkConfig
from aq_resources.network_toolkit.pulls import kept_pull
from aq_resources.network_toolkit.rows import parse_in_batches
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import HOUR, Window

SPAN = timedelta(days=90)


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
            refusal_hint=refusal_hint,
        )

    def stations(self) -> StationList:
        """The configured ones of the network's list."""
        try:
            body = self._http.get(f"{self._url}/stations", None, invalid_body_reason).content
            rows = converted(read_json(body), list[ListedStation])
            listed = {one.id: one for one in rows}
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
                    parameters=tuple(name for name, _ in FIELDS.values()),
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
        return parse_in_batches(answers, CityAirRows, station_of)

    def close(self) -> None:
        """Give connections back."""
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
            lambda: self._http.get(url, params, invalid_body_reason),
            title=TITLE,
        )
