"""What AirQino is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import HttpClient, concurrently, invalid_body_reason
from aq_resources.http.json_reader import read_json
from aq_resources.network_client import Parsed, Pull, StationList
from aq_resources.network_settings import NetworkConfig
from aq_resources.network_toolkit.pulls import FewInTurn, kept_pull
from aq_resources.network_toolkit.rows import parse_in_batches
from aq_resources.networks.airqino.bodies import lost_reason, refusal_hint, station_of
from aq_resources.networks.airqino.login import login
from aq_resources.networks.airqino.parse import AirQinoRows
from aq_resources.networks.airqino.settings import TITLE, NetworkSettings
from aq_resources.networks.airqino.stations import described, listed
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import DAY, Window

# No limit is documented; a year is what the endpoint answers when no window is given.
SPAN = timedelta(days=366)
CATALOGUE_TIMEOUT_SECONDS, CATALOGUE_ATTEMPTS = 10.0, 3
# What "which hour is newest?" looks at: so far back, by so many stations, in so short a time.
NEWEST_WITHIN = timedelta(hours=12)
NEWEST_STATIONS = 3
NEWEST_TIMEOUT_SECONDS = 8.0
_ASKED = "%Y%m%d-%H%M"


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
        self._few = FewInTurn[str](NEWEST_STATIONS)
        auth = login(own)

        def hint(response: httpx.Response) -> str:
            return refusal_hint(response, logged_in=auth is not None)

        timeout, attempts = settings.http_timeout_seconds, settings.http_attempts
        self._http = HttpClient(
            TITLE, timeout=timeout, attempts=attempts, auth=auth, refusal_hint=hint
        )
        self._newest_http = HttpClient(
            TITLE,
            timeout=min(NEWEST_TIMEOUT_SECONDS, timeout),
            attempts=1,
            auth=auth,
            refusal_hint=hint,
        )
        # On another host, asked without the login. Without it positions are the headers', which are
        # wrong: worth a few tries, but not a long wait.
        self._catalogue_http = HttpClient(
            TITLE,
            timeout=min(CATALOGUE_TIMEOUT_SECONDS, timeout),
            attempts=min(CATALOGUE_ATTEMPTS, attempts),
        )

    def pull(self, window: Window) -> Iterator[Pull]:
        """One request a station and span of the window."""
        requests = (
            (station, part) for part in window.chunks(self.span) for station in self._stations
        )
        return concurrently(
            lambda request: self._pull_station(*request, lost=lost_reason), requests, self._workers
        )

    def newest_hour(self) -> datetime | None:
        """By a few stations: the one that had the newest hour last time, then others in turn."""
        now = self._now()
        asked = self._few.next_few(self._stations)
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
        by_catalogue = (listed(name, catalogue.get(name, {})) for name in self._stations)
        found = {one.station_id: one for one in by_catalogue if one.latitude is not None}
        failures = {}
        yesterday = Window(self._now() - DAY, self._now())
        unlisted = [station for station in self._stations if station not in found]
        for pull in concurrently(
            lambda station: self._pull_station(station, yesterday), unlisted, self._workers
        ):
            if pull.failure is not None or pull.answer is None:
                failures[pull.source] = pull.failure or TransientFailure("no answer")
                continue
            found[pull.source] = described(pull.source, pull.answer)
        known = (found[name] for name in self._stations if name in found)
        return StationList(tuple(known), failures)

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        return parse_in_batches(answers, AirQinoRows, station_of)

    def close(self) -> None:
        """Give connections back."""
        for http in (self._http, self._newest_http, self._catalogue_http):
            http.close()

    def _pull_station(
        self,
        station: str,
        window: Window,
        http: HttpClient | None = None,
        lost: Callable[[RawAnswer], str | None] = lambda answer: None,
    ) -> Pull:
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
            lambda: (http or self._http).get(url, params, invalid_body_reason),
            lost,
            title=TITLE,
        )

    def _catalogue(self) -> dict[str, dict[str, Any]]:
        if self._catalogue_url is None:
            return {}
        try:
            rows = read_json(
                self._catalogue_http.get(self._catalogue_url, None, invalid_body_reason).content
            )
        except (TransientFailure, PermanentFailure):
            # The header of an answer describes the station well enough.
            return {}
        if not isinstance(rows, list):
            return {}
        return {str(row.get("id")): row for row in rows if isinstance(row, dict)}
