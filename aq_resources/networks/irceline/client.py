"""What IRCELINE is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import (
    HttpClient,
    RefusedRequest,
    concurrently,
    invalid_body_reason,
)
from aq_resources.http.json_reader import read_json
from aq_resources.network_client import Failure, Parsed, Pull, StationList
from aq_resources.network_settings import NetworkConfig
from aq_resources.network_toolkit.pulls import kept_pull
from aq_resources.network_toolkit.rows import parse_in_batches
from aq_resources.networks.irceline.bodies import lost_stations, refusal_hint
from aq_resources.networks.irceline.parse import IrcelineRows
from aq_resources.networks.irceline.series import ListedSeries, SeriesList, batches, describe
from aq_resources.networks.irceline.settings import TITLE, NetworkSettings
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.sensor_choice import newest, select_sensor
from aq_science.windows import Window

# The interface answers about a year a call.
SPAN = timedelta(days=365)
# What "which hour is newest?" looks at: so far back, by so many series, in so short a time.
NEWEST_WITHIN = timedelta(hours=12)
NEWEST_SERIES = 40
NEWEST_TIMEOUT_SECONDS = 8.0
# What a series that the network cannot serve makes of a question about many, and how many
# questions its search may cost.
_SPLIT_ON = frozenset({400, 404, 500})
SPLIT_REQUESTS = 64
_ASKED = "%Y-%m-%dT%H:%M:%SZ"


class IrcelineClient:
    """Client of IRCELINE (see `NetworkClient`)."""

    name = "irceline"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = timedelta(days=config.span_days) if config.span_days else SPAN
        self._url = own.url.rstrip("/")
        self._now = now
        self._workers = settings.http_concurrency
        self._http = HttpClient(
            TITLE,
            timeout=settings.http_timeout_seconds,
            attempts=settings.http_attempts,
            refusal_hint=refusal_hint,
        )
        self._newest_http = HttpClient(
            TITLE,
            timeout=min(NEWEST_TIMEOUT_SECONDS, settings.http_timeout_seconds),
            attempts=1,
            refusal_hint=refusal_hint,
        )
        self._series = SeriesList(config, self._get, now)
        self._freshest: list[str] = []
        self._turn = 0

    def pull(self, window: Window) -> Iterator[Pull]:
        """As many series in one request as an answer can hold, span by span."""
        try:
            wanted, unknown = self._series.wanted(self._http)
        except (TransientFailure, PermanentFailure) as failure:
            yield Pull("list of series", None, failure)
            return
        for station, no_series in unknown.items():
            yield Pull(station, None, no_series)
        requests = (
            (batch, part, len(cut))
            for part in window.chunks(self.span)
            for cut in [list(batches(wanted, part))]
            for batch in cut
        )
        for pulls, expected in concurrently(
            lambda request: (self._ask(*request[:2], self._http), request[2]),
            requests,
            self._workers,
        ):
            for pull in pulls:
                yield replace(pull, expected_answers=expected)
                if pull.answer is not None and pull.failure is None:
                    yield from _losses(pull.answer)

    def newest_hour(self) -> datetime | None:
        """By one question about some series: those that were newest last time, others in turn."""
        now = self._now()
        wanted, _ = self._series.wanted(self._newest_http)
        asked = self._some_series(wanted)
        if not asked:
            return None
        pulls = self._ask(asked, Window(now - NEWEST_WITHIN, now), self._newest_http)
        answers = [pull.answer for pull in pulls if pull.failure is None and pull.answer]
        if not answers:
            raise next(pull.failure for pull in pulls if pull.failure is not None)
        versions = self.parse(answers).versions
        if versions.is_empty():
            return None
        last = versions.filter(pl.col("hour") == pl.col("hour").max())
        self._freshest = last["sensor_id"].unique().to_list()
        hour: datetime = last["hour"][0]
        return hour

    def _some_series(self, wanted: list[ListedSeries]) -> list[ListedSeries]:
        """A silent series among many must not hide that the others go on."""
        by_id = {one.series_id: one for one in wanted}
        half = NEWEST_SERIES // 2
        fresh = [by_id[name] for name in sorted(self._freshest) if name in by_id][:half]
        first, self._turn = self._turn, self._turn + half
        turn = (wanted[(first + n) % len(wanted)] for n in range(len(wanted)))
        return list(dict.fromkeys([*fresh, *turn]))[:NEWEST_SERIES]

    def stations(self) -> StationList:
        """Stations by the list of series."""
        try:
            wanted, failures = self._series.wanted(self._http)
        except (TransientFailure, PermanentFailure) as failure:
            return StationList((), {TITLE: failure})
        by_station: defaultdict[str, list[ListedSeries]] = defaultdict(list)
        for one in wanted:
            by_station[one.meaning.station].append(one)
        described = tuple(describe(name, series) for name, series in by_station.items())
        return StationList(described, dict(failures))

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        parsed = parse_in_batches(answers, IrcelineRows, _series_asked)
        return replace(parsed, versions=self.select_sensor(parsed.versions))

    def select_sensor(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Versions of one series a station, parameter and hour: the newest instrument's."""
        return select_sensor(versions, newest)

    def close(self) -> None:
        """Give connections back."""
        for http in (self._http, self._newest_http):
            http.close()

    def _ask(self, batch: Sequence[ListedSeries], window: Window, http: HttpClient) -> list[Pull]:
        """Ask about a batch; where it is refused, about ever smaller parts, to find the culprit.

        A series that was taken away since the list was read must not cost the others' readings. No
        search where no part succeeds: then the network itself fails.
        """
        done: list[Pull] = []
        parts: list[Sequence[ListedSeries]] = [batch]
        requests = 0
        answered = False
        while parts:
            pulls = [self._ask_once(part, window, http) for part in parts]
            requests += len(parts)
            answered = answered or any(pull.failure is None for pull in pulls)
            search = requests < SPLIT_REQUESTS if answered else requests == 1
            halves: list[Sequence[ListedSeries]] = []
            for part, pull in zip(parts, pulls, strict=True):
                if search and len(part) > 1 and _status(pull.failure) in _SPLIT_ON:
                    halves += [part[: len(part) // 2], part[len(part) // 2 :]]
                else:
                    done.append(pull)
            parts = halves
        if requests > 1:
            self._series.forget()
        return done

    def _ask_once(self, batch: Sequence[ListedSeries], window: Window, http: HttpClient) -> Pull:
        url = f"{self._url}/timeseries/getData"
        ids = [one.series_id for one in batch]
        body = {
            "timespan": f"{window.start.strftime(_ASKED)}/{window.end.strftime(_ASKED)}",
            "timeseries": ids,
        }
        params = {
            "timespan": str(body["timespan"]),
            "timeseries": ",".join(ids),
            "series": msgspec.json.encode({one.series_id: one.meaning for one in batch}).decode(),
        }
        source = f"series {ids[0]}" + (f" to {ids[-1]} ({len(ids)})" if len(ids) > 1 else "")
        return kept_pull(
            source,
            url,
            params,
            window,
            self._now,
            lambda: http.post(url, body, invalid_body_reason),
            title=TITLE,
        )

    def _get(self, http: HttpClient, path: str, params: dict[str, str]) -> Any:
        return read_json(http.get(f"{self._url}/{path}", params, invalid_body_reason).content)


def _losses(answer: RawAnswer) -> Iterator[Pull]:
    """A failure for each station that a sound answer brings nothing of."""
    for station, reason in lost_stations(answer):
        message = f"{TITLE}'s answer brought nothing of station {station}: {reason}"
        yield Pull(station, None, TransientFailure(message))


def _series_asked(answer: RawAnswer) -> str:
    return f"series {answer.params.get('timeseries', 'unknown')}"


def _status(failure: Failure | None) -> int | None:
    if isinstance(failure, RefusedRequest):
        return failure.response.status_code
    return failure.status if isinstance(failure, TransientFailure) else None
